#!/usr/bin/env bash
# Plants one mistake after the other in a copy of the machines, and prints which check of the sweep finds it, in which family of deploys. The
# code here is not touched. The copy holds `base` and `saga` alone, which need nothing else, so that each is built in seconds.
#
#   tests/sweep/mutations/run.sh              all of them: minutes
#   tests/sweep/mutations/run.sh 03 07        those whose numbers begin so
#
# Ends with 1 if one was not found.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
copy=${WINDLASS_MUTATIONS_DIR:-$root/target/sweep-mutations}
rm -rf "$copy/src"
mkdir -p "$copy/src"
cp -R "$root/src/base" "$root/src/saga" "$copy/src/"
cp "$root/Cargo.lock" "$copy/"
# Neither the binary and the benchmark, nor what only the other floors need.
sed -E '/^default-run/d; /^\[\[bench\]\]/,/^$/d; /^(askama|async-trait|axum|bytes|clap|fantoccini|futures-util|glob|governor|hmac|http[a-z-]*|hyper[a-z-]*|metrics[a-z-]*|percent-encoding|reqwest|rustls|sqlx|subtle|tempfile|tokio[a-z-]*|tower|tracing[a-z-]*|url|utoipa) = /d' \
    "$root/Cargo.toml" >"$copy/Cargo.toml"
printf '//! The machines alone.\n#![allow(warnings)]\npub mod base;\npub mod saga;\n' >"$copy/src/lib.rs"

missed=0
printf '| mistake | found first as | in | families |\n|---|---|---|--:|\n'
for patch in "$here"/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ]; then
        chosen=no
        for number in "$@"; do [[ $name == "$number"* ]] && chosen=yes; done
        [ "$chosen" = yes ] || continue
    fi
    patch -s -d "$copy" -p1 <"$patch"
    out=$(cd "$copy" && RUST_BACKTRACE=0 cargo test --lib the_sweep_finds_nothing -- --nocapture 2>&1 || true)
    patch -s -R -d "$copy" -p1 <"$patch"
    # One line for each family: `found in: <family>: <what>, (deploy …)`.
    found=$(grep -a '^found in: ' <<<"$out" || true)
    if [ -n "$found" ]; then
        first=$(head -n 1 <<<"$found" | sed -E 's/^found in: //; s/ \(deploy [0-9]+, .*//; s/assertion `[^`]*` failed: //; s/, after \[$//; s/ \{ outcome: ([A-Za-z]+).*/ \1/; s/ \{.*//; s/: \[$//')
        title=$(head -n 1 "$patch")
        printf '| %s | %s | %s | %s |\n' "$title" "${first#*: }" "${first%%: *}" "$(wc -l <<<"$found")"
    elif grep -q 'test result: ok. 1 passed' <<<"$out"; then
        missed=1
        printf '| %s | **not found** | | 0 |\n' "$(head -n 1 "$patch")"
    else
        printf '%s does not build or run:\n%s\n' "$name" "$(tail -n 30 <<<"$out")" >&2
        exit 2
    fi
done
exit "$missed"
