#!/bin/bash
# Nothing printed is lost to who reads a container's log; pools and backups keep what the documents promise of them.
. "$(dirname "$0")/lib.sh"

# lines FILE: how many there are, and the last one.
lines() { echo "$(wc -l <"$1") $(tail -n 1 "$1")"; }

start_daemon
LIMIT=120 check "the image busybox is built" strata image build --container busybox

# The log is begun anew several times meanwhile: a record of it has about 50 bytes beside the text.
print='i=0; while [ $i -lt 100000 ]; do echo line $i; i=$((i+1)); done'
strata run --container busybox talks --attach -- sh -c "$print" >"$WORK/attached"
check_says "attach shows all that is printed" "100000 line 99999" lines "$WORK/attached"

# A pool without a source, and one beside the state folder
check "a pool of btrfs in a file that is made" strata pool create fast --driver btrfs --size 256MiB
check "a pool whose name begins like the state folder's" strata pool create beside --source "$STATE-more"
check_refused "a pool in the state folder" "daemon's own folder" strata pool create within --source "$STATE/volumes"

# Backups say what they are of
check "a folder" strata volume create pages --filesystem --pool fast
check "a container writes into it" strata run --container busybox writes --volume pages:/pages -- sh -c 'echo hello >/pages/index; sleep 1000'
check "a snapshot" strata volume snapshot create pages monday
check "a backup" strata volume backup pages "$WORK/monday" --snapshot monday
check "restored as a folder" strata volume restore "$WORK/monday" copy --pool fast
check_says "and read" hello strata run --container busybox reads --attach --volume copy:/pages:ro -- cat /pages/index
check "containers removed" strata rm --force talks writes reads
check "volumes removed" strata volume rm pages copy
check "pools removed" strata pool rm fast beside
check_says "with the file" 0 eval 'ls "$STATE/pools" | wc -l'
