#!/bin/bash
# Instances go from host to host: connections, disks and snapshots survive, and so does everything when something dies on the way.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
[ "$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p')" -ge 10 ] 2>/dev/null ||
	{ echo "# skipped: moving a machine that runs needs QEMU 10"; exit 77; }
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster_lib.sh"
LIMIT=120

# The bridges of network 'lan' on all hosts become one network: each gets a cable to a hub of its own.
join_lan() {
	ip link add lan-hub type bridge
	ip link set lan-hub up
	for host in $HOSTS; do
		bridge=$(ip -n "$host" -o -4 address show | awk '$4 == "10.9.0.1/24" { print $2 }')
		ip link add "lan-$host" type veth peer name lan0 netns "$host"
		ip link set "lan-$host" master lan-hub up
		ip -n "$host" link set lan0 master "$bridge" up
	done
}
# What comes out of a host is slow from now on, so that there is a middle of a move; and as it was.
slow() { tc -n "$1" qdisc add dev eth0 root tbf rate 24mbit burst 64kb latency 300ms; }
fast() { tc -n "$1" qdisc del dev eth0 root; }
phase() { value "$1" "$2" status.move.phase; }
is_copying() { [ "$(phase "$1" "$2")" = copying ]; }
counted() { on a exec peer -- sh -c 'tail -n 1 /tmp/count'; }
# goes_on: more has come since now.
goes_on() { before=$(counted) && wait_for 30 "the connection to go on, after $before" eval '[ "$(counted)" -gt '"$before"' ]'; }
gapless() { on a exec peer -- sh -c 'awk "\$1 != NR - 1 { exit 1 }" /tmp/count'; }

hosts 3
mkdir "$WORK/shared"
make_cluster
wait_for 60 "three members of etcd" has_members a 3
check "a network" on a network create lan --ipv4 10.9.0.1/24 --ipv6 none --no-nat
wait_for 30 "it to be on all hosts" eval 'for host in $HOSTS; do ip -n $host -o -4 address show | grep -q 10.9.0.1/24 || exit 1; done'
check "a VM" on a run tiny web --on b -m 128MiB --network lan --network default --publish 8080:80
check "its peer" on a run --container busybox peer --stop-timeout 1s --on a --network lan -- \
	sh -c 'until [ -e /address ]; do sleep 1; done; sleep 100000 | nc $(cat /address) 7000 >/tmp/count'
check "the VM has its agent" on a wait web --for agent --timeout 80s
join_lan

# From every host

check_says "exec from a, where it is not" "Linux" on a exec web -- uname
echo "from c" >"$WORK/file"
check "cp in from c" on c cp "$WORK/file" web:/root/file
check "cp out to a" on a cp web:/root/file "$WORK/back"
check "it is the same" cmp "$WORK/file" "$WORK/back"
check_says "logs from c" "strata tiny: init" on c logs web
on b exec web -- sh -c 'mkdir -p /www; echo published >/www/index.html; httpd -p 80 -h /www'
check_says "published on b" "published" curl -s --max-time 10 http://10.7.0.2:8080/

# A machine that runs: one TCP connection over all of it

address=$(on a show web -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["spec"]["nics"][0]["ipv4"])')
on b exec web -- sh -c '(i=0; while echo $i; do i=$((i + 1)); usleep 100000; done | nc -l -p 7000) >/dev/null 2>&1 &'
on a exec peer -- sh -c "echo $address >/address"
wait_for 30 "the connection to begin" eval '[ "$(counted)" -gt 3 ]'
boot=$(on a exec web -- cat /proc/sys/kernel/random/boot_id)
check "b to c" on a move web c
check "it is there" test "$(where a web)" = c
check "the connection goes on" goes_on
check "it is the same guest" test "$(on a exec web -- cat /proc/sys/kernel/random/boot_id)" = "$boot"
check_says "published on c" "published" curl -s --max-time 10 http://10.7.0.3:8080/
check "not on b any more" eval '! curl -s --max-time 3 http://10.7.0.2:8080/'
check_says "console from a" "strata tiny: init" on a logs web
check "c to b" on c move web b
check "the connection goes on" goes_on
check "nothing is missing in it" gapless
echo "# downtime $(value a web status.move.downtime) ms of $(value a web status.move.total) ms"

# What is wrong is refused

check_refused "a node that is not there" "nowhere" on a move web nowhere
check_refused "where it is" "is at node 'b' already" on a move web b
check_refused "an instance that is not there" "nothing" on a move nothing b
check_refused "nothing to take back" "is not on its way" on a move web --cancel
check "cordon" on a node cordon c
check_refused "a node that takes nothing" "takes no new instances" on a move web c
check "uncordon" on a node uncordon c
check "pinned" on a set web placement.node=b
check_refused "an instance that may run on one node only" "may run only on node 'b'" on a move web c
check "not pinned" on a set web placement.node=

# Something happens in the middle: the guest is where it was, and goes on

slow b
on a move web c --no-wait
wait_for 60 "it to be on its way" is_copying a web
check_refused "twice" "is on its way" on a move web c
check "cancel" on a move web --cancel
wait_for 60 "it to stay" eval '[ "$(value a web spec.node)" = "$(value a web status.node)" ] && runs a web b'
check "the connection goes on" goes_on

on a move web c --no-wait
wait_for 60 "it to be on its way" is_copying a web
end 9 "$(pid_of c)"
kill -9 $(for each in $(ip netns pids c); do grep -q qemu-system "/proc/$each/cmdline" && echo "$each"; done) 2>/dev/null
wait_for 90 "the move to fail" eval '[ "$(phase a web)" = failed ]'
check "the destination killed: it runs at b" runs a web b
check "the connection goes on" goes_on
start c
wait_for 60 "c to be ready" is_node a c ready

on a move web c --no-wait
wait_for 60 "it to be on its way" is_copying a web
end 9 "$(pid_of b)"
start b
wait_for 90 "the move to end" eval '[ "$(value a web spec.node)" = "$(value a web status.node)" ] && runs a web'
echo "# the source's daemon killed: it is at $(where a web)"
check "the source's daemon killed: the connection goes on" goes_on
wait_for 30 "one machine" eval '[ "$(pgrep -fc "qemu-system.*guest=web")" = 1 ]'

fast b
wait_for 60 "b to be ready" is_node a b ready
[ "$(where a web)" = b ] || check "back to b" on a move web b
slow b
wait_for 30 "its pid" eval 'machine=$(value b web status.pid) && kill -0 "$machine" 2>/dev/null'
on a move web c --no-wait
wait_for 60 "it to be on its way" is_copying a web
cut_link c
wait_for 120 "the move to end" eval '[ "$(value a web spec.node)" = "$(value a web status.node)" ] && runs a web b'
check "the link cut: QEMU lives" kill -0 "$machine"
check "the link cut: the connection goes on" goes_on
mend_link c
fast b
wait_for 60 "c to be ready" is_node a c ready
wait_for 60 "nothing to be left at c" eval '[ "$(pgrep -fc "qemu-system.*guest=web")" = 1 ]'
check "nothing is missing in the connection" gapless
check "and then it moves" on a move web c
for round in 1 2 3; do
	check "back at once" on a move web b
	check "and at once again" on a move web c
done
check "the connection goes on" goes_on
check "nothing is missing in it" gapless
check "it is the same guest still" test "$(on a exec web -- cat /proc/sys/kernel/random/boot_id)" = "$boot"

# Machines that do not run, with volumes and snapshots

check "a volume at a" on a volume create far 16MiB
check_refused "it is not where the VM is" "is on node 'a'" on a volume attach far web
check "a volume at c" on a volume create data 16MiB --on c
check "attach" on a volume attach data web
check "stop" on a stop web --force
check "with its volume to b" on a move web b
check "both are there" eval '[ "$(where a web)" = b ] && [ "$(name_of_node a "$(on a volume show data -o json | python3 -c "import json,sys; print(json.load(sys.stdin)[\"spec\"][\"node\"])")")" = b ]'
check "another VM" on a run tiny rest --on b -m 128MiB
check "its agent" on a wait rest --for agent --timeout 80s
check "first state" on a exec rest -- sh -c 'echo first >/root/state; sync'
check "stop" on a stop rest
check "snapshot" on a snapshot create rest one
check "start" on a start rest
check "its agent" on a wait rest --for agent --timeout 80s
check "second state" on a exec rest -- sh -c 'echo second >/root/state; sync'
check "stop" on a stop rest
check "stopped it goes to c" on a move rest c
check "start" on a start rest
check "its agent" on a wait rest --for agent --timeout 80s
check_says "the second state" "second" on a exec rest -- cat /root/state
check "stop" on a stop rest
check "its snapshot came along" on a snapshot restore rest one
check "start" on a start rest
check "its agent" on a wait rest --for agent --timeout 80s
check_says "the first state" "first" on a exec rest -- cat /root/state
check "remove" on a rm --force rest

check "a container with a volume" eval 'on a volume create files --filesystem && on a run --container busybox box --stop-timeout 1s --on a -v files:/data -- sh -c "echo in it >>/data/file; sleep 100000"'
check "cold to b" on a move box b
wait_for 60 "it to run there" runs a box b
wait_for 20 "its data to be there, started twice" eval '[ "$(on c exec box -- cat /data/file | xargs)" = "in it in it" ]'
files=$(on a volume show files -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["meta"]["uid"])')
wait_for 30 "nothing to be left at a" eval '! ls "$WORK/a/state/volumes" | grep -q "$files"'

check "a pool that all reach" on a pool create shared --shared --source "$WORK/shared"
check "a container in it" on a run --container busybox light --stop-timeout 1s --on a --pool shared -- sleep 100000
check "something in it" on a exec light -- sh -c 'echo kept >/root/kept'
files=$(find "$WORK/shared" | sort)
check "it goes to c" on a move light c
wait_for 60 "it to run there" runs a light c
check_says "as it was" "kept" on a exec light -- cat /root/kept
check "without a copy" test "$(find "$WORK/shared" | sort)" = "$files"
for name in web peer box light; do check "remove $name" on a rm --force $name; done
