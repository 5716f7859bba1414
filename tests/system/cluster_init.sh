#!/bin/bash
# How hosts become a cluster and go back: real daemons, each in a network namespace of its own, with real etcds.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster_lib.sh"

hosts 5

guests() { echo "$(value a web status.pid) $(value a box status.pid)"; }
same_guests() { [ "$(guests)" = "$GUESTS" ] && kill -0 $GUESTS; }
state() { cluster "$1" state; }
# Restarted after a kill in the middle: one or the other, and everything is there.
is_whole() { case $(state "$1") in single | ready) ;; *) false ;; esac }
check_whole() { wait_for 20 "$1 to be whole after a kill ($2 ms)" is_whole "$1"; }

# kill -9 on the way out: in, or out.
leave_with_kills() {
	for ms in 005 010 020 040 080 160; do
		[ "$(state "$1")" = ready ] || break
		on "$1" cluster leave >/dev/null 2>&1 &
		request=$!
		sleep ".$ms"
		end 9 "$(pid_of "$1")"
		start "$1"
		wait $request
		check_whole "$1" $ms
	done
	[ "$(state "$1")" = single ] || on "$1" cluster leave
	check "$1 has left" test "$(state "$1")" = single
}

# One host, with guests

start a
LIMIT=300 check "an image for VMs" on a image build tiny
LIMIT=300 check "an image for containers" on a image build --container busybox
check "a VM" on a run tiny web
check "a container" on a run --container busybox box -- sleep 100000
check "a volume" on a volume create data 1MiB
check "it is shown as single" test "$(state a)" = single
GUESTS=$(guests)

check_refused "no token without a cluster" "strata cluster init" on a cluster token
check_refused "nothing to leave" "in no cluster" on a cluster leave
check_refused "an address for everybody" "0.0.0.0" on a cluster init --address 0.0.0.0
check_refused "an address that is none" "no numeric address" on a cluster init --address nonsense
check_refused "an address of somebody else" "is no address of this host" on a cluster init --address 10.7.0.2
check_refused "an etcd that is not there" "none of the members of etcd" on a cluster init --etcd http://10.7.0.254:1
check "after that it is what it was" test "$(state a)" = single
check "and takes changes" on a volume create more 1MiB

# kill -9 anywhere on the way

killed=0
for ms in 010 050 150 300 450 600 800 1000; do
	[ "$(state a)" = single ] || break
	on a cluster init >/dev/null 2>&1 &
	request=$!
	sleep "$(echo $ms | sed 's/\(.*\)\(...\)/\1.\2/')"
	end 9 "$(pid_of a)"
	start a
	wait $request
	killed=$((killed + 1))
	check_whole a $ms
	same_guests || fail "guests were touched by a kill after $ms ms: $GUESTS, now $(guests)"
	[ "$(on a volume ls -o name | sort | xargs)" = "$(echo data more | xargs)" ] || fail "volumes are lost after $ms ms: $(on a volume ls -o name | xargs)"
done
check "the daemon was killed on the way" test $killed -gt 0
[ "$(state a)" = ready ] || check "init" on a cluster init
check "it is a cluster" test "$(state a)" = ready
check_refused "once" "in a cluster already" on a cluster init
check "guests have the same pids" same_guests
check_says "and the container answers" "hello" on a exec box -- echo hello
check "objects came along" test "$(on a volume ls -o name | sort | xargs)" = "data more"
check "the old store is kept" test -s "$WORK/a/state/store.db.before-cluster"
check "and not used" test ! -e "$WORK/a/state/store.db"
check "changes go on" on a volume create third 1MiB
wait_for 20 "etcd of a to be seen" has_members a 1

etcd=$(etcd_of a)
end 9 "$(pid_of a)"
start a
check "the daemon killed: its etcd is taken over" test "$(etcd_of a)" = "$etcd"
check "guests live" same_guests
kill -9 "$etcd"
wait_for 20 "etcd to run again" eval '[ "$(etcd_of a)" != '"$etcd"' ] && on a volume create fourth 1MiB'
check_soon "etcd killed: it runs again" has_members a 1

# Who may join

start b
start c
start d
token=$(on a cluster token 2>/dev/null)
check_says "a token is listed" "1h" on a cluster token ls
check_refused "a token with a typo" "token" on b cluster join "x$token"
check_refused "a name that is taken" "--name" on b cluster join "$token" --name a
body='{"token_id":"x","secret":"y","name":"z","uid":"00000000-0000-0000-0000-000000000000","csr":"-","addresses":["10.7.0.9"]}'
check_says "one who has no token" "not valid" curl -sk https://10.7.0.1:8443/v1/cluster/join -d "$body"
id=$(on a cluster token ls -o name)
check_says "one who guesses" "forged" curl -sk https://10.7.0.1:8443/v1/cluster/join -d "${body/\"x\"/\"$id\"}"
# With the token's own secret (version, checksum, fingerprint, id, secret: see 4-service/pki/join_token.h).
wrong=$(python3 -c '
import base64, json, sys
token = base64.urlsafe_b64decode(sys.argv[1] + "==")
print(json.dumps({**json.loads(sys.argv[2]), "token_id": token[37:45].hex(), "secret": token[45:61].hex(), "time": 1}))' "$token" "$body")
check_says "one whose clock is wrong" "behind that of node 'a'" curl -sk https://10.7.0.1:8443/v1/cluster/join -d "$wrong"
short=$(on a cluster token --ttl 1s 2>/dev/null)
revoked=$(on a cluster token 2>/dev/null)
for each in $(on a cluster token ls -o name); do
	[ "$each" = "$id" ] || check "revoke" on a cluster token revoke "$each"
done
check_refused "a token that was revoked" "not valid" on b cluster join "$revoked"
wait_for 10 "the short token to end" eval "on b cluster join $short 2>&1 | grep -q 'has ended\|not valid'"
check_refused "a token that has ended" "strata cluster token" on b cluster join "$short"
check "a network of its own" on c network create mine
check_refused "a host that is not empty" "network 'mine'" on c cluster join "$token"
check "the network goes" on c network rm mine
check "all of this has not used the token up" on b cluster join "$token"
check_refused "now it is" "not valid" on c cluster join "$token"
check "two hosts" test "$(on b node ls -o name | xargs)" = "a b"
check "see the same" test "$(on b volume ls -o name | sort | xargs)" = "$(on a volume ls -o name | sort | xargs)"
check "one default network" test "$(on b network ls -o name | xargs)" = default
check "settings are the cluster's" on b config set console.log_size 3MiB
wait_for 10 "a to follow" eval "on a config show -o json | grep -q 3145728"
check_refused "but not where each answers" "--address" on b config set api.listen 127.0.0.1:8443
check_soon "one member of etcd" has_members b 1

# kill -9 on the way in: in, or not; a token that was lost on the way is made anew

for ms in 005 020 040 080 160 300; do
	[ "$(state c)" = single ] || break
	on c cluster join "$(on a cluster token 2>/dev/null)" >/dev/null 2>&1 &
	request=$!
	sleep "$(echo $ms | sed 's/\(.*\)\(...\)/\1.\2/')"
	end 9 "$(pid_of c)"
	start c
	wait $request
	check_whole c $ms
done
[ "$(state c)" = ready ] || check "c joins" on c cluster join "$(on b cluster token 2>/dev/null)"
wait_for 60 "three members of etcd" has_members a 3
check_soon "the third host: three members" has_members c 3
check "d joins" on d cluster join "$(on c cluster token 2>/dev/null)"
check_soon "the fourth host: still three" has_members d 3
check "guests were not touched" same_guests

# One member dies

end 9 "$(pid_of b)"
kill -9 "$(etcd_of b)"
LIMIT=60 check "one member dead: changes go on" on a volume create fifth 1MiB
check_says "and it is shown" "silent" on a cluster show
wait_for 40 "b to be missed" eval "! is_node a b ready"
start b
wait_for 60 "b to be back" has_members a 3
wait_for 40 "b to be ready" is_node a b ready

# One is gone for good

check_refused "who is alive is not removed" "is alive" on a node remove c
check_refused "nor oneself" "is this host" on a node remove a
end 9 "$(pid_of c)"
kill -9 "$(etcd_of c)"
wait_for 40 "c to be missed" eval "! is_node a c ready"
check "c is removed" on a node remove c
wait_for 60 "d to take its place" eval "has_members a 3 && on a cluster show | grep -q 10.7.0.4"
check "d has taken its place" test -e "$WORK/d/state/etcd/pid"
check_refused "c comes back and is told" "was removed from its cluster" nsenter --net=/run/netns/c "$STRATAD" --state "$WORK/c/state"
check "it forgets" "$STRATA" cluster forget --state "$WORK/c/state"
start c
check "and is by itself" test "$(state c)" = single
check "joins anew" on c cluster join "$(on a cluster token 2>/dev/null)"
check_soon "with its name" is_node a c ready

# Out and in

check "export" on d cluster export "$WORK/house"
check_refused "nothing is overwritten" "exists already" on d cluster export "$WORK/house"
start e
check "a file that is no store is refused" eval '! on e cluster import /etc/passwd 2>/dev/null'
check "import" on e cluster import "$WORK/house"
check "all objects are there" test "$(on e volume ls -o name | sort | xargs)" = "$(on a volume ls -o name | sort | xargs)"
check_refused "into what is not empty not" "is not empty" on e cluster import "$WORK/house"
end 15 "$(pid_of e)"

# Back to one host

check_refused "a host with guests does not leave" "is on this host" on a cluster leave
leave_with_kills c
check "without objects" test -z "$(on c volume ls -o name)"
leave_with_kills d
wait_for 60 "one member" has_members a 1
check_soon "two hosts: one member" has_members b 1
check "b leaves" on b cluster leave
wait_for 60 "the last member to be of a" has_members a 1
check "a is the last and goes back" on a cluster leave
check "to a host by itself" test "$(state a)" = single
check "guests have the same pids" same_guests
check_says "and the container answers" "hello" on a exec box -- echo hello
check "with all objects" test "$(on a volume ls -o name | sort | xargs)" = "data fifth fourth more third"
check "etcd is gone" test ! -e "$WORK/a/state/etcd"
# An etcd that is there already

etcd --name one --data-dir "$WORK/etcd" --listen-client-urls http://10.7.0.254:2379 --advertise-client-urls http://10.7.0.254:2379 \
	--listen-peer-urls http://10.7.0.254:2380 --initial-advertise-peer-urls http://10.7.0.254:2380 \
	--initial-cluster one=http://10.7.0.254:2380 --log-level error >>"$WORK/etcd.log" 2>&1 </dev/null &
external=$!
disown
check "a cluster on an etcd of ours" on a cluster init --etcd http://10.7.0.254:2379
check "no etcd runs here" test ! -e "$WORK/a/state/etcd"
check "b joins" on b cluster join "$(on a cluster token 2>/dev/null)"
check "and sees the objects" test "$(on b volume ls -o name | sort | xargs)" = "data fifth fourth more third"
check "b leaves" on b cluster leave
check "a goes back" on a cluster leave
check "guests have the same pids" same_guests
kill -9 $external
check "and forward again" on a cluster init
check "guests have the same pids" same_guests
for name in web box; do check "remove $name" on a rm --force $name; done
