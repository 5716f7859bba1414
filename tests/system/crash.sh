#!/bin/bash
# kill -9 of the daemon at awkward moments, with real QEMU: machines go on, half-done work is finished or undone.
. "$(dirname "$0")/lib.sh"

# The moments after a request at which the daemon is killed, in seconds.
MOMENTS=${MOMENTS:-"0.00 0.01 0.02 0.03 0.05 0.08 0.12"}

# crash_after SECONDS COMMAND...: sends the request, kills the daemon then, starts it again.
crash_after() {
	moment=$1
	shift
	strata "$@" >/dev/null 2>&1 &
	request=$!
	sleep "$moment"
	kill_daemon
	wait $request 2>/dev/null
	start_daemon
}

is_settled() { [ "$(field "$1" status.state)" = running ] || [ "$(field "$1" status.state)" = stopped ]; }
is_gone() { ! strata show "$1" >/dev/null 2>&1; }

start_daemon
make_tiny
tag=$(node_tag)
KEEP=$(strata image show tiny -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["meta"]["uid"])')
run_tiny web
pid=$(field web status.pid)
strata exec web -- sh -c 'echo kept >/root/kept; sync'

kill_daemon
check "the machine runs without the daemon" kill -0 "$pid"
start_daemon
wait_for 10 "the machine to be found" is_state web running
check "it is the same process" test "$(field web status.pid)" = "$pid"
check_says "it still answers" "kept" strata exec web -- cat /root/kept

for moment in $MOMENTS; do
	crash_after "$moment" run tiny new --no-wait
	wait_for 30 "'new' to run or not to exist (killed after $moment)" eval 'is_gone new || is_state new running'
	check "create, killed after $moment" eval 'is_gone new || is_state new running || ! strata show new >&2'
	if ! is_gone new; then
		crash_after "$moment" rm --force new
		sleep 0.3
		is_gone new || [ -n "$(field new meta.deleted_at)" ] || strata rm --force new >/dev/null
		wait_for 20 "'new' to go (killed after $moment)" is_gone new
		check "delete, killed after $moment" is_gone new
	fi
done

for moment in 0.00 0.02 0.05; do
	crash_after "$moment" snapshot create web "s${moment#0.}"
	wait_for 20 "the snapshot to be settled" eval '! strata snapshot ls web -o json | grep -q pending'
	check "snapshot, killed after $moment" eval '! strata snapshot ls web -o json | grep -q pending'
done
check "still the same process" test "$(field web status.pid)" = "$pid"

strata volume create data 64MiB >/dev/null
for moment in 0.00 0.01 0.03; do
	crash_after "$moment" volume attach data web
	sleep 0.5
	strata volume attach data web >/dev/null 2>&1
	wait_for 20 "the disk in the guest" strata exec web -- test -b /dev/sda
	crash_after "$moment" volume detach data web
	sleep 0.5
	strata volume detach data web >/dev/null 2>&1
	wait_for 20 "the disk to go" strata exec web -- test ! -e /dev/sda
	check "attach and detach, killed after $moment" kill -0 "$pid"
done
check "the volume can go" strata volume rm data

head -c 30000000 /dev/zero >"$WORK/zero.raw"
for moment in 0.02 0.1; do
	crash_after "$moment" image import zero "$WORK/zero.raw"
	wait_for 20 "the image to be settled" eval '! strata image ls | grep -q "^zero .*\(pending\|importing\)"'
	check "import, killed after $moment" eval '! strata image ls | grep -q "^zero .*\(pending\|importing\)"'
	strata image rm zero >/dev/null 2>&1
	wait_for 10 "the image to go" eval '! strata image ls | grep -q zero'
done

# Restore in the middle: the disk is one or the other, never between, and the machine runs.
strata snapshot create web last >/dev/null
for moment in 0.01 0.04; do
	crash_after "$moment" snapshot restore web last
	wait_for 30 "the machine to run" is_state web running
	wait_for 60 "its agent" strata exec web -- true
	check_says "restore, killed after $moment" "kept" strata exec web -- cat /root/kept
done

# The daemon stopped and started in order.
pid=$(field web status.pid)
stop_daemon
check "a stop leaves the machine alone" kill -0 "$pid"
start_daemon
wait_for 10 "the machine to be found" is_state web running
check "remove" strata rm --force web
wait_for 20 "web to go" is_gone web
check_nothing_left "$tag"
