#!/usr/bin/env bash
# Plants one defect after the other in a copy of the code, and shows which promise the simulator then finds broken, and after how many
# seeds. The code here is not touched.
#
#   tests/sim/mutations/run.sh              all of them
#   tests/sim/mutations/run.sh 03 07        those whose numbers begin so
#
# WINDLASS_SIM_SEEDS: how many seeds a defect may hide from, 2000 if not given. Ends with 1 if one was not found.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
copy=${WINDLASS_MUTATIONS_DIR:-$root/target/mutations}
export WINDLASS_SIM_SEEDS=${WINDLASS_SIM_SEEDS:-2000} WINDLASS_SIM_TERSE=1

mkdir -p "$copy"
# What the copy is built into stays, so that only what a patch changes is built anew.
tar -C "$root" --exclude=./target --exclude=./.git -cf - . | tar -C "$copy" -xf -
# Without what a debugger needs it is built in half the time.
printf '\n[profile.dev.package.windlass]\ndebug = false\n' >>"$copy/Cargo.toml"
missed=0
printf '| defect | found as | after seeds |\n|---|---|--:|\n'
for patch in "$here"/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ]; then
        chosen=no
        for number in "$@"; do [[ $name == "$number"* ]] && chosen=yes; done
        [ "$chosen" = yes ] || continue
    fi
    title=$(head -n 1 "$patch")
    patch -s -d "$copy" -p1 <"$patch"
    # One thread: the number of seeds before the first that fails is then what it says.
    out=$(cd "$copy" && cargo test --all-features --test sim seeds_keep -- --nocapture 2>&1 || true)
    patch -s -R -d "$copy" -p1 <"$patch"
    found=$(grep -m1 -oE '^seed [0-9]+: [A-Za-z0-9]+ is broken: .*' <<<"$out" || true)
    if [ -n "$found" ]; then
        seed=$(sed -E 's/^seed ([0-9]+):.*/\1/' <<<"$found")
        promise=$(sed -E 's/^seed [0-9]+: ([A-Za-z0-9]+) is.*/\1/' <<<"$found")
        printf '| %s | %s | %s |\n' "$title" "$promise" "$seed"
        printf '%s: %s\n' "$name" "$found" >&2
    elif grep -q 'test result: ok' <<<"$out"; then
        missed=1
        printf '| %s | **not found** | %s |\n' "$title" "$WINDLASS_SIM_SEEDS"
    else
        printf '%s does not build or run:\n%s\n' "$name" "$(tail -n 30 <<<"$out")" >&2
        exit 2
    fi
done
exit "$missed"
