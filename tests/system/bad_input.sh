#!/bin/bash
# Bad input: one line that names the field, the value and the remedy; exit status not zero; nothing changed.
. "$(dirname "$0")/lib.sh"

start_daemon --driver sim
check "image" strata image build tiny
check "instance" strata run tiny web
before=$(strata ls -o name; strata image ls -o name; strata network ls -o name)
api() { curl -s --unix-socket "$STRATA_SOCKET" "$@"; }
long_name=$(head -c 100000 /dev/zero | tr '\0' a)

check_refused "unknown image" "image 'nope' does not exist" strata run nope x
check_refused "name taken" "'web' exists already" strata run tiny web
check_refused "bad name" "is not a valid name" strata run tiny 'Bad_Name!'
check_refused "0 cpus" "cpus" strata run tiny x --cpus 0
check_refused "10^9 cpus" "cpus" strata run tiny x --cpus 1000000000
check_refused "memory 12x" "12x" strata run tiny x --memory 12x
check_refused "more memory than the host" "more than the host has" strata run tiny x --memory 12TiB
strata config set overcommit.vm.memory 1 >/dev/null
check_refused "more memory than is left" "GiB free of" strata run tiny x --memory "$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) / 1024 - 100))MiB"
check_refused "more than once" "use 1 to 1000" strata config set overcommit.vm.memory 0
check_refused "no ratio" "overcommit.vm.memory" strata config set overcommit.vm.memory much
check_refused "less than nothing" "reserved.memory" strata config set reserved.memory 5x
strata config set overcommit.vm.memory= >/dev/null
check_refused "unknown network" "network 'nope' does not exist" strata run tiny x --network nope
check_refused "unknown instance" "instance 'x' does not exist" strata start x
check_refused "unknown command" "did you mean" strata strat web
check_refused "unknown option" "--memroy" strata run tiny x --memroy 1GiB
check_refused "a long name" "63" strata run tiny "$long_name"

# Containers, their images, pools
check "image" strata image build --container busybox
before=$(strata ls -o name; strata image ls -o name; strata network ls -o name)
(printf 'BIG='; head -c 1000000 /dev/zero | tr '\0' x; echo) >"$WORK/env"
box() { strata run --container busybox x "$@"; }
check_refused "a mount of nothing" "use volume=NAME,target=PATH" box --mount nonsense
check_refused "a mount of a volume there is not" "volume 'nope' does not exist" box --mount volume=nope,target=/data
check_refused "a relative folder of the host" "'relative' is not an absolute path" box --mount bind=relative,target=/data
check_refused "a target that climbs" "'/etc/../..' is not an absolute path" box -v /etc:/etc/../..
check_refused "a variable without a name" "'=x' is neither NAME=VALUE nor NAME" box -e =x
check_refused "a megabyte of environment" "too long (1000004 bytes)" box --env-file "$WORK/env"
check_refused "0 processes" "spec.container.pids" box --pids 0
check_refused "weight" "use 1 to 10000" box --cpu-weight 100000
check_refused "1 KiB of memory" "use 4MiB to" box --memory 1KiB
check_refused "no latency class" "normal, interactive, batch" box --latency-class fast
check_refused "no device" "'/etc/passwd' is not a device" box --device /etc/passwd
check_refused "no capability" "not a capability" box --cap-add 'net admin'
check_refused "a health check every ms" "use 100ms to" box --health-cmd true --health-interval 1ms
check_refused "no restart policy" "no, on-failure, always" box --restart sometimes
check_refused "a relative folder" "'relative' is not an absolute path" box -w relative
check_refused "a tmpfs of 'lots'" "'lots' is not a size" box --tmpfs /tmp:size=lots
check_refused "keys" "ctrl-p,ctrl-q" box --detach-keys nonsense -i
check_refused "an image for machines" "image 'tiny' is for virtual machines" strata run --container tiny x
check_refused "a screen" "only a vm has it" strata run busybox x --vnc
check_refused "a machine that is read-only" "a vm has none of this" strata run tiny x --read-only
check_refused "no recipe" "'gentoo' is not a recipe" strata image build --container gentoo
check_refused "no reference" "'UPPER:x:y' is not a valid name" strata image pull UPPER:x:y
check_refused "a tag of nothing" "image 'nope' does not exist" strata image tag nope other
check_refused "no name" "'Bad Name' is not a valid name" strata image tag busybox 'Bad Name'
check_refused "a commit of nothing" "instance 'nope' does not exist" strata commit nope image
check_refused "no driver of pools" "one of file, btrfs" strata pool create p --driver zfs
check_refused "too small a btrfs" "256MiB" strata pool create p --driver btrfs --size 1MiB
check_refused "a relative source" "'relative' is not an absolute path" strata pool create p --source relative
check_refused "the pool of images" "cannot be removed" strata pool rm default
check_refused "no pool" "pool 'nope' does not exist" strata volume create v 10MiB --pool nope
check_refused "no schedule" "is not a schedule" strata volume create v --filesystem --snapshots 'every 1s keep 2'
check_refused "too many kept" "'keep' 1 to 256" strata volume create v --filesystem --snapshots 'hourly keep 1000'
check_refused "a disk without a size" "is missing" strata volume create v
check_refused "a backup of no snapshot" "--snapshot" strata volume backup v "$WORK/v"
check_refused "a restore of no file" "No such file" strata volume restore "$WORK/nope" v
check_refused "no time" "2026-11-23T10:00:00Z" strata logs web --since yesterday

manifest() { printf '%s' "$1" >"$WORK/m.yaml"; }
manifest 'kind: instance
meta: {name: x}
spec: {image: tiny, memroy: 1GiB}'
check_refused "unknown field" "did you mean 'memory'" strata apply -f "$WORK/m.yaml"
manifest 'kind: instance
meta: {name: x}
meta: {name: y}
spec: {image: tiny}'
check_refused "duplicate key" "meta" strata apply -f "$WORK/m.yaml"
manifest 'kind: instance
meta: {name: x}
spec: {image: tiny, cpus: "two"}'
check_refused "wrong type" "spec.cpus" strata apply -f "$WORK/m.yaml"
python3 -c 'print("[" * 10000 + "]" * 10000)' >"$WORK/m.yaml"
check_refused "10,000 nested lists" "deep" strata apply -f "$WORK/m.yaml"
printf 'kind: instance\nmeta: {name: "\xff\xfe"}\n' >"$WORK/m.yaml"
check_refused "not UTF-8" "UTF-8" strata apply -f "$WORK/m.yaml"
python3 -c 'print("kind: instance\nmeta: {name: \"" + "a" * 1000000 + "\"}\nspec: {image: tiny}")' >"$WORK/m.yaml"
check_refused "1 MB name" "63" strata apply -f "$WORK/m.yaml"
manifest 'kind: instance
meta: {name: x}
spec: {image: tiny}
---
kind: instance
meta: {name: y}
spec: {image: tiny, cpus: -1}'
check_refused "the second of two is bad" "cpus" strata apply -f "$WORK/m.yaml"
check_refused "and the first was not made" "does not exist" strata show x

head -c 100000000 /dev/zero | tr '\0' ' ' >"$WORK/huge"
check_says "100 MB body" '"code":413' api -X POST --data-binary @"$WORK/huge" http://x/v1/instances
check_says "broken JSON" "line 1" api -X POST -d '{"meta": }' http://x/v1/instances
check_says "nested JSON" "deep" api -X POST -d "$(python3 -c 'print("[" * 10000 + "]" * 10000)')" http://x/v1/instances
check_says "unknown path" '"code":404' api http://x/v1/instanzes
check_says "wrong method" '"code":405' api -X PUT -d '{}' http://x/v1/instances/web

check_refused "no permission on the socket" "group 'strata'" setpriv --reuid=65534 --regid=65534 --clear-groups "$STRATA" --socket "$STRATA_SOCKET" ls

check "nothing has changed" test "$before" = "$(strata ls -o name; strata image ls -o name; strata network ls -o name)"
strata rm --force web >/dev/null
stop_daemon

# Images, with the real volume driver
start_daemon
qemu-img create -q -f qcow2 "$WORK/good.qcow2" 10M
head -c 1000 "$WORK/good.qcow2" >"$WORK/short.qcow2"
check_refused "a truncated qcow2" "truncated" strata image import a --format qcow2 "$WORK/short.qcow2"
qemu-img create -q -f qcow2 -u -b /etc/shadow -F raw "$WORK/shadow.qcow2" 10M
check_refused "a backing file" "/etc/shadow" strata image import b "$WORK/shadow.qcow2"
check_refused "a wrong sha256" "sha256" strata image import c --sha256 "$(printf '%064d' 0)" "$WORK/good.qcow2"
mkdir -p "$WORK/evil" && echo '{}' >"$WORK/evil/manifest.json"
(cd "$WORK/evil" && tar -cf "$WORK/evil.tar" --absolute-names --transform 's,manifest.json,../../escape,' manifest.json)
check_refused "a path that leaves the archive" "escape" strata import "$WORK/evil.tar" d
check_refused "not an archive" "d" strata import "$WORK/huge" d
check "nothing was written outside" test ! -e "$STATE/escape" -a ! -e "$STATE/../escape"
for name in $(strata image ls -o name); do strata image rm "$name" >/dev/null; done
wait_for 10 "images to go" eval '[ -z "$(strata image ls -o name)" ]'
check "no volume is left" eval '[ -z "$(ls "$STATE/volumes")" ]'
check "nothing is left in staging" eval '[ -z "$(ls "$STATE/staging")" ]'
