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
check "a volume at d" on a volume create atd 1MiB --on d
check "another, at e" on a run --container busybox other --on e -- sleep 31003
LIMIT=90 check "the VM has its agent" on a wait safevm --for agent --timeout 80s
check "the VM keeps something" on a exec safevm -- sh -c 'echo kept >/root/kept; sync'
watch_for_doubles

# The controller of d, simulated: it says on or off, and switches nothing

bmc=$WORK/bmc
mkdir -m 755 "$bmc"
echo well >"$bmc/mood"
echo On >"$bmc/power"
(umask 077 && printf 'admin:a"\\b c\n' >"$bmc/credentials")
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bmc -addext subjectAltName=IP:10.7.0.254 \
	-keyout "$bmc/key.pem" -out "$bmc/ca.pem" 2>/dev/null
chmod 644 "$bmc/ca.pem"
python3 "$(dirname "$0")/../../src/driver/power/redfish/simulator.py" "$bmc" "$bmc/ca.pem" "$bmc/key.pem" 10.7.0.254 &
disown
wait_for 10 "the controller" test -s "$bmc/port"
check_refused "a controller without an address" "https://host" on a node set d power.driver=redfish
check_refused "one without credentials" "user:password" on a node set d power.driver=ipmi power.address=10.7.0.254
check_refused "one that is only simulated" "redfish or ipmi" on a node set d power.driver=sim
check "nothing of that was kept" eval '! on a node show d -o json | grep -q 10.7.0.254'
check "the controller of d" on a node set d power.driver=redfish "power.address=https://10.7.0.254:$(cat "$bmc/port")" \
	power.credentials="$bmc/credentials" power.ca="$bmc/ca.pem"
check_says "it says to every host that d is on" "on" eval 'on b node power d | grep "^d  *redfish"'
check_says "the others have none" "watchdog alone" on b node power a
echo silent >"$bmc/mood"
check_says "a controller that does not answer" "does not answer" eval 'on b node power d || echo "exit $?"'
check "that is a failure" eval '! on b node power d'
echo well >"$bmc/mood"

# A host loses its power

start=$(seconds)
kill_host d
wait_for 90 "the container to run elsewhere" eval '[ "$(where a safe)" != d ] && runs a safe'
since "$start" "the container runs elsewhere"
wait_for 90 "the VM to run elsewhere" eval '[ "$(where a safevm)" != d ] && runs a safevm'
since "$start" "the VM runs elsewhere"
check "d is fenced" is_node a d fenced
check "its controller has switched it off" test "$(cat "$bmc/power")" = Off
check_says "it is told" "was lost and is switched off" on a events
check_says "and can be asked for" "off" eval 'on a node power d | grep "^d  *redfish"'
echo On >"$bmc/power"
check "nothing ran twice" nothing_twice
check_says "it is told" "its node was lost" on a events
check_refused "what was on d only cannot be reached" "node 'd' has it" on a exec plain -- true
check_says "and is shown so" "its node 'd' is fenced" on a ls
check_says "as are its volumes" "its node 'd' is fenced" eval 'on a volume ls | grep "^atd  *ready  *d "'
check_says "what was asked for has to wait" "its node 'd' is fenced: what was asked for" eval 'on a volume rm atd 2>&1 || true'
check_says "nothing can be moved from there" "plain stays: its node 'd' is fenced" eval 'on a node drain d 2>&1 || true; on a node uncordon d'
check "others go on" runs a other e
check "creates go on" on a run --container busybox later -- sleep 31004
LIMIT=90 check "the VM has its agent" on a wait safevm --for agent --timeout 80s
check_says "and its disk" "kept" on a exec safevm -- cat /root/kept

# It comes back

start d
wait_for 60 "d to be ready" is_node a d ready
wait_for 60 "what was on d only to run there again" eval 'runs a plain d && sleeps 31002'
wait_for 10 "what was asked for to be done" eval '! on a volume show atd'
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
