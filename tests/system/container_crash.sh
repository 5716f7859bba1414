#!/bin/bash
# kill -9 of the daemon at awkward moments, with real containers: they go on, half-done work is finished or undone.
. "$(dirname "$0")/lib.sh"

# The moments after a request at which the daemon is killed, in seconds.
MOMENTS=${MOMENTS:-"0.00 0.005 0.01 0.02 0.03 0.04 0.06 0.09"}

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

is_gone() { ! strata show "$1" >/dev/null 2>&1; }
is_image_settled() { ! strata image ls --no-headers | grep -q "^$1 .*\(pending\|importing\|pull\|commit\)"; }
is_image_gone() { ! strata image show "$1" >/dev/null 2>&1; }

start_daemon
make_busybox
tag=$(node_tag)
check "a volume" strata volume create data --filesystem
run_busybox web --restart no -v data:/data -p 8080:80 -- sh -c 'echo begun; n=0; while :; do n=$((n + 1)); echo $n >/data/count; sleep 0.05; done'
pid=$(field web status.pid)
strata exec web -- sh -c 'echo kept >/root/kept; echo hello >/root/index.html; httpd -p 80 -h /root'

# Down
run_busybox ends --restart no -- sh -c 'sleep 0.6; exit 7'
run_busybox again --restart always -- sh -c 'sleep 0.6; exit 5'
strata run busybox fleeting --rm -- sh -c 'sleep 0.6; exit 6' >/dev/null
kill_daemon
before=$(cat "/proc/$pid/root/data/count")
wait_for 5 "it to go on without the daemon" eval '[ "$(cat "/proc/$pid/root/data/count")" != "$before" ]'
check_says "its port leads to it" hello curl -s --max-time 5 http://127.0.0.1:8080/
wait_for 10 "the others to end" eval '[ "$(pgrep -c conmon)" = 1 ]'
start_daemon
wait_for 10 "it to be found" is_state web running
check "it is the same process" test "$(field web status.pid)" = "$pid"
check_says "it still answers" "kept" strata exec web -- cat /root/kept
wait_for 10 "the end of another to be told" is_state ends stopped
check_says "with its exit code" 7 field ends status.exit_code
check_says "in words" "exited with code 7" strata events ends
wait_for 10 "one that always runs to be started again" eval '[ "$(field again status.restarts)" -ge 1 ]'
check_says "its exit code" "exited with code 5" strata events again
wait_for 10 "one that was to be removed to go" is_gone fleeting
check "remove them" strata rm --force ends again

for moment in $MOMENTS; do
	crash_after "$moment" run busybox new -v data:/data:ro --no-wait -- sleep 1000
	wait_for 20 "'new' to run or not to exist (killed after $moment)" eval 'is_gone new || is_state new running'
	check "run, killed after $moment" eval 'is_gone new || strata exec new -- true'
	if ! is_gone new; then
		crash_after "$moment" rm --force new
		is_gone new || strata rm --force new >/dev/null 2>&1
		wait_for 20 "'new' to go (killed after $moment)" is_gone new
		check "remove, killed after $moment" is_gone new
	fi
done

for moment in 0.00 0.01 0.02 0.04; do
	crash_after "$moment" snapshot create web "s${moment#0.}"
	wait_for 20 "the snapshot to be settled" eval '! strata snapshot ls web -o json | grep -q pending'
	wait_for 20 "it to run on (killed after $moment)" is_state web running
	check "snapshot, killed after $moment" strata exec web -- true
	crash_after "$moment" commit web "made:$moment"
	wait_for 20 "the image to be settled" is_image_settled "made:$moment"
	check "commit, killed after $moment" eval 'is_image_gone made:$moment || strata run --rm --attach "made:$moment" -- cat /root/kept'
	strata image rm "made:$moment" >/dev/null 2>&1
	crash_after "$moment" image build --container busybox built
	wait_for 60 "the build to be settled" is_image_settled built
	check "build, killed after $moment" eval 'is_image_gone built || strata run --rm --attach built -- true'
	wait_for 10 "the instance to go" eval '[ "$(strata ls -o name)" = web ]'
	strata image rm built >/dev/null 2>&1
	wait_for 10 "the image to go" is_image_gone built
done
check "still the same process" test "$(field web status.pid)" = "$pid"

# Restores: the root and the volume are both as they were, or both as they are now.
check "a snapshot" strata snapshot create web both
for moment in 0.01 0.03 0.06; do
	strata exec web -- sh -c 'echo other >/root/kept'
	crash_after "$moment" snapshot restore web both
	wait_for 20 "it to run (killed after $moment)" is_state web running
	check_says "restore, killed after $moment" "kept" eval 'strata exec web -- cat /root/kept || true; strata snapshot restore web both >/dev/null; strata exec web -- cat /root/kept'
done

# Paused while the daemon dies
pid=$(field web status.pid)
check "pause" strata pause web
kill_daemon
start_daemon
wait_for 10 "it to be found paused" is_state web paused
check "resume" strata resume web
stop_daemon
check "a stop leaves it alone" kill -0 "$pid"
start_daemon
wait_for 10 "it to be found" is_state web running

check "remove" strata rm --force web
wait_for 20 "web to go" is_gone web
check "remove the volume" strata volume rm data
for image in $(strata image ls -o name); do strata image rm "$image" >/dev/null; done
wait_for 20 "layers to go" eval '[ -z "$(ls "$STATE/oci/layers" "$STATE/oci/blobs/sha256" | grep -v :)" ]'
check "no layer is left" eval '[ -z "$(ls -A "$STATE/oci/layers" "$STATE/oci/blobs/sha256" | grep -v :)" ]'
check_no_container_left "$tag"
