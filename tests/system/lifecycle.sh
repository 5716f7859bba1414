#!/bin/bash
# One real machine through everything a person does with it.
. "$(dirname "$0")/lib.sh"

start_daemon
make_tiny
check_says "a second build of the same name is refused" "exists already" eval '! strata image build tiny 2>&1 || false; strata image build tiny 2>&1 || true'
run_tiny web --publish 8080:80 --label tier=front
tag=$(node_tag)
tiny=$(strata image show tiny -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["meta"]["uid"])')
KEEP=$tiny

check_says "the console spoke" "strata tiny: init" strata logs web
check_says "it has its address" "$(field web spec.nics.0.ipv4)" strata exec web -- ip addr show dev eth0
check_says "its name is known to DNS" "$(field web spec.nics.0.ipv4)" strata exec web -- nslookup web.default.internal
check_says "its hostname" "web" strata exec web -- hostname

# exec
check_says "stdout" "Linux" strata exec web -- uname
check "exit code" eval 'strata exec web -- sh -c "exit 7"; [ $? = 7 ]'
check_says "stdin" "from outside" eval 'echo from outside | strata exec -i web -- cat'
check "stderr is apart" eval '[ "$(strata exec web -- sh -c "echo out; echo err >&2" 2>/dev/null)" = out ]'
check_says "environment and folder" "/tmp de" eval 'strata exec -e L=de -w /tmp web -- sh -c "echo \$PWD \$L"'
check_refused "a command that is not there" "nothere" strata exec web -- nothere

# cp
head -c 300000 /dev/urandom >"$WORK/data"
check "copy in" strata cp "$WORK/data" web:/root/data
check "copy out" strata cp web:/root/data "$WORK/back"
check "it is the same" cmp "$WORK/data" "$WORK/back"
check_refused "a file that is not there" "No such file" strata cp web:/nope "$WORK/nope"
mkdir -p "$WORK/tree/sub" && echo deep >"$WORK/tree/sub/file"
check "copy a folder in" strata cp "$WORK/tree" web:/root/
check_says "it arrived" "deep" strata exec web -- cat /root/tree/sub/file
check "copy a folder out" strata cp web:/root/tree "$WORK/out"
check_says "it came" "deep" eval 'find "$WORK/out" -name file | xargs cat'

# published port: a web server in the guest, reached on the host
strata exec web -- sh -c 'mkdir -p /www; echo published page >/www/index.html; httpd -p 80 -h /www'
check_says "published port" "published page" curl -s --max-time 10 http://127.0.0.1:8080/

# power
check "pause" strata pause web
check "is paused" is_state web paused
check "resume" strata resume web
check "is running" is_state web running
strata exec web -- sh -c 'echo kept >/root/kept; sync'
pid=$(field web status.pid)
check "stop" strata stop web
check "is stopped" is_state web stopped
check "the process is gone" eval "! kill -0 $pid 2>/dev/null"
check "start" strata start web
check "agent again" strata wait web --for agent --timeout 50s
check_says "the disk kept its files" "kept" strata exec web -- cat /root/kept
check_says "the log kept the first boot" "2" eval 'strata logs web | grep -c "strata tiny: init"'

# a guest that powers off or reboots by itself
strata exec web -- sh -c '(sleep 0.2; reboot) >/dev/null 2>&1 &'
wait_for 30 "the guest to come back from its reboot" eval '[ "$(strata logs web | grep -c "strata tiny: init")" = 3 ]'
check "agent after reboot" strata wait web --for agent --timeout 50s
strata exec web -- sh -c '(sleep 0.2; poweroff) >/dev/null 2>&1 &'
wait_for 30 "the guest to power off" is_state web stopped
check_says "and stays off" "powered off" field web status.exit_reason
check "start once more" strata start web
check "agent once more" strata wait web --for agent --timeout 50s

# snapshots
check "snapshot" strata snapshot create web s1
strata exec web -- sh -c 'rm /root/kept; sync'
check "restore" strata snapshot restore web s1
check "agent after restore" strata wait web --for agent --timeout 50s
check_says "the file is back" "kept" strata exec web -- cat /root/kept
strata exec web -- sh -c 'echo in-memory >/tmp/mem; mount -t tmpfs t /mnt; echo ram >/mnt/ram'
check "snapshot with memory" strata snapshot create web m1 --memory
strata exec web -- umount /mnt
check "restore memory" strata snapshot restore web m1
wait_for 20 "the machine to run" is_state web running
wait_for 20 "the agent of the restored machine" strata exec web -- true
check_says "memory is back" "ram" strata exec web -- cat /mnt/ram
check_says "two snapshots" "m1" strata snapshot ls web
check "remove a snapshot" strata snapshot rm web m1

# volumes, live
check "create a volume" strata volume create data 64MiB
check "attach" strata volume attach data web
wait_for 20 "the guest to see the disk" strata exec web -- test -b /dev/sda
check_says "its size" "65536" strata exec web -- grep sda /proc/partitions
check "grow it live" strata volume resize data 128MiB
wait_for 20 "the guest to see the new size" strata exec web -- grep -q "131072 sda" /proc/partitions
check_refused "a volume in use" "is used by instance 'web'" strata volume rm data
check "detach" strata volume detach data web
wait_for 20 "the disk to go" strata exec web -- test ! -e /dev/sda
check "remove the volume" strata volume rm data

# an image leaves in parts and comes back whole
check "export the image's disk" strata image export tiny "$WORK/tiny.qcow2"
for part in kernel initrd; do check "export the image's $part" strata image export tiny "$WORK/tiny.$part" --part $part; done
check "import them" strata image import again "$WORK/tiny.qcow2" --kernel "$WORK/tiny.kernel" --initrd "$WORK/tiny.initrd" \
	--kernel-options "$(strata image show tiny -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"]["cmdline"])')"
check "and boot from them" strata run again fourth
LIMIT=60 check "it comes up" strata wait fourth --for agent --timeout 50s
check_refused "a part there is not" "use disk, kernel or initrd" strata image export tiny "$WORK/nothing" --part bios
check "remove the machine" strata rm --force fourth
check "remove the image" strata image rm again

# change, rename, clone, export, import
check "set memory" strata set web memory=320MiB
check_says "at the next start" "320MiB" strata show web
check "rename" strata rename web shop
check_refused "the old name" "does not exist" strata show web
check "clone" strata clone shop twin
check "export" strata export shop "$WORK/shop.tar"
check "import" strata import "$WORK/shop.tar" third
check "start the clone" strata start twin
check "the clone's agent" strata wait twin --for agent --timeout 50s
check_says "the clone has the files" "kept" strata exec twin -- cat /root/kept
check "force the clone off" strata stop --force twin
check "start the import" strata start third
check "the import's agent" strata wait third --for agent --timeout 50s
check_says "the import has the files" "kept" strata exec third -- cat /root/kept

# top, events, wait
sleep 6
check_says "top" "third" strata top
check_says "events" "started" strata events

for name in shop twin third; do check "remove $name" strata rm --force "$name"; done
for name in shop twin third; do wait_for 20 "$name to go" eval "! strata show $name"; done
check_nothing_left "$tag"
