#!/bin/bash
# stratad on a real etcd: chosen by its settings, killed, started again; etcd killed beneath it.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"

CONFIG=$WORK/stratad.yaml
URL=http://127.0.0.1:2379

start_etcd() {
	etcd --name one --data-dir "$WORK/etcd" --listen-client-urls $URL --advertise-client-urls $URL \
		--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
		--initial-cluster one=http://127.0.0.1:2380 --log-level error >>"$WORK/etcd.log" 2>&1 </dev/null &
	etcd=$!
	disown
}

kill_etcd() {
	kill -9 $etcd
	wait_for 5 "etcd to be dead" eval "! kill -0 $etcd 2>/dev/null"
}

# How many keys begin with this.
count_keys() {
	key=$(printf %s "$1" | base64 -w0) end=$(printf '%s\377' "$1" | base64 -w0)
	curl -s $URL/v3/kv/range -d "{\"key\":\"$key\",\"range_end\":\"$end\",\"count_only\":true}" |
		python3 -c 'import json, sys; print(json.load(sys.stdin).get("count", 0))'
}

agree() { [ "$(strata ls -o name | wc -l)" = "$(count_keys /strata/house/data/desired/instance/)" ]; }
has_none() { [ "$(count_keys /strata/house/data/desired/instance/)" = 0 ]; }
refused() { check_refused "$1" "$2" "$STRATAD" --state "$WORK/refused" --driver sim --config "$CONFIG"; }

# Settings that cannot be

printf 'store: ectd\n' >"$CONFIG"
refused "an unknown store" "etcd"
printf 'store: etcd\n' >"$CONFIG"
refused "no endpoints" "needs endpoints"
printf 'store: etcd\netcd:\n  endpoints: [127.0.0.1:2379]\n' >"$CONFIG"
refused "an endpoint without a scheme" "'127.0.0.1:2379' is not http[s]://HOST:PORT"
printf 'store: etcd\netcd:\n  endpoints: [%s]\n  prefix: house\n' $URL >"$CONFIG"
refused "a prefix that is none" "'house' does not begin and end with '/'"
printf 'store: etcd\netcd:\n  endpoints: [%s]\n  ca: /nonexistent\n' $URL >"$CONFIG"
refused "a CA that is not there" "the CA '/nonexistent' cannot be read"
printf 'store: etcd\netcd:\n  endpoints: [%s, http://127.0.0.1:1]\n  timeout: 100ms\n' $URL >"$CONFIG"
refused "no etcd" "none of the members of etcd $URL, http://127.0.0.1:1 serves"

# Life and death

printf 'store: etcd\netcd:\n  endpoints: [%s]\n  prefix: /strata/house/\n  timeout: 1s\n' $URL >"$CONFIG"
start_etcd
start_daemon --driver sim --config "$CONFIG"
check "an image" strata image build tiny
check "create" strata create tiny web
check "start" strata start web
check "it runs" strata wait web --for running --timeout 20s
check "everything is below the prefix" wait_for 5 "all keys to be below the prefix" eval '[ "$(count_keys /)" = "$(count_keys /strata/house/)" ]'
check "there is something" test "$(count_keys /strata/house/data/desired/instance/)" = 1
check "no file is used" test ! -e "$STATE/store.db"
check "a backup" strata backup "$WORK/backup"
check "is the file of a host by itself" test "$(head -c 15 "$WORK/backup")" = "SQLite format 3"
check "settings are kept" strata config set console.log_size 2MiB
check_refused "but not where they are" "--config" strata config set store sqlite

kill_etcd
check_says "without etcd reading goes on" "web" strata ls
start_etcd
check "etcd killed and started: changes go on" strata create tiny second
check "start" strata start second
check "it runs" strata wait second --for running --timeout 20s

# The answer to this is lost with etcd: it is made once, or not at all.
strata create tiny third >/dev/null 2>&1 &
request=$!
kill_etcd
start_etcd
wait $request
check "a change while etcd dies" wait_for 10 "daemon and etcd to agree" agree

# What is simulated goes with the daemon, what is stored stays.
kill_daemon
start_daemon --driver sim --config "$CONFIG"
check_says "killed and started: the objects are there" "web" strata show web
check_says "settings too" "2097152" strata config show -o json
check "and what is in etcd is what is shown" agree

# Another house in the same etcd sees nothing of it.
stop_daemon
STATE=$WORK/other
export STRATA_SOCKET=$STATE/strata.sock
printf 'store: etcd\netcd:\n  endpoints: [%s]\n' $URL >"$CONFIG"
start_daemon --driver sim --config "$CONFIG"
check "another house" strata image build tiny
check "has keys of its own" test "$(count_keys /strata/)" -gt "$(count_keys /strata/house/)"
check "and sees none of ours" eval '! strata ls -o name | grep -q .'
stop_daemon

STATE=$WORK/state
export STRATA_SOCKET=$STATE/strata.sock
printf 'store: etcd\netcd:\n  endpoints: [%s]\n  prefix: /strata/house/\n' $URL >"$CONFIG"
start_daemon --driver sim --config "$CONFIG"
for name in $(strata ls -o name); do check "remove $name" strata rm --force "$name"; done
wait_for 20 "all to go" has_none
check "and all is gone from etcd" has_none
stop_daemon
kill -9 $etcd
