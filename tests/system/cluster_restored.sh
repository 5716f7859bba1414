#!/bin/bash
# A store that was restored from an old backup: what the hosts have and it does not know of is kept, until people let go of it. And an
# etcd that is full, compacted, slow, or somebody else's.
command -v etcd >/dev/null && command -v etcdctl >/dev/null || { echo "# skipped: etcd is not installed: install the packages etcd-server and etcd-client"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster_lib.sh"
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=http://10.7.0.254:2379
CLUSTER="--name one --initial-advertise-peer-urls http://10.7.0.254:2380 --initial-cluster one=http://10.7.0.254:2380"

# start_etcd FOLDER [OPTION...]: an etcd that is not ours.
start_etcd() {
	folder=$1
	shift
	setsid etcd $CLUSTER --data-dir "$WORK/$folder" --listen-client-urls http://10.7.0.254:2379 --advertise-client-urls http://10.7.0.254:2379 \
		--listen-peer-urls http://10.7.0.254:2380 --log-level error "$@" >>"$WORK/etcd.log" 2>&1 </dev/null &
	ETCD=$!
	disown
	wait_for 20 "etcd to serve" etcdctl get x
}
stop_etcd() { end 9 "$ETCD"; }
ready() { is_node a a ready && is_node a b ready; }
warned() { on "$1" node show "$2" -o json | grep -q "restored from a backup"; }

hosts 2
start_etcd first
start a
start b
LIMIT=300 check "an image" on a image build --container busybox
check "a cluster on an etcd that is there" on a cluster init --etcd http://10.7.0.254:2379
check "b joins" on b cluster join "$(on a cluster token 2>/dev/null)"
wait_for 40 "both to be ready" ready
check "an old container" on a run --container busybox old --on b -- sleep 31001
check "an old volume" on b volume create before 1MiB
OLD=$(value a old status.pid)

# Full

stop_etcd
start_etcd first --quota-backend-bytes 3000000
dd if=/dev/urandom bs=1M count=1 2>/dev/null | base64 -w0 >"$WORK/filler"
i=0
while etcdctl put "/filler/$((i = i + 1))" <"$WORK/filler" >/dev/null 2>&1; do [ $i -lt 20 ] || break; done
wait_for 40 "writes to be refused" eval '! on a volume create full 1MiB'
check_refused "in words" "space exceeded" on a volume create full 1MiB
check "reads go on" on a volume show before
check_says "and so do guests" "here" on a exec old -- echo here
etcdctl del --prefix /filler >/dev/null 2>&1
etcdctl compact "$(etcdctl endpoint status -w json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["Status"]["header"]["revision"])')" >/dev/null
etcdctl defrag >/dev/null
etcdctl alarm disarm >/dev/null
wait_for 60 "writes to go on" on a volume create after 1MiB
wait_for 60 "both to be ready" ready
check "the container was not touched" test "$(value a old status.pid)" = "$OLD"

# Restored, while the daemons are stopped; then while they run

restore_old() {
	stop_etcd
	rm -rf "$WORK/$1"
	etcdctl snapshot restore "$WORK/backup" --data-dir "$WORK/$1" $CLUSTER >/dev/null 2>&1 || fail "the backup cannot be restored"
	start_etcd "$1"
}
etcdctl snapshot save "$WORK/backup" >/dev/null 2>&1
check "a new container" on a run --container busybox new --on b -- sleep 31002
check "a new volume" on b volume create young 1MiB
young=$(on b volume show young -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["meta"]["uid"])')
NEW=$(value a new status.pid)
wait_for 30 "b to have noted what it has seen" eval '[ "$(python3 -c "import json; print(json.load(open(\"$WORK/b/state/seen\"))[\"revision\"])")" -ge "$(etcdctl get --prefix / --limit 1 -w json | python3 -c "import json,sys; print(json.load(sys.stdin)[\"header\"][\"revision\"])")" ]'
end 15 "$(pid_of a)"
end 15 "$(pid_of b)"
restore_old second
start a
start b
wait_for 60 "both to be ready" ready
check "the container of before was not touched" test "$(value a old status.pid)" = "$OLD"
check "the store does not know the new one" eval '! on a show new'
check "it runs all the same" kill -0 "$NEW"
check "the disk that it does not know is kept" eval 'ls $WORK/b/state/volumes | grep -q '"$young"
check "b warns" warned a b
check_says "the doctor, too" "accept-restored" on b doctor
check_says "the log names what is kept" "$young" cat "$WORK/b/log"
end 15 "$(pid_of b)"
start b
wait_for 40 "b to be ready" ready
check "also after another start" eval 'kill -0 '"$NEW"' && ls $WORK/b/state/volumes | grep -q '"$young"
check "accepted" on a cluster accept-restored
wait_for 20 "the warning to go" eval '! warned a b && ! warned b a'
check_refused "once" "nothing to accept" on b cluster accept-restored
check "nothing goes while the daemon runs" kill -0 "$NEW"
end 15 "$(pid_of b)"
start b
wait_for 40 "b to be ready" ready
wait_for 20 "the container that is unknown to end" eval "! kill -0 $NEW"
check "and its disk is gone" eval '! ls $WORK/b/state/volumes | grep -q '"$young"
check "the container of before was not touched" test "$(value a old status.pid)" = "$OLD"

check "a new container" on a run --container busybox again --on b -- sleep 31003
NEW=$(value a again status.pid)
sleep 6		# What is seen is noted every 5 s.
restore_old third
wait_for 60 "the daemons to see it" eval '! on a volume create lost 1MiB'
on a volume create lost 1MiB
check "guests run on" kill -0 "$NEW" "$OLD"
for host in a b; do end 15 "$(pid_of $host)"; start $host; done
wait_for 60 "both to be ready" ready
check "it is kept" kill -0 "$NEW" "$OLD"
check "b warns" warned a b
