#!/bin/bash
# Three daemons with one etcd tell each other how loaded they are; what is new goes to one that is not busy.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"

URL=http://127.0.0.1:2379
etcd --name one --data-dir "$WORK/etcd" --listen-client-urls $URL --advertise-client-urls $URL \
	--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
	--initial-cluster one=http://127.0.0.1:2380 --log-level error >>"$WORK/etcd.log" 2>&1 </dev/null &
etcd=$!
disown

# What a kernel says that has nothing to do; the real one has, as others use the machine too.
echo 'cpu  100 0 100 100000 0 0 0 0 0 0' >"$WORK/stat"
printf 'MemTotal: 8388608 kB\nMemFree: 4194304 kB\nMemAvailable: 4194304 kB\n' >"$WORK/meminfo"

# start NAME: a host with an address and a load of its own; $WORK/NAME.loadavg is what its kernel says.
start() {
	printf 'store: etcd\netcd:\n  endpoints: [%s]\n  prefix: /strata/house/\n  timeout: 1s\napi:\n  listen: %s:8443\n' $URL "$(address "$1")" >"$WORK/$1.yaml"
	unshare --uts --mount sh -c "hostname $1; mount --bind '$WORK/$1.loadavg' /proc/loadavg &&
		mount --bind '$WORK/stat' /proc/stat && mount --bind '$WORK/meminfo' /proc/meminfo &&
		exec setsid '$STRATAD' --state '$WORK/$1' --driver sim --config '$WORK/$1.yaml'" >>"$WORK/$1.log" 2>&1 </dev/null &
	disown
	STRATA_SOCKET=$WORK/$1/strata.sock wait_for 15 "$1 to answer" strata ls
}

address() { case $1 in a) echo 127.0.0.2 ;; b) echo 127.0.0.3 ;; c) echo 127.0.0.4 ;; esac; }
# run_queue NAME TASKS: of its kernel, beside the one who reads. The file is changed where it is.
run_queue() { printf '0.50 0.50 0.50 %d/300 4711\n' $(($2 + 1)) >"$WORK/$1.loadavg"; }

on() {
	where=$1
	shift
	STRATA_SOCKET=$WORK/$where/strata.sock strata "$@"
}

# value NAME OTHER FIELD: what NAME knows of OTHER.
value() { on "$1" node load "$2" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0].get(sys.argv[1], ""))' "$3"; }
is_value() { [ "$(value "$1" "$2" "$3")" = "$4" ]; }
is_ready() { on a node ls -o json | grep -c '"state": *"ready"' | grep -qx 3; }
is_young() { [ -n "$(value "$1" "$2" age_ms)" ] && [ "$(value "$1" "$2" age_ms)" -le 200 ]; }
place_of() {
	curl -s --unix-socket "$WORK/a/strata.sock" "http://localhost/v1/instances/$1/placement" |
		python3 -c 'import json, sys; print([i["node"] for i in json.load(sys.stdin) if i["state"] == "here"][0])'
}
is_elsewhere() {
	place=$(place_of "$1")
	[ -n "$place" ] && [ "$place" != "$2" ]
}

says_busy() { on a explain "$1" | grep -qF 'is busy, others come first ('; }

for name in a b c; do run_queue $name 0; done
wait_for 10 "etcd" curl -sf $URL/health
start a
# They are of one cluster: one CA.
for name in b c; do
	mkdir -p "$WORK/$name/tls"
	cp -p "$WORK/a/tls/ca.crt" "$WORK/a/tls/ca.key" "$WORK/$name/tls/"
	start $name
done
check "three nodes are ready" wait_for 20 "three nodes to be ready" is_ready
for from in a b c; do
	for to in a b c; do
		check "$from knows the load of $to, not older than 200 ms" wait_for 20 "the load of $to" is_young $from $to
	done
done

# Not once, but mostly: the machine of the test may be busy with others.
old=0 looks=0
for _ in $(seq 30); do
	for to in b c; do
		looks=$((looks + 1))
		is_young a $to || old=$((old + 1))
	done
done
echo "# $old of $looks were older than 200 ms"
check "and goes on knowing it" test $old -le $((looks / 4))
check_says "a table of all" "RUN QUEUE" on a node load
check "the key is in the store once" test "$(curl -s $URL/v3/kv/range -d "{\"key\":\"$(printf /strata/house/data/cluster/telemetry-key | base64 -w0)\"}" |
	grep -o '"count":"1"')" = '"count":"1"'

# Whatever it is that the policy prefers: not what is busy.
check "an image" on a image build tiny
for busy in a b c; do
	for name in a b c; do run_queue $name 0; done
	run_queue $busy 64
	for name in a b c; do
		for other in a b c; do
			tasks=0
			[ $other = $busy ] && tasks=64
			wait_for 10 "$name to know the load of $other" is_value $name $other run_queue $tasks
		done
	done
	elsewhere=0
	for i in 1 2 3 4; do
		check "created while $busy is busy" on a create --no-wait tiny "web-$busy-$i"
		is_elsewhere "web-$busy-$i" $busy && elsewhere=$((elsewhere + 1))
	done
	# Where the machine of the test stands still for a moment, one may be placed by what is too old to count.
	check "$elsewhere of 4 are elsewhere" test $elsewhere -ge 3
	check "and that is said" wait_for 5 "the reason" says_busy "web-$busy-1"
done

for name in a b c; do run_queue $name 64; done
check "when all are busy" wait_for 10 "all to be busy" is_value a c run_queue 64
check "one of them has to do" on a create --no-wait tiny last

# What stands still is not believed.
kill -9 "$(cat "$WORK/c/lock")"
is_old() { [ "$(value a c age_ms)" -gt 200 ]; }
check "a host that has died gets old" wait_for 10 "the load of c to be old" is_old

# A host that is alone samples nothing.
STATE=$WORK/alone
export STRATA_SOCKET=$STATE/strata.sock
start_daemon --driver sim
check_refused "alone there is nothing to see" "in no cluster" strata node load
check "and no thread that samples" eval '! grep -qx telemetry /proc/$(daemon_pid)/task/*/comm'
check "as there is in a cluster" eval "grep -qx telemetry /proc/$(cat "$WORK/a/lock")/task/*/comm"

for name in a b; do kill "$(cat "$WORK/$name/lock")"; done
kill $etcd
if [ $FAILED -ne 0 ]; then tail -n 20 "$WORK"/[abc].log | sed 's/^/# /'; fi
