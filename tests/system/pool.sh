#!/bin/bash
# Pools of files and of btrfs, volumes in them: limits, writers and readers, snapshots, backups, promises.
. "$(dirname "$0")/lib.sh"
[ -e /dev/loop-control ] && command -v mkfs.btrfs >/dev/null || { echo "needs loop devices and btrfs-progs"; exit 77; }

loops() { losetup -a | grep "$WORK"; }
kept() { strata pool show "$1" --no-headers | awk -v name="$2" '$1 == name { print $NF }'; }
write_in() { strata exec "$1" -- sh -c "echo $3 >$2"; }
trap 'umount "$WORK"/ro "$WORK"/small 2>/dev/null; for name in $(strata volume ls -o name 2>/dev/null); do strata rm --force $(strata ls -o name); strata volume rm "$name"; done >/dev/null 2>&1
	strata pool rm fast frail >/dev/null 2>&1; finish' EXIT

start_daemon
make_busybox
tag=$(node_tag)

# Pools
check "a btrfs in a file" strata pool create fast --driver btrfs --source "$WORK/fast.btrfs" --size 1GiB
check "a second one" strata pool create frail --driver btrfs --source "$WORK/frail.btrfs" --size 256MiB
check "a folder" strata pool create big --source "$WORK/big"
check_refused "the same source again" "$WORK/fast.btrfs" strata pool create again --driver btrfs --source "$WORK/fast.btrfs"
check_says "list" "ready" strata pool ls
check_says "where it is mounted" "btrfs" grep " $(of pool fast status.path) " /proc/self/mountinfo
echo 'no btrfs' >"$WORK/text"
check_refused "a file that holds something else" "holds no btrfs" strata pool create text --driver btrfs --source "$WORK/text"
mkdir "$WORK/ro" && mount -t tmpfs -o ro tmpfs "$WORK/ro"
check_refused "a file system that may only be read" "Read-only" strata pool create ro --source "$WORK/ro/pool"
check_refused "what could not be made is gone" "does not exist" strata pool show text
check_refused "and the other too" "does not exist" strata pool show ro
check "the files of others are left" test "$(cat "$WORK/text")" = "no btrfs"

# Promises: they take a minute to be kept or broken; the answers are at the end.
check "a volume with a schedule" strata volume create kept --filesystem --pool fast --snapshots 'every 1m keep 2'
check "another" strata volume create broken --filesystem --pool frail --snapshots 'every 1m keep 2'
mount -o remount,ro "$(of pool frail status.path)"
promised=$(date +%s)
stop_daemon				# Made older than it is, so as not to wait.
python3 - "$STATE/store.db" <<'END'
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for key, value in db.execute("select key, value from kv where key like 'desired/volume/%'").fetchall():
    volume = json.loads(value)
    if volume["meta"]["name"] == "broken":
        volume["meta"]["created_at"] = "2020-01-01T00:00:00.000Z"
        db.execute("update kv set value = ? where key = ?", (json.dumps(volume).encode(), key))
db.commit()
END
start_daemon
check_refused "no schedule" "is not a schedule" strata volume create never --filesystem --snapshots 'every never'
check_says "what is promised" "lose 1m at most" strata pool show fast

# Volumes of containers
check "a volume with a limit" strata volume create limited 20MiB --filesystem --pool fast
check_refused "which files cannot have" "cannot limit a folder" strata volume create unlimited 20MiB --filesystem
strata volume rm unlimited >/dev/null
check "a volume for readers" strata volume create shared --filesystem --pool fast
check "a volume" strata volume create data --filesystem --pool fast
run_busybox web --pool fast -v limited:/limited -v data:/data -v kept:/kept -- sleep 1000
check_says "more than the limit" "quota exceeded" eval 'strata exec web -- dd if=/dev/zero of=/limited/x bs=1M count=40 2>&1 || true'
check "grow it" strata volume resize limited 60MiB
check "now it fits" strata exec web -- dd if=/dev/zero of=/limited/x bs=1M count=40
check_refused "a second writer" "one writer or only readers" strata run busybox two -v data:/data -- sleep 1000
for name in two three; do run_busybox $name -v shared:/shared:ro -- sleep 1000; done
check_refused "no writer beside readers" "one writer or only readers" strata run busybox four -v shared:/shared -- sleep 1000
check "they cannot write" eval '! strata exec two -- touch /shared/x'
check_refused "a pool in use" "has the root of instance 'web'" strata pool rm fast
check_refused "a volume in use" "is used by instance 'web'" strata volume rm data

# Snapshots, clones
write_in web /data/file first
check "snapshot" strata volume snapshot create data monday
write_in web /data/file second
check "another" strata volume snapshot create data tuesday
write_in web /data/file third
check_says "list" tuesday strata volume snapshot ls data
check "clone of a snapshot" strata volume clone data copy --snapshot monday
run_busybox four -v copy:/data -- sleep 1000
check_says "is as it was" first strata exec four -- cat /data/file
check_refused "no restore while it is used" "stop it first" strata volume snapshot restore data monday
check "stop" strata stop --force web
check "restore" strata volume snapshot restore data monday
check "start" strata start web
check_says "it is back" first strata exec web -- cat /data/file

# Backups
check "whole" strata volume backup data "$WORK/monday" --snapshot monday
check "what changed since" strata volume backup data "$WORK/tuesday" --snapshot tuesday --since monday
check "is much less or not more" test "$(stat -c %s "$WORK/tuesday")" -le "$(stat -c %s "$WORK/monday")"
check "restore to a new one" strata volume restore "$WORK/monday" restored --pool fast
check "and on" strata volume restore "$WORK/tuesday" restored --onto
check_says "a folder as before" filesystem of volume restored spec.content
run_busybox five -v restored:/data -- sleep 1000
check_says "as it was then" second strata exec five -- cat /data/file
check_refused "another kind of pool" "driver that wrote it" strata volume restore "$WORK/monday" elsewhere --pool big
head -c 200 "$WORK/monday" >"$WORK/half"
check_refused "half a backup" "half" strata volume restore "$WORK/half" half --pool fast
check_refused "no backup" "random" eval 'head -c 5000 /dev/urandom >"$WORK/random"; strata volume restore "$WORK/random" random --pool fast'
strata volume rm elsewhere half random >/dev/null 2>&1
check "of files too" strata volume create plain --filesystem --pool big
run_busybox six -v plain:/data -- sleep 1000
write_in six /data/file 'of files'
strata volume snapshot create plain now >/dev/null
check "backup" strata volume backup plain "$WORK/plain" --snapshot now
check "restore" strata volume restore "$WORK/plain" plain2
check_says "a folder as before" filesystem of volume plain2 spec.content

# From one instance to another, with what is on it
check "remove its user" strata rm --force six
run_busybox seven -v plain:/srv -- sleep 1000
check_says "the next one finds it" "of files" strata exec seven -- cat /srv/file

# A full pool
mkdir "$WORK/small" && mount -t tmpfs -o size=8m tmpfs "$WORK/small"
check "a small pool" strata pool create small --source "$WORK/small/pool"
check "a volume in it" strata volume create tight --filesystem --pool small
run_busybox eight -v tight:/data -- sleep 1000
check_says "is full" "No space left" eval 'strata exec eight -- dd if=/dev/zero of=/data/x bs=1M count=20 2>&1 || true'
check "and goes on" strata exec eight -- rm /data/x

# A virtual machine's root and disk
make_tiny
KEEP=$(of image tiny meta.uid)
check "a machine in btrfs" strata run tiny vm --pool fast
check "a disk in it" strata volume create disk 64MiB --pool fast
check_refused "a disk is nothing for containers" "disk" strata run busybox nine -v disk:/data -- true
LIMIT=60 check "it has its agent" strata wait vm --for agent --timeout 50s
strata exec vm -- sh -c 'echo kept >/root/kept; sync'
check "snapshot" strata snapshot create vm s1
check "attach the disk" strata volume attach disk vm
wait_for 20 "the disk in the guest" strata exec vm -- test -b /dev/sda
check "remove the machine" strata rm --force vm

# Promises
left=$((promised + 64 - $(date +%s)))
wait_for $((left > 0 ? left + 15 : 15)) "the first snapshot by schedule" eval 'strata volume snapshot ls kept --no-headers | grep -q ready'
check "kept" test "$(kept fast kept)" = yes
wait_for 5 "the other promise to be broken" eval '[ "$(kept frail broken)" = NO ]'
check_says "doctor warns" "volume 'broken' may lose 1m at most" strata doctor
mount -o remount,rw "$(of pool frail status.path)"

# All goes
for name in $(strata ls -o name); do strata rm --force $name >/dev/null; done
check "nobody is left" eval '[ -z "$(strata ls -o name)" ]'
check "remove the volumes" strata volume rm $(strata volume ls -o name)
check "remove the pools" strata pool rm fast frail big small
check "no mount is left" eval '! grep -q "$STATE/pools" /proc/self/mountinfo'
check "no loop device is left" eval '! loops'
check "no file is left" eval '[ -z "$(ls -A "$STATE/pools" "$WORK/small" "$WORK/big" 2>/dev/null | grep -v :)" ] && [ ! -e "$WORK/fast.btrfs" ]'
umount "$WORK/ro" "$WORK/small"
check_no_container_left "$tag"
