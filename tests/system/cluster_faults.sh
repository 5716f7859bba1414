#!/bin/bash
# What befalls the hosts of a cluster: they lose power, are cut off, come back; who leads is killed. Five hosts, three of them members of
# etcd; guests whose disks lie in a pool that all hosts reach.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster_lib.sh"

sleeps() { pgrep -fx "sleep $1"; }
seconds() { python3 -c 'import time; print(time.monotonic())'; }
since() { python3 -c 'import sys, time; print(f"# {sys.argv[2]}: {time.monotonic() - float(sys.argv[1]):.1f} s")' "$1" "$2"; }

hosts 5
mkdir "$WORK/shared"
make_cluster
wait_for 60 "three members of etcd" has_members a 3
check "a pool that all reach" on a pool create shared --shared --source "$WORK/shared"
check_refused "ha without a shared pool" "shared" on a run --container busybox lone --ha restart -- sleep 1
check "a container that is to survive" on a run --container busybox safe --stop-timeout 1s --on d --ha restart --pool shared -- sleep 31001
check "a VM that is to survive" on a run tiny safevm --on d --ha restart --pool shared -m 128MiB
check "a container that is not" on a run --container busybox plain --on d -- sleep 31002
check "another, at e" on a run --container busybox other --on e -- sleep 31003
LIMIT=90 check "the VM has its agent" on a wait safevm --for agent --timeout 80s
check "the VM keeps something" on a exec safevm -- sh -c 'echo kept >/root/kept; sync'
watch_for_doubles

# A host loses its power

start=$(seconds)
kill_host d
wait_for 90 "the container to run elsewhere" eval '[ "$(where a safe)" != d ] && runs a safe'
since "$start" "the container runs elsewhere"
wait_for 90 "the VM to run elsewhere" eval '[ "$(where a safevm)" != d ] && runs a safevm'
since "$start" "the VM runs elsewhere"
check "d is fenced" is_node a d fenced
check "nothing ran twice" nothing_twice
check_says "it is told" "its node was lost" on a events
check_refused "what was on d only cannot be reached" "node 'd' has it" on a exec plain -- true
check_says "and is shown so" "its node 'd' is fenced" on a ls
check "others go on" runs a other e
check "creates go on" on a run --container busybox later -- sleep 31004
LIMIT=90 check "the VM has its agent" on a wait safevm --for agent --timeout 80s
check_says "and its disk" "kept" on a exec safevm -- cat /root/kept

# It comes back

start d
wait_for 60 "d to be ready" is_node a d ready
wait_for 60 "what was on d only to run there again" eval 'runs a plain d && sleeps 31002'
check "what went elsewhere stays there" eval '[ "$(where a safe)" != d ] && runs a safe'
check "nothing ran twice" nothing_twice

# A cut link

check "a second container at e" on a run --container busybox cut --on e --ha restart --pool shared -- sleep 31005
pid=$(value a other status.pid)
cut_link e
start=$(seconds)
wait_for 90 "the container to run elsewhere" eval '[ "$(where a cut)" != e ] && runs a cut'
since "$start" "cut off: runs elsewhere"
check "nothing ran twice" nothing_twice
check "what may go on at e goes on" kill -0 "$pid"
check_refused "e itself says why it cannot" "none of the members of etcd" on e volume create lost 1MiB
mend_link e
wait_for 60 "e to be ready" is_node a e ready
wait_for 60 "e to show it there" eval '[ "$(where e cut)" != e ] && runs e cut'
check "once" test "$(sleeps 31005 | wc -l)" = 1
check "the other one was not touched" test "$(value a other status.pid)" = "$pid"
check "nothing ran twice" nothing_twice

# Who leads is killed

old=$(leader a)
seen=$([ "$old" = a ] && echo b || echo a)
end 9 "$(pid_of "$old")"
start=$(seconds)
wait_for 60 "another to lead" eval '[ -n "$(leader '"$seen"')" ] && [ "$(leader '"$seen"')" != '"$old"' ]'
since "$start" "another leads"
check "creates go on" on "$seen" run --container busybox led --on d -- sleep 31006
start "$old"
wait_for 60 "$old to be ready" is_node "$seen" "$old" ready
check "nothing ran twice" nothing_twice
