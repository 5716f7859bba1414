#!/bin/bash
# What people do with the hosts of a cluster: replace one whose data are lost, empty one, bring a new version to all, while guests run.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster_lib.sh"

sleeps() { pgrep -fx "sleep $1"; }

hosts 5
mkdir "$WORK/shared"
make_cluster
wait_for 60 "three members of etcd" has_members a 3
check "a pool that all reach" on a pool create shared --shared --source "$WORK/shared"
check "a container in it" on a run --container busybox safe --stop-timeout 1s --on d --ha restart --pool shared -- sleep 31001
check "a container at d" on a run --container busybox plain --stop-timeout 1s --on d -- sleep 31002
check "a VM" on a run tiny safevm --on e -m 128MiB
LIMIT=90 check "it has its agent" on a wait safevm --for agent --timeout 80s
check "it keeps something" on a exec safevm -- sh -c 'echo kept >/root/kept; sync'
watch_for_doubles

# A member of etcd, its host and all its data are gone; another takes its place, and the host begins anew under its name

kill_host b
rm -rf "$WORK/b/state"
wait_for 60 "b to be lost" is_node a b fenced
LIMIT=60 check "changes go on" on a volume create while 1MiB
check "b is given up" on a node remove b --force
wait_for 120 "three members again" eval "has_members a 3 && ! on a cluster show | grep -q 10.7.0.2"
start b
check "a new host" on b cluster join "$(on a cluster token 2>/dev/null)"
wait_for 60 "b to be ready" is_node a b ready
check "it gets instances" on a run --container busybox anew --on b -- sleep 31007
check "three members are enough" has_members a 3
check "nothing ran twice" nothing_twice

# A host is emptied, and used again

check "the VM goes to c" eval '[ "$(where a safevm)" = c ] || on a move safevm c'
LIMIT=180 check "drain" on a node drain c --timeout 170s
check "nothing is there" eval '! on a ls -o json | grep -q "\"node\": \"$(on a node show c -o json | python3 -c "import json,sys; print(json.load(sys.stdin)[\"meta\"][\"uid\"])")\""'
check "the VM runs" eval '[ "$(where a safevm)" != c ] && runs a safevm'
check_says "and has its disk" "kept" on a exec safevm -- cat /root/kept
check_refused "it takes nothing new" "takes no new instances" on a run --container busybox refused --on c -- sleep 1
check "undrain" on a node uncordon c
wait_for 30 "c to be ready" is_node a c ready
check "it takes what is new" on a run --container busybox taken --on c -- sleep 31008

# The daemons are replaced by another version, one host at a time

sed 's/0\.1\.0/0.1.9/g' "$STRATAD" >"$WORK/stratad"
chmod +x "$WORK/stratad"
ln -s "$(dirname "$STRATAD")/strata-fence" "$WORK/strata-fence"
check_says "another version" "0.1.9" "$WORK/stratad" --version
pids() { for name in $(on a ls -o name | sort); do echo "$name $(value a "$name" status.pid) $(value a "$name" status.restarts)"; done; }
before=$(pids)
for host in a b c d e; do
	end 15 "$(pid_of $host)"
	STRATAD=$WORK/stratad start $host
	wait_for 60 "$host to be ready" is_node $host $host ready
	[ $host != c ] || check "half of them: an instance from either to either" eval 'on a run --container busybox up --on e -- sleep 31009 &&
		on e run --container busybox down --on a -- sleep 31010 && on e exec down -- true && on a exec up -- true && on a rm --force up && on e rm --force down'
done
wait_for 30 "all to say so" eval '[ "$(on a node ls -o json | grep -c "\"version\": \"0.1.9\"")" = 5 ]'
[ "$(pids)" = "$before" ] && echo "ok - no guest was touched" || fail "guests were touched: $before, now $(pids)"
check "nothing ran twice" nothing_twice
