#!/bin/bash
# The RDMA driver of telemetry pages on a device of software (soft-RoCE), in a guest whose kernel has one: its conformance test,
# between endpoints in one machine. The guest is what tools/local-archive collected as rdma-guest.tar, this host's libraries and
# build/test/pages_rdma_test.
[ "$(id -u)" = 0 ] || { echo "# skipped: needs root"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
guest=$root/build/archive/rdma-guest.tar
program=$root/build/test/pages_rdma_test
[ -e "$guest" ] || { echo "# skipped: the guest's kernel was not to be had: tools/local-archive build/archive"; exit 77; }
for tool in qemu-system-x86_64 cpio rdma ip busybox; do
	command -v $tool >/dev/null || { echo "# skipped: $tool is not installed"; exit 77; }
done
. "$(dirname "$0")/lib.sh"

tree=$WORK/tree
make_tree() {
	mkdir -p "$tree"/{dev,proc,sys,etc,bin,usr/sbin} && tar -C "$tree" -xf "$guest" || return 1
	for file in "$program" "$(command -v rdma)" "$(command -v ip)"; do
		cp "$file" "$tree/bin/" || return 1
		# "name => path (address)" and "path (address)"
		ldd "$file" | grep -o '/[^ ]*' | while read -r library; do
			mkdir -p "$tree$(dirname "$library")" && cp -n "$library" "$tree$library"
		done
	done
	cp "$(command -v busybox)" "$tree/bin/busybox"
	cat >"$tree/init" <<'END'
#!/bin/busybox sh
export PATH=/bin:/usr/bin:/sbin:/usr/sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox depmod
for module in crc32_generic dummy rdma_rxe rdma_ucm; do /bin/busybox modprobe $module || echo "module $module: failed"; done
ip link set lo up
ip link add dummy0 type dummy 2>/dev/null
ip link set dummy0 up
ip addr add 10.77.0.1/24 dev dummy0
rdma link add rxe0 type rxe netdev dummy0
rdma link
# Nobody makes device nodes here: the kernel says which there are.
/bin/busybox mkdir -p /dev/infiniband
for device in /sys/class/infiniband_verbs/uverbs* /sys/class/misc/rdma_cm; do
	number=$(/bin/busybox cat $device/dev)
	/bin/busybox mknod /dev/infiniband/${device##*/} c ${number%:*} ${number#*:} 2>/dev/null
done
STRATA_TEST_RDMA=10.77.0.1 /bin/pages_rdma_test
echo "guest: exit status $?"
/bin/busybox poweroff -f
END
	chmod 755 "$tree/init"
	(cd "$tree" && find . | cpio -o -H newc --quiet) >"$WORK/initrd"
}

run_guest() {
	timeout 300 qemu-system-x86_64 -M q35 -cpu max -accel tcg -smp 2 -m 768 -nodefaults -no-user-config -display none -no-reboot \
		-serial stdio -kernel "$tree"/boot/vmlinuz-* -initrd "$WORK/initrd" \
		-append "console=ttyS0 quiet panic=-1 random.trust_cpu=on" </dev/null 2>&1 | tr -d '\r' >"$WORK/guest.log"
}

check "the guest's files" make_tree
run_guest
sed 's/^/# /' "$WORK/guest.log" | grep -a 'OK\|FAILED\|rxe0\|median\|status\|rror'
check "a device of software" grep -a 'rxe0/1 state ACTIVE' "$WORK/guest.log"
for test in test_hello test_conformance test_one_sided; do
	check "$test passes in the guest" grep -a "OK \] $test\$" "$WORK/guest.log"
done
check "and nothing else fails" grep -a 'guest: exit status 0' "$WORK/guest.log"
