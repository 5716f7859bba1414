# lib.sh - what the system tests share: a real stratad on a state folder of its own, and words to test with.
#
# Every test runs in tools/sandbox (its own network, processes and /tmp).  Source this file, call
# start_daemon, then write checks; at the end, or on failure, everything is taken down.

set -u
: "${STRATA:=$(cd "$(dirname "$0")/../.." && pwd)/build/strata}"
: "${STRATAD:=$(cd "$(dirname "$0")/../.." && pwd)/build/stratad}"
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }

WORK=$(mktemp -d "${TMPDIR:-/tmp}/strata-system-XXXXXX")
chmod 711 "$WORK"
STATE=$WORK/state
export STRATA_SOCKET=$STATE/strata.sock
CHECKS=0
FAILED=0

strata() { timeout "${LIMIT:-60}" "$STRATA" "$@"; }
daemon_pid() { cat "$STATE/lock"; }

# start_daemon [OPTION...]: returns when the API answers.
start_daemon() {
	setsid "$STRATAD" --state "$STATE" "$@" >>"$WORK/stratad.log" 2>&1 </dev/null &
	disown
	wait_for 15 "the daemon to answer" strata ls
}

stop_daemon() {
	ending=$(daemon_pid)
	kill "$ending" && wait_for 20 "the daemon to end" eval "! kill -0 $ending 2>/dev/null"
}

kill_daemon() {
	ending=$(daemon_pid)
	kill -9 "$ending"
	wait_for 5 "the daemon to be dead" eval "! kill -0 $ending 2>/dev/null"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
	limit=$(($(date +%s) + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge "$limit" ]; then
			fail "waited in vain for $what"
			return 1
		fi
		sleep 0.05
	done
}

fail() {
	FAILED=$((FAILED + 1))
	echo "not ok - $*"
	return 1
}

# check WHAT COMMAND...: the command must succeed.
check() {
	CHECKS=$((CHECKS + 1)) what=$1
	shift
	if out=$("$@" 2>&1); then
		echo "ok - $what"
	else
		fail "$what: $* -> $? $out"
	fi
}

# check_soon WHAT COMMAND...: it must succeed within some seconds: what one host does another sees a moment later.
check_soon() {
	wait_for 5 "$@"
	check "$@"
}

# check_says WHAT TEXT COMMAND...: it must succeed and its output contain TEXT.
check_says() {
	CHECKS=$((CHECKS + 1)) what=$1 text=$2
	shift 2
	out=$("$@" 2>&1) || { fail "$what: $* -> $? $out"; return 1; }
	case $out in
	*"$text"*) echo "ok - $what" ;;
	*) fail "$what: '$text' is not in: $out" ;;
	esac
}

# check_refused WHAT TEXT COMMAND...: it must fail, with one line of error (beside progress) that contains TEXT.
check_refused() {
	CHECKS=$((CHECKS + 1)) what=$1 text=$2
	shift 2
	if out=$("$@" 2>&1 </dev/null); then
		fail "$what: was not refused: $out"
		return 1
	fi
	if [ "$(printf '%s\n' "$out" | grep -vcE '^[^ ]*: (upload|pull) [0-9]+%$|: (importing|pending|pull)$|^cluster: [a-zA-Z ]+$')" -ne 1 ]; then
		fail "$what: not one line: $out"
		return 1
	fi
	case $out in
	*"$text"*) echo "ok - $what" ;;
	*) fail "$what: '$text' is not in: $out" ;;
	esac
}

# field NAME PATH: a value of an instance's JSON, like: field web status.state
field() {
	strata show "$1" -o json | python3 -c '
import json, sys
value = json.load(sys.stdin)
value = value[0] if isinstance(value, list) else value
for key in sys.argv[1].split("."):
    value = value[int(key)] if isinstance(value, list) else (value or {}).get(key)
print("" if value is None else str(value).lower() if isinstance(value, bool) else value)' "$2"
}

is_state() { [ "$(field "$1" status.state)" = "$2" ]; }

# The image everything runs from; its packages come from the sandbox's archive.
make_tiny() { LIMIT=300 check "the image tiny is built" strata image build tiny; }

run_tiny() {
	check "$1 runs" strata run tiny "$@"
	LIMIT=60 check "$1 has its agent" strata wait "$1" --for agent --timeout 50s
}

make_busybox() { LIMIT=300 check "the image busybox is built" strata image build --container busybox; }

# run_busybox NAME [OPTION...] -- COMMAND...
run_busybox() {
	name=$1
	shift
	check "$name runs" strata run --container busybox "$name" "$@"
}

# of KIND NAME PATH: a value of the JSON of an image, volume or pool, like: of volume data status.state
of() {
	strata "$1" show "$2" -o json | python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    value = value[int(key)] if isinstance(value, list) else (value or {}).get(key)
print("" if value is None else value)' "$3"
}

node_tag() { strata node show -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"]["tag"])'; }
cgroup_root() { [ -e /sys/fs/cgroup/cgroup.controllers ] && echo /sys/fs/cgroup || echo /sys/fs/cgroup/unified; }

# After everything was removed nothing may be left of it.
check_nothing_left() {
	tag=$1
	CHECKS=$((CHECKS + 1))
	left=$(ip -o link | grep -o "s${tag}t[0-9]*"; find "$STATE/volumes" "$STATE/instances" "$STATE/staging" "$STATE/run" -mindepth 1 2>/dev/null |
		grep -v "/volumes/.*$KEEP" ; find "$(cgroup_root)/strata-$tag/machines" -mindepth 1 -type d 2>/dev/null; pgrep -a qemu-system)
	if [ -z "$left" ]; then
		echo "ok - nothing is left"
	else
		fail "left over: $left"
	fi
}
KEEP="^$"

# What containers could leave on the host, a line each; images of layers are not meant.
container_traces() {
	ip -o link | grep -o "s${1}t[0-9]*"
	pgrep -a 'conmon|crun'
	find /sys/fs/cgroup/ -maxdepth 5 -type d -path "*/strata-$1/containers/*" 2>/dev/null
	find "$STATE/run-containers" "$STATE/staging" -mindepth 1 2>/dev/null | grep -v "/run-containers/.crun"
	find "$STATE/run-containers/.crun" -mindepth 1 -maxdepth 1 ! -name .cache 2>/dev/null
	find "$STATE/instances" "$STATE/volumes" -mindepth 1 -maxdepth 1 2>/dev/null | grep -v "$KEEP"
	grep " $WORK" /proc/self/mountinfo | grep -v " $STATE/pools/"
}

# check_no_container_left TAG: some of it goes in the background.
check_no_container_left() {
	CHECKS=$((CHECKS + 1))
	for _ in $(seq 100); do
		left=$(container_traces "$1")
		[ -z "$left" ] && echo "ok - nothing is left of containers" && return
		sleep 0.05
	done
	fail "left of containers: $left"
}

finish() {
	trap - EXIT
	if [ -S "$STRATA_SOCKET" ]; then
		for name in $(strata ls -o name 2>/dev/null); do strata rm --force "$name" >/dev/null 2>&1; done
		tag=$(node_tag 2>/dev/null)
		kill "$(daemon_pid)" 2>/dev/null
		pkill dnsmasq
		pkill qemu-system
		sleep 0.3
		# In version 1 every controller has groups of its own.
		[ -z "$tag" ] || find /sys/fs/cgroup -maxdepth 3 -type d -name "strata-$tag" 2>/dev/null |
			while read -r group; do find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null; done
	fi
	if [ $FAILED -ne 0 ]; then
		echo "# the daemon said:"
		tail -n 40 "$WORK/stratad.log" | sed 's/^/# /'
	fi
	umount "$WORK"/* 2>/dev/null
	rm -rf "$WORK"
	echo "1..$CHECKS"
	[ $FAILED -eq 0 ]
	exit $?
}
trap 'finish' EXIT
trap 'exit 1' INT TERM
