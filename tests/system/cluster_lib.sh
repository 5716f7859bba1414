# cluster_lib.sh - hosts for the tests of clusters: each a network namespace behind a cable to one hub, with a daemon of its own. Source
# it after lib.sh.

HOSTS=
OPTIONS=

# hosts COUNT: a, b, c, ... with the addresses 10.7.0.1, ...; further options of the daemons stand in OPTIONS.
hosts() {
	ip link add hub type bridge
	ip address add 10.7.0.254/24 dev hub
	ip link set hub up
	number=0
	for host in $(echo a b c d e | cut -d' ' -f1-"$1"); do
		number=$((number + 1))
		HOSTS="$HOSTS $host"
		ip netns add "$host"
		ip link add "cable-$host" type veth peer name eth0 netns "$host"
		ip link set "cable-$host" master hub up
		ip -n "$host" address add "10.7.0.$number/24" dev eth0
		ip -n "$host" link set eth0 up
		ip -n "$host" link set lo up
		ip -n "$host" route add default via 10.7.0.254
		mkdir -m 711 "$WORK/$host"
	done
}

# start HOST [OPTION...]: its daemon; the namespace of UTS gives it a name of its own.
start() {
	host=$1
	shift
	setsid nsenter "--net=/run/netns/$host" unshare --uts sh -c "hostname $host; exec \"\$@\"" sh \
		"$STRATAD" --state "$WORK/$host/state" $OPTIONS "$@" >>"$WORK/$host/log" 2>&1 </dev/null &
	disown
	wait_for 40 "the daemon of $host to answer" on "$host" ls
}

# on HOST COMMAND...: strata there.
on() {
	host=$1
	shift
	timeout "${LIMIT:-60}" nsenter "--net=/run/netns/$host" "$STRATA" --socket "$WORK/$host/state/strata.sock" "$@"
}

pid_of() { cat "$WORK/$1/state/lock"; }
etcd_of() { cat "$WORK/$1/state/etcd/pid"; }

# end SIGNAL PID: and waits until it is gone.
end() {
	ending=$2
	kill "-$1" "$ending"
	wait_for 20 "process $ending to end" eval "! kill -0 $ending 2>/dev/null"
}

# cluster HOST PATH: a value of 'cluster show', like: cluster a members.0.state
cluster() {
	on "$1" cluster show -o json | python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    value = len(value) if key == "count" else value[int(key)] if isinstance(value, list) else value.get(key, [])
print(value)' "$2"
}

# members HOST: how many members of etcd serve, by what that host sees.
members() {
	on "$1" cluster show -o json | python3 -c '
import json, sys
print(sum(member["state"] == "serves" for member in json.load(sys.stdin).get("members", [])))'
}
has_members() { [ "$(members "$1")" = "$2" ] && [ "$(cluster "$1" members.count)" = "${3:-$2}" ] && [ "$(cluster "$1" endpoints.count)" = "${3:-$2}" ]; }
is_node() { [ "$(on "$1" node show "$2" -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"]["state"])')" = "$3" ]; }

# value HOST NAME PATH: of an instance.
value() {
	on "$1" show "$2" -o json | python3 -c '
import json, sys
value = json.load(sys.stdin)
value = value[0] if isinstance(value, list) else value
for key in sys.argv[1].split("."):
    value = (value or {}).get(key)
print(value)' "$3"
}

# What ends with a host that loses its power: all its processes, etcd and guests among them, and what it had mounted.
processes_of() { ip netns pids "$1" | while read -r each; do echo "$each"; pgrep -P "$each"; done; }
kill_host() {
	kill -9 $(processes_of "$1") 2>/dev/null
	wait_for 20 "the processes of $1 to be gone" eval "[ -z \"\$(ip netns pids $1)\" ]"
	grep -o " $WORK/$1/[^ ]*" /proc/self/mountinfo | sort -r | while read -r mounted; do umount -l "$mounted"; done
}
cut_link() { ip link set "cable-$1" down; }
mend_link() { ip link set "cable-$1" up; }

# name_of_node HOST UID; leader HOST: who leads, by what that host sees.
name_of_node() { on "$1" node ls -o json | python3 -c 'import json,sys; print(*[node["meta"]["name"] for node in json.load(sys.stdin) if node["meta"]["uid"] == sys.argv[1]])' "$2"; }
leader() { on "$1" node ls -o json | python3 -c 'import json,sys; print(*[node["meta"]["name"] for node in json.load(sys.stdin) if node["status"].get("is_leader")])'; }
where() { name_of_node "$1" "$(value "$1" "$2" status.node)"; }
# runs HOST NAME [NODE]: it is running (there), by what HOST sees.
runs() { [ "$(value "$1" "$2" status.state)" = running ] && { [ -z "${3:-}" ] || [ "$(where "$1" "$2")" = "$3" ]; }; }

# a is a cluster, all other hosts join it; the images come from a. Returns when all are ready.
make_cluster() {
	for host in $HOSTS; do start "$host" & done
	wait
	LIMIT=300 check "an image for VMs" on a image build tiny
	LIMIT=300 check "an image for containers" on a image build --container busybox
	check "a is a cluster" on a cluster init
	for host in ${HOSTS# a}; do
		LIMIT=120 check "$host joins" on "$host" cluster join "$(on a cluster token 2>/dev/null)"
	done
	for host in $HOSTS; do
		wait_for 60 "$host to be ready" is_node a "$host" ready
	done
}

# Whatever happens, no guest runs twice: looked at all the time. Containers are told by the number that they sleep.
watch_for_doubles() {
	python3 - "$WORK/doubles" <<'END' &
import collections, os, sys, time
while True:
    count = collections.Counter()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
        except OSError:
            continue
        if words[0] == "sleep" and words[1].startswith("31"):
            count["container " + words[1]] += 1
        elif "qemu-system" in words[0] and "-uuid" in words and "-incoming" not in words:
            count["VM " + words[words.index("-uuid") + 1]] += 1
    twice = [what for what, number in count.items() if number > 1]
    if twice:
        open(sys.argv[1], "a").write(" ".join(twice) + "\n")
    time.sleep(0.05)
END
	disown
}
nothing_twice() { [ ! -e "$WORK/doubles" ] || { sort "$WORK/doubles" | uniq -c; false; }; }

finish_cluster() {
	for host in $HOSTS; do
		[ ! -e "$WORK/$host/state/lock" ] || kill -9 "$(pid_of "$host")" 2>/dev/null
		[ ! -e "$WORK/$host/state/etcd/pid" ] || kill -9 "$(etcd_of "$host")" 2>/dev/null
		if [ $FAILED -ne 0 ]; then
			echo "# the daemon of $host said:"
			tail -n 30 "$WORK/$host/log" | sed 's/^/# /'
			tail -n 5 "$WORK/$host/state/etcd/log" 2>/dev/null | cut -c1-300 | sed 's/^/# etcd: /'
		fi
	done
	pkill -9 dnsmasq
	pkill -9 qemu-system
	finish
}
trap finish_cluster EXIT
