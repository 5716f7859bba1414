#!/bin/bash
# One real container through everything a person does with it.
. "$(dirname "$0")/lib.sh"
on_pty() { timeout 60 "$(dirname "$0")/on-pty" "$@"; }

# limit_of NAME CONTROLLER FILE-OF-VERSION-1 FILE-OF-VERSION-2: what the kernel holds it to.
limit_of() {
	group=strata-$tag/containers/$(field "$1" meta.uid)/container
	cat "/sys/fs/cgroup/$2/$group/$3" 2>/dev/null || cat "/sys/fs/cgroup/$group/$4"
}
has_output() { strata logs "$1" | grep -q "$2"; }

start_daemon
make_busybox
tag=$(node_tag)
ticks='trap "echo asked; exit 3" TERM; echo begun; echo complaint >&2; while :; do sleep 0.1; done'

# How it is started
mkdir "$WORK/site" "$WORK/secret" && echo 'from the host' >"$WORK/site/index.html"
chmod 755 "$WORK/site"
printf 'FROM_FILE=7\n# a comment\nBOTH=file\n' >"$WORK/env"
check "a volume" strata volume create data --filesystem
FROM_US=ours check "web runs" strata run --container busybox web --publish 8080:80 --env-file "$WORK/env" --env BOTH=option --env FROM_US \
	--mount volume=data,target=/data --mount "bind=$WORK/site,target=/site,ro" --volume "$WORK/secret:/secret" --tmpfs /cache:size=1MiB \
	--cap-add NET_ADMIN --workdir /data --label tier=front --latency-class interactive --memory 64MiB --cpus 1 --restart no -- sh -c "$ticks"
check_says "variables: file, option over file, ours" "7 option ours" strata exec web -- sh -c 'echo $FROM_FILE $BOTH $FROM_US'
check_says "folder it starts in" "/data" strata exec web -- sh -c 'readlink /proc/1/cwd'
check_says "host's name" "web" strata exec web -- hostname
check_says "address" "$(field web spec.nics.0.ipv4)" strata exec web -- ip addr show dev eth0
check_says "a folder of the host" "from the host" strata exec web -- cat /site/index.html
check "that may only be read" eval '! strata exec web -- touch /site/x && [ ! -e "$WORK/site/x" ]'
check "the volume may be written" strata exec web -- sh -c 'echo kept >/data/kept'
check_says "tmpfs has its limit" "1.0M" strata exec web -- df -h /cache
check_says "a capability more" "1400" strata exec web -- sh -c 'ip link set lo mtu 1400; cat /sys/class/net/lo/mtu'
check "root of the container is nobody's root" eval '[ "$(stat -c %u "/proc/$(field web status.pid)")" = 1048576 ]'
for words in "user namespace: ids 0-65535" "namespaces of its own: user, pid, net" "capabilities: 11 of" "seccomp: system calls" "no new privileges"; do
	check_says "isolation: $words" "$words" strata show web
done
check_says "latency class" "interactive" strata show web

# Published port, names
strata exec web -- httpd -p 80 -h /site
check_says "published port" "from the host" curl -s --max-time 10 http://127.0.0.1:8080/
run_busybox two --cap-drop ALL --user www-data --read-only --tmpfs /tmp --entrypoint 'sh -c' -- 'sleep 1000; true'
check_says "names of others" "from the host" strata exec two -- wget -qO- http://web/
check_says "and their whole names" "$(field web spec.nics.0.ipv4)" strata exec two -- nslookup web.default.internal
check_says "entrypoint and user" "33 sh -c sleep 1000; true" strata exec two -- sh -c 'echo $(id -u) $(tr "\0" " " </proc/1/cmdline)'
check_says "no capability" "CapBnd:	0000000000000000" strata exec two -- grep CapBnd /proc/1/status
check "a read-only root" eval '! strata exec -u root two -- touch /x && strata exec two -- touch /tmp/x'
check "remove it" strata rm --force two

# exec
check "exit code" eval 'strata exec web -- sh -c "exit 7"; [ $? = 7 ]'
check "stdin, whole and to its end" eval '[ "$(seq 100000 | strata exec -i web -- md5sum | cut -c 1-32)" = "$(seq 100000 | md5sum | cut -c 1-32)" ]'
check "stderr is apart" eval '[ "$(strata exec web -- sh -c "echo out; echo err >&2" 2>/dev/null)" = out ]'
check_says "user, variable, folder" "33 /tmp de" strata exec -u www-data -w /tmp -e L=de web -- sh -c 'echo $(id -u) $PWD $L'
check_says "a command that is not there" "strata: executable file \`nothere\` not found" eval '! strata exec web -- nothere'
check_refused "a user who is not there" "nobodyhere" strata exec -u nobodyhere web -- id
check_says "a terminal" "/dev/pts/" on_pty -- "$STRATA" exec -t web -- tty

# A run that is attached
check "input and exit code" eval '[ "$(echo typed | strata run --rm -i busybox -- sh -c "cat; exit 9"; echo $?)" = "$(printf "typed\n9")" ]'
check "output of both kinds" eval '[ "$(strata run --rm --attach busybox -- sh -c "echo out; echo err >&2" 2>/dev/null)" = out ]'
check_says "on a terminal" "size 24 80" on_pty '# ' 'sleep 0.5; echo size $(stty size)\r' 'size ' 'exit\r' -- "$STRATA" run --rm -it busybox -- sh
check "and its exit code" eval 'on_pty "# " "exit 6\r" -- "$STRATA" run --rm -it busybox -- sh; [ $? = 6 ]'
check_says "left by its keys" "goes on" on_pty '# ' '\x10\x11' -- "$STRATA" run -it busybox shell -- sh
wait_for 10 "it to go on" is_state shell running
check "attached anew" eval 'on_pty "# " "exit 4\r" -- "$STRATA" attach shell >"$WORK/attach" 2>&1 & sleep 0.5; wait $!; [ $? = 4 ] || on_pty "" "exit 4\r" -- "$STRATA" attach shell'
wait_for 10 "it to end" is_state shell stopped
check_says "its exit code is kept" "4" field shell status.exit_code
wait_for 10 "what was to be removed to be" eval '[ "$(strata ls -o name | sort | tr "\n" " ")" = "shell web " ]'
check "remove it" strata rm shell

# What it wrote
check_says "both streams" "complaint" strata logs web
check_says "the last line" "complaint" strata logs --tail 1 web
check "only that" eval '[ "$(strata logs --tail 1 web 2>&1 | wc -l)" = 1 ]'
check_says "with its time" "$(date -u +%Y-%m-%dT)" strata logs --timestamps web
check_says "since then" "begun" strata logs --since 10m web
check "nothing since now" eval '[ -z "$(strata logs --since "$(date -u -d "+1 minute" +%Y-%m-%dT%H:%M:%SZ)" web)" ]'
strata run busybox slow --restart no -- sh -c 'for i in 1 2 3 4; do echo line $i; sleep 0.3; done' >/dev/null
check_says "followed to its end" "line 4" timeout 20 "$STRATA" logs --follow slow
check "remove it" strata rm slow

# cp, commit
head -c 3000000 /dev/urandom >"$WORK/blob"
check "copy in" strata cp "$WORK/blob" web:/root/blob
check "copy out" strata cp web:/root/blob "$WORK/back"
check "it is the same" cmp "$WORK/blob" "$WORK/back"
mkdir -p "$WORK/tree/sub" && echo deep >"$WORK/tree/sub/file" && ln -s sub/file "$WORK/tree/link"
check "copy a folder in" strata cp "$WORK/tree" web:/root/
check "copy a folder out" strata cp web:/root/tree "$WORK/out"
check "it is the same" diff -r "$WORK/tree" "$WORK/out"
check "copy into the volume" strata cp "$WORK/blob" web:/data/blob
check_refused "a file that is not there" "o such file" strata cp web:/nope "$WORK/nope"
check "commit" strata commit web image2 --message 'with a blob' --env ADDED=1 --cmd 'sh -c "cat /root/blob | md5sum; echo \$ADDED; ls /data"'
check "what was committed runs" eval 'strata run --rm --attach image2 >"$WORK/said"'
check_says "with its files and settings" "$(md5sum <"$WORK/blob")
1" cat "$WORK/said"
check "and without the volume's" eval '! grep -q blob "$WORK/said"'
check_says "what was changed" "with a blob" strata image show image2
check_says "its layers" "commit" strata image history image2
wait_for 10 "it to be removed" eval '[ "$(strata ls -o name)" = web ]'
check "remove the image" strata image rm image2

# Power
check "pause" strata pause web
check "is paused" is_state web paused
check_refused "nothing runs in it then" "paused" strata exec web -- true
check "resume" strata resume web
check "runs again" strata exec web -- true
check "stop" strata stop web
check_says "it was asked" "asked" strata logs web
check_says "with its exit code" "3" field web status.exit_code
check "start" strata start web
check_says "what it changed is there" "deep" strata exec web -- cat /root/tree/sub/file
check_says "and in the volume" "kept" strata exec web -- cat /data/kept
check_says "top" "web" strata top
wait_for 15 "its use to be looked at" eval 'strata stats web | grep -q " of 4096"'
check_says "stats" "B of 64MiB" strata stats web

# Limits, while it runs
check_says "memory at the start" 67108864 limit_of web memory memory.limit_in_bytes memory.max
check "change them" strata update web --memory 32MiB --cpus 2 --pids 20 --cpu-weight 200
check_says "memory" 33554432 limit_of web memory memory.limit_in_bytes memory.max
check_says "cpus" 200000 limit_of web cpu cpu.cfs_quota_us cpu.max
check_says "processes" 20 limit_of web pids pids.max pids.max
pid=$(field web status.pid)
check "is the same process" kill -0 "$pid"
check "too much memory: killed" eval 'strata exec web -- sh -c "x=\$(head -c 60000000 /dev/zero | tr \"\\0\" a)"; [ $? = 137 ]'
wait_for 10 "that to be told" eval '[ "$(field web status.out_of_memory)" = true ]'
check_says "in words" "memory limit" strata events web
run_busybox crowd --pids 10 -- sleep 1000
check_says "too many processes: refused" "can't fork" eval 'strata exec crowd -- sh -c "for i in \$(seq 30); do sleep 2 & done; wait" 2>&1 || true'
check_refused "too little memory" "4MiB" strata update web --memory 1MiB
strata update web --memory 64MiB >/dev/null
strata rm --force crowd

# Ends: exit codes, restarts that take longer and longer, removal
strata run busybox bad --restart always -- sh -c 'exit 3' >/dev/null
wait_for 20 "the second restart" eval '[ "$(field bad status.restarts)" -ge 2 ]'
check_says "its exit code" 3 field bad status.exit_code
check_says "each told with what follows" "exited with code 3; starting it again in" strata events bad
check "waits longer each time" eval 'strata events bad | sed -n "s/.*starting it again in //p" | head -n 2 | uniq -d | { ! grep -q .; }'
check "no more when it is stopped" strata stop bad
strata run busybox good --restart on-failure -- true >/dev/null
wait_for 10 "a good end" eval 'is_state good stopped && [ -n "$(field good status.exited_at)" ]'
check "is not started again" eval '[ "$(field good status.restarts)" = "" ] && [ "$(field good status.started_serial)" = 1 ]'
strata run busybox once --restart no -- sh -c 'kill -9 $$; exit 5' >/dev/null
wait_for 10 "an end" is_state once stopped
strata run busybox eater --restart no --memory 16MiB -- sh -c 'exec tail -f /dev/zero' >/dev/null
wait_for 15 "the end of what eats memory" is_state eater stopped
check_says "out of memory" true field eater status.out_of_memory
check_says "exit code of a kill" 137 field eater status.exit_code
check_says "--rm" "" strata run busybox fleeting --rm --no-wait -- true
wait_for 10 "it to be removed" eval '! strata show fleeting'
check "remove them" strata rm --force bad good once eater

# Health
run_busybox sick --health-cmd 'test -e /well' --health-interval 200ms --health-retries 2 -- sleep 1000
wait_for 10 "it to be unhealthy" eval '[ "$(field sick status.health)" = unhealthy ]'
strata exec sick -- touch /well
wait_for 10 "it to be healthy" eval '[ "$(field sick status.health)" = healthy ]'
check_says "both are told" "'sick' is well" strata events sick
check "remove it" strata rm --force sick

# Snapshots with volumes, clone, rename
check "snapshot" strata snapshot create web s1
strata exec web -- sh -c 'rm /root/blob /data/kept; echo new >/data/new'
check "restore" strata snapshot restore web s1
wait_for 10 "it to run" is_state web running
check_says "the root is back" "blob" strata exec web -- ls /root
check_says "and the volume" "kept" strata exec web -- cat /data/kept
check "as it was then" strata exec web -- test ! -e /data/new
check "clone" strata run busybox plain --restart no -- sh -c 'sleep 1000'
strata exec plain -- sh -c 'echo copied >/root/mark'
check "of a running one" strata clone plain twin
check "runs too" strata start twin
check_says "with the same files" copied strata exec twin -- cat /root/mark
check_says "of another name" twin strata exec twin -- hostname
check "rename" strata rename twin other
check_says "still running" running field other status.state
check_refused "the old name" "does not exist" strata show twin
check "remove both" strata rm --force plain other

# An init system is process 1
run_busybox system -- init
check_says "it is process 1" "init" strata exec system -- sh -c 'tr "\0" " " </proc/1/cmdline'
check "and ends in order" eval 'begun=$(date +%s); strata stop system && [ $(($(date +%s) - begun)) -lt 10 ]'
check "starts again" strata start system
check "remove it" strata rm --force system

# systemd is process 1
archive=$(sed -n 's/.*copy:\([^ ]*\).*/\1/p' /etc/apt/sources.list 2>/dev/null)
if [ -e "$archive/debian.tar" ]; then
	check "import a Debian" strata image import --container debian "$archive/debian.tar"
	check "boot it" strata run debian deb --env container=oci --stop-signal SIGRTMIN+3 -- /sbin/init
	wait_for 30 "it to be up" eval '[ "$(strata exec deb -- systemctl is-system-running)" = running ]'
	check_says "with nothing failed" "0 loaded units" strata exec deb -- systemctl --failed
	check "a service in it" strata exec deb -- systemd-run --wait --quiet true
	check "stop" strata stop deb
	check_says "in order" "exited with code 0" field deb status.exit_reason
	check_says "to its end" "Halting system" strata logs deb
	check "remove" strata rm deb
	check "remove the image" strata image rm debian
else
	echo "ok - systemd # skip tools/local-archive made no debian.tar"
fi

for event in accepted started paused resumed stopped restored; do check_says "event: $event" "$event" strata events web; done
check "remove web" strata rm --force web
check "remove the volume" strata volume rm data
check "remove the image" strata image rm busybox
check "nothing of its layers after that" strata image prune
wait_for 10 "its layers to go" eval '[ -z "$(ls "$STATE/oci/layers")" ]'
check_no_container_left "$tag"
