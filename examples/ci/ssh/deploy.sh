#!/usr/bin/env bash
# Takes the migrations of a checkout to the fleet without a server: over ssh, on a machine that stays.
#
#   WINDLASS_HOST=deploy@ops.example.org ./deploy.sh 8a3c1f0
#
# On that machine, /srv/windlass holds windlass.toml, the log, and the secrets that reach the tenants. The runner has none of them, and
# nothing of the deploy: its log is there, so that whatever happens to the runner, the deploy can be taken up again.
#
#   [log]
#   url = "sqlite:///srv/windlass/windlass.db"
#   [release]
#   dir = "current"
#
# Pipelines take turns (`concurrency`, `resource_group`, a lock): `current` is one.
#
# The exit code is that of `windlass deploy`.
set -euo pipefail

revision=${1:?which revision, as in: deploy.sh "$(git rev-parse HEAD)"}
host=${WINDLASS_HOST:?where the log is, as in: deploy@ops.example.org}
migrations=${WINDLASS_MIGRATIONS:-db/migrations}
home=${WINDLASS_HOME:-/srv/windlass}
# How often a lost connection is made again.
readonly tries=5

case $revision in
'' | -* | *[!A-Za-z0-9._+-]* | . | ..)
    echo "the revision names a folder: letters, digits and . _ + -" >&2
    exit 2
    ;;
esac

# A machine that no longer answers is noticed after a minute and a half; a password is never asked for.
remote() {
    ssh -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=6 "$host" "$@"
}

# Under another name first: what is cut off on its way must not read as a release. A revision that is there already stays what it is.
send() {
    tar -C "$migrations" -cf - . | remote "
        set -eu
        cd $home
        mkdir -p releases
        coming=\$(mktemp -d releases/.coming.XXXXXX)
        tar -C \"\$coming\" -xf -
        if [ -e releases/$revision ]; then
            diff -r \"\$coming\" releases/$revision >&2 || { echo 'this revision was sent before, with other files' >&2; exit 1; }
            rm -rf \"\$coming\"
        else
            chmod 755 \"\$coming\"
            mv -T \"\$coming\" releases/$revision
        fi
        ln -sfn releases/$revision current"
}

# ssh itself ends with 255 where the connection is lost; windlass never does.
status=255
for try in $(seq "$tries"); do
    if [ "$try" -gt 1 ]; then
        echo "the connection was lost; again ($try of $tries)" >&2
        sleep "${WINDLASS_PAUSE:-10}"
    fi
    status=0
    send || status=$?
    case $status in
    0) ;;
    255) continue ;;
    *) exit 1 ;;
    esac
    if [ "$try" -gt 1 ]; then
        # A deploy that was under way stands still or runs on: it is followed to its end first. Where there is none, that is said and no matter.
        status=0
        remote "cd $home && windlass resume" || status=$?
        case $status in
        0 | 1 | 4) ;;
        255) continue ;;
        *) break ;;
        esac
    fi
    # Nothing to do, if it had come to its end before.
    status=0
    remote "cd $home && windlass deploy --wait=90m" || status=$?
    [ "$status" -eq 255 ] || break
done

case $status in
0) echo "every tenant is on $revision" ;;
3) echo "unwound: every tenant is as it was; mend the migration" >&2 ;;
4) echo "some tenants were set aside; the rest of the fleet is on $revision" >&2 ;;
5) echo "a human must decide; do not run this again: ssh $host 'cd $home && windlass status'" >&2 ;;
6) echo "unwound, but for tenants that were left by decision; look at them" >&2 ;;
255) echo "the connection is lost; the deploy, if it was begun, can be taken up: ssh $host 'cd $home && windlass resume'" >&2 ;;
esac
exit "$status"
