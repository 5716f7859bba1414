#!/bin/bash
# What fails is seen at once, said in words, and handled by the restart policy.
. "$(dirname "$0")/lib.sh"

# runs_anew NAME PID: it runs, and not as that process.
runs_anew() {
	now=$(field "$1" status.pid)
	[ -n "$now" ] && [ "$now" != "$2" ] && is_state "$1" running
}

mkdir -p "$STATE"
mount -t tmpfs -o size=700m tmpfs "$STATE"	# So that the disk can be filled.
start_daemon
make_tiny
run_tiny web
run_tiny fragile --restart no

# QEMU is killed
kill -9 "$(field fragile status.pid)"
wait_for 10 "the end to be seen" is_state fragile stopped
check_says "in words" "killed by signal 9" field fragile status.exit_reason
sleep 1
check "policy no: stays stopped" is_state fragile stopped
pid=$(field web status.pid)
kill -9 "$pid"
wait_for 20 "web to be restarted" runs_anew web $pid
check "policy on-failure: restarted" test "$(field web status.restarts)" = 1
check_says "an event tells it" "killed by signal 9" strata events

# Killed while the daemon is down
pid=$(field web status.pid)
kill_daemon
kill -9 "$pid"
start_daemon
wait_for 20 "web to be restarted" runs_anew web $pid
check "restarted by the next daemon" is_state web running
LIMIT=60 check "agent" strata wait web --for agent --timeout 50s

# A full disk pauses the guest, room lets it go on
dd if=/dev/zero of="$STATE/filler" bs=1M 2>/dev/null
strata exec web -- sh -c 'dd if=/dev/urandom of=/root/big bs=1M count=60 >/dev/null 2>&1 &' &
wait_for 60 "the guest to be paused" is_state web paused
check_says "in words" "No space left" field web status.reason
check_refused "what cannot be stored is refused" "full" strata volume create v 10MiB
rm "$STATE/filler"
wait_for 40 "the guest to go on" is_state web running
check "new things can be made again" strata volume create v 10MiB
wait

# A corrupt disk: the start fails in words
strata stop --force fragile >/dev/null 2>&1
printf 'damaged' | dd of="$STATE/volumes/$(field fragile meta.uid).qcow2" conv=notrunc 2>/dev/null
check "a corrupt disk is not started" eval '! strata start fragile'
check "it has failed" is_state fragile failed
check "it can be removed" strata rm --force fragile

# A second daemon on the same folder; one beside it on another
check_refused "a second daemon on the same state folder" "used by another stratad" "$STRATAD" --state "$STATE" --socket "$WORK/other.sock"
"$STRATAD" --state "$WORK/second" >"$WORK/second.log" 2>&1 </dev/null &
second=$!
wait_for 15 "the second daemon" strata --socket "$WORK/second/strata.sock" ls
wait_for 10 "its network" eval 'strata --socket "$WORK/second/strata.sock" network ls | grep -q ready'
check "the first one's machine is not touched" is_state web running
check "the second one sees nothing of it" eval '[ -z "$(strata --socket "$WORK/second/strata.sock" ls -o name)" ]'
second_tag=$(strata --socket "$WORK/second/strata.sock" node show -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"]["tag"])')
kill $second; wait $second 2>/dev/null
rmdir "$(cgroup_root)/strata-$second_tag"/*/* 2>/dev/null
pkill -f "s${second_tag}b" ; sleep 0.2
find "$(cgroup_root)/strata-$second_tag" -depth -type d -exec rmdir {} \; 2>/dev/null

# A store written by a newer version, a damaged one, a backup
check "backup" strata backup "$WORK/backup.db"
check_refused "a backup is not overwritten" "exists" strata backup "$WORK/backup.db"
strata rm --force web >/dev/null
wait_for 20 "web to go" eval '! strata show web'
stop_daemon
python3 - "$STATE/store.db" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
version = db.execute("pragma user_version").fetchone()[0]
db.execute(f"pragma user_version = {version + 1}")
db.commit()
END
check_refused "a newer store" "newer version" "$STRATAD" --state "$STATE"
check "restore" strata restore "$WORK/backup.db" --state "$STATE"
start_daemon
check_says "what the backup knew is there" "web" strata ls
printf 'garbage garbage garbage' | dd of="$WORK/bad.db" 2>/dev/null
stop_daemon
check_refused "a damaged backup" "bad.db" strata restore "$WORK/bad.db" --state "$STATE"
start_daemon
check "remove" strata rm --force web
