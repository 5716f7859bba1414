/* What a container sees, may, and may not: asked from inside. */
#include "driver/machine/oci/testbed.h"

#include <sys/socket.h>

static void ids_are_mapped(void **state)
{
	struct bench *bench = *state;
	auto_free char *path = text_format("%s/upper/tmp/file", bench->bed->volume);
	struct stat st;

	bench_start(bench);
	bench_expect(bench, "cat /proc/self/uid_map", "         0     300000      65536");
	bench_expect(bench, "id", "uid=0(root) gid=0(root) groups=0(root)");
	/* On disk they are the container's. */
	bench_expect(bench, "stat -c %u:%g /bin/busybox; touch /tmp/file && chown 7:8 /tmp/file && stat -c %u:%g /tmp/file", "0:0\n7:8");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(st.st_gid, 8);
	/* On the host its processes are nobody in particular. */
	text_replace(&path, NULL);
	path = text_format("/proc/%d", (int)bench_status(bench).pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, UID_BASE);
}

static void rights_are_few(void **state)
{
	struct bench *bench = *state;

	bench_start(bench);
	bench_expect(bench, "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/1/status",
		     "CapEff:\t00000000000405fb\nCapBnd:\t00000000000405fb\nNoNewPrivs:\t1\nSeccomp:\t2");
	bench_expect(bench, "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status",
		     "CapEff:\t00000000000405fb\nCapBnd:\t00000000000405fb\nNoNewPrivs:\t1\nSeccomp:\t2");
	bench_expect(bench, "unshare -m true", "unshare: unshare(0x20000): Operation not permitted");
	bench_expect(bench, "mount -t tmpfs x /tmp 2>&1 | grep -c 'permission denied\\|Operation not permitted'", "1");
	bench_expect(bench, "mknod /tmp/d b 8 0 2>&1 | grep -c 'not permitted'", "1");
}

static void capabilities_are_chosen(void **state)
{
	struct bench *bench = *state;
	const char *const all[] = { "ALL", NULL };
	const char *const some[] = { "CAP_NET_RAW", "chown", NULL };

	bench->container.cap_drop = all;
	bench->container.cap_add = some;
	bench_start(bench);
	bench_expect(bench, "grep CapEff /proc/self/status", "CapEff:\t0000000000002001");
	/* As a plain user it has what was given by name, and nothing more. */
	machine_oci.unwatch(bench->driver, take(bench->watch));
	bench->container.user = "bob";
	bench_start(bench);
	bench_expect(bench, "grep CapEff /proc/1/status; grep CapEff /proc/self/status", "CapEff:\t0000000000002001\nCapEff:\t0000000000002001");
	machine_oci.unwatch(bench->driver, take(bench->watch));
	bench->container.cap_drop = bench->container.cap_add = NULL;
	bench_start(bench);
	bench_expect(bench, "grep CapEff /proc/1/status; grep CapEff /proc/self/status", "CapEff:\t0000000000000000\nCapEff:\t0000000000000000");
	bench_expect_as(bench, "root", "grep CapEff /proc/self/status", "CapEff:\t00000000000405fb");
}

static void users_are_the_images(void **state)
{
	struct bench *bench = *state;
	const struct machine_exec eve = {
		.argv = (const char *const[]){ "id", NULL }, .user = "eve", .input = -1, .output = -1, .error = -1, .resize = -1,
	};
	int code;

	bench->container.user = "bob";
	bench_start(bench);
	bench_expect(bench, "id; echo $HOME", "uid=1000(bob) gid=1000(bob) groups=29(audio),1000(bob)\n/home/bob");
	bench_expect_as(bench, "0", "id -u; echo $HOME", "0\n/root");
	bench_expect_as(bench, "12:34", "id -u; id -g", "12\n34");
	fails(-ENOENT, "user 'eve' is not in", machine_oci.exec(bench->driver, UID, &eve, &code, err));
}

static void host_is_out_of_sight(void **state)
{
	struct bench *bench = *state;

	bench_start(bench);
	bench_expect(bench, "touch /sys/x; touch /proc/sys/kernel/hostname; wc -c </proc/keys; ls /sys/firmware | wc -l",
		     "touch: /sys/x: Read-only file system\ntouch: /proc/sys/kernel/hostname: Read-only file system\n0\n0");
	bench_expect(bench, "ls /sys/kernel/debug 2>/dev/null | wc -l; ps | grep -c '[c]onmon\\|[d]aemon'; echo $(ls /dev)",
		     "0\n0\ncore fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero");
	bench_expect(bench, "ls /sys/class/net", "lo");
	bench_expect(bench, "hostname", "web");
	/* Neither our folders nor other mounts shine through. */
	bench_expect(bench, "grep -c -E 'strata|/mnt|vda' /proc/self/mountinfo", "0");
	bench_expect(bench, "cat /proc/self/cgroup | grep -v -c ':/$'", "0");
}

static void names_are_resolved(void **state)
{
	struct bench *bench = *state;
	const char *const servers[] = { "10.0.0.1", NULL }, *const search[] = { "one.test", "two.test", NULL };
	const char *const hosts[] = { "10.0.0.7\tweb", NULL };

	bench->container.nameservers = servers;
	bench->container.search = search;
	bench->container.hosts = hosts;
	bench_start(bench);
	bench_expect(bench, "cat /etc/resolv.conf /etc/hostname", "nameserver 10.0.0.1\nsearch one.test two.test\nweb");
	bench_expect(bench, "grep web /etc/hosts", "10.0.0.7\tweb\n127.0.1.1\tweb");
	bench_expect(bench, "echo 10.0.0.9 db >>/etc/hosts && tail -n 1 /etc/hosts", "10.0.0.9 db");
}

/* Limits */

static void limits_are_kept(void **state)
{
	struct bench *bench = *state;
	const struct layout *layout = &oci_of(bench->driver)->layout;
	auto_free char *memory = layout_file1(layout, UID, "memory", "memory.limit_in_bytes");
	auto_free char *pids = layout_file1(layout, UID, "pids", "pids.max");
	auto_free char *said = NULL;
	auto_str struct str text = { 0 };

	if (!bench->bed->has_limits)
		skip();
	bench->container.pids_max = 8;
	bench_start(bench);
	said = bench_says_as(bench, NULL, "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done");
	assert_non_null(strstr(said, "can't fork"));
	if (!memory)
		return;
	bench->container.pids_max = 70;
	ok(machine_oci.update(bench->driver, &bench->config, err));
	ok(machine_oci.resize(bench->driver, UID, 0, 96 * MIB, err));
	ok(file_read_all(memory, 64, &text, err));
	ok(file_read_all(pids, 64, &text, err));
	assert_string_equal(str_text(&text), "100663296\n70\n");
	str_clear(&text);
	ok(machine_oci.resize(bench->driver, UID, 0, 48 * MIB, err));
	bench->config.memory_bytes = 0;
	ok(machine_oci.update(bench->driver, &bench->config, err));
	ok(file_read_all(memory, 64, &text, err));
	assert_string_equal(str_text(&text), "9223372036854771712\n");
}

static void usage_is_counted(void **state)
{
	struct bench *bench = *state;
	struct machine_usage usage = { 0 };

	bench_start(bench);
	free(bench_says_as(bench, NULL, "dd if=/dev/zero of=/tmp/file bs=1M count=8 oflag=direct 2>/dev/null"));
	ok(machine_oci.usage(bench->driver, UID, &usage, err));
	assert_true(usage.cpu_ns > 0);
	if (!bench->bed->has_limits)
		skip();
	assert_true(usage.memory_bytes > 0 && usage.memory_bytes < 64 * MIB);
	assert_true(usage.disk_write_bytes >= 8 * MIB);
}

/* File systems */

static void image_is_below_and_volume_above(void **state)
{
	struct bench *bench = *state;
	auto_free char *upper = text_format("%s/upper/etc/passwd", bench->bed->volume);

	bench_start(bench);
	bench_expect(bench, "grep -c bob /etc/passwd; rm /etc/passwd; test -e /etc/passwd || echo gone", "1\ngone");
	machine_oci.unwatch(bench->driver, take(bench->watch));
	ok(machine_oci.kill(bench->driver, UID, err));
	bench_start(bench);
	bench_expect(bench, "test -e /etc/passwd || echo gone", "gone");
	assert_int_equal(access(upper, F_OK), 0);
}

static void read_only_root_is_read_only(void **state)
{
	struct bench *bench = *state;
	const struct machine_mount mounts[] = { { .kind = MACHINE_MOUNT_TMPFS, .target = "/tmp", .size_bytes = MIB } };

	bench->container.is_read_only = true;
	bench->container.mounts = mounts;
	bench->container.mount_count = ARRAY_COUNT(mounts);
	bench_start(bench);
	bench_expect(bench, "touch /file", "touch: /file: Read-only file system");
	bench_expect(bench, "dd if=/dev/zero of=/tmp/file bs=64k count=64 2>&1 | grep -c 'No space left'", "1");
}

static void volumes_are_mounted(void **state)
{
	struct bench *bench = *state;
	auto_free char *file = text_format("%s/hostfile", bench->bed->directory);
	const struct machine_mount mounts[] = {
		{ .kind = MACHINE_MOUNT_TREE, .source = bench->bed->tree, .target = "/data" },
		{ .kind = MACHINE_MOUNT_TREE, .source = bench->bed->tree, .target = "/deep/er/data", .is_read_only = true },
		{ .kind = MACHINE_MOUNT_BIND, .source = file, .target = "/etc/hostfile" },
	};
	auto_free char *made = text_format("%s/made", bench->bed->tree);
	struct stat st;

	testbed_write(bench->bed->directory, "hostfile", "from the host\n", 0644);
	testbed_write(bench->bed->tree, "old", "old\n", 0600);
	bench->container.mounts = mounts;
	bench->container.mount_count = ARRAY_COUNT(mounts);
	bench_start(bench);
	/* A volume's files are the container's own. */
	bench_expect(bench, "cat /data/old; echo new >/data/made; cat /deep/er/data/made; touch /deep/er/data/x",
		     "old\nnew\ntouch: /deep/er/data/x: Read-only file system");
	assert_int_equal(stat(made, &st), 0);
	assert_int_equal(st.st_uid, 0);
	/* What is the host's stays the host's. */
	bench_expect(bench, "cat /etc/hostfile; stat -c %u /etc/hostfile; echo x >>/etc/hostfile",
		     "from the host\n65534\nsh: can't create /etc/hostfile: Permission denied");
}

static void devices_are_given_by_name(void **state)
{
	struct bench *bench = *state;
	const char *const devices[] = { "/dev/fuse", NULL };

	if (access("/dev/fuse", F_OK) < 0)
		skip();
	bench->container.devices = devices;
	bench_start(bench);
	bench_expect(bench, "test -c /dev/fuse && head -c 0 /dev/fuse && echo there", "there");
	bench_expect(bench, "echo x >/dev/null && head -c 4 /dev/zero | wc -c", "4");
}

static void many_layers_are_stacked(void **state)
{
	enum { COUNT = 120 };
	struct bench *bench = *state;
	const char *layers[COUNT + 1];

	for (int i = 0; i < COUNT; i++) {
		auto_free char *name = text_format("many/a-rather-long-name-for-a-folder-of-a-layer-%d", i);

		layers[i] = testbed_path(bench->bed, name);
		if (i == 0)
			testbed_write(layers[i], "first", "first\n", 0644);
	}
	layers[COUNT] = bench->bed->bottom;
	bench->container.layers = layers;
	bench->container.layer_count = COUNT + 1;
	bench_start(bench);
	bench_expect(bench, "cat /first", "first");
	for (int i = 0; i < COUNT; i++)
		free((char *)layers[i]);
}

/* Files in and out */

static int memory_with(const char *content)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void files_are_the_containers(void **state)
{
	struct bench *bench = *state;
	auto_close int from = memory_with("content"), again = memory_with("content"), to = memory_with("");

	bench_start(bench);
	ok(machine_oci.file_write(bench->driver, UID, "/tmp/file", 0640, from, err));
	bench_expect(bench, "stat -c %u:%g:%a /tmp/file; cat /tmp/file", "0:0:640\ncontent");
	/* Links lead nowhere but inside. */
	free(bench_says_as(bench, NULL, "ln -s /../../../../etc/shadow /tmp/link 2>/dev/null || /bin/busybox ln -s /../../../etc/shadow /tmp/link"));
	fails(-ENOENT, "/tmp/link", machine_oci.file_read(bench->driver, UID, "/tmp/link", to, err));
	fails(-EINVAL, "not a regular file", machine_oci.file_read(bench->driver, UID, "/dev/zero", to, err));
	fails(-EINVAL, "not a regular file", machine_oci.file_write(bench->driver, UID, "/proc/1/comm", 0600, again, err));
	fails(-EISDIR, "/tmp", machine_oci.file_write(bench->driver, UID, "/tmp", 0600, again, err));
}

/* Exec */

static void missing_programs_are_named(void **state)
{
	struct bench *bench = *state;
	int code = -1;
	struct machine_exec exec = {
		.argv = (const char *const[]){ "no-such-program", NULL }, .input = -1, .output = -1, .error = -1, .resize = -1,
	};

	bench_start(bench);
	fails(-ENOENT, "no-such-program", machine_oci.exec(bench->driver, UID, &exec, &code, err));
	exec.argv = (const char *const[]){ "/etc/passwd", NULL };
	fails(-EACCES, "/etc/passwd", machine_oci.exec(bench->driver, UID, &exec, &code, err));
	exec.argv = (const char *const[]){ "sh", "-c", "kill -9 $$", NULL };
	ok(machine_oci.exec(bench->driver, UID, &exec, &code, err));
	assert_int_equal(code, 137);
	exec.argv = (const char *const[]){ "sh", "-c", "no-such-program", NULL };
	ok(machine_oci.exec(bench->driver, UID, &exec, &code, err));
	assert_int_equal(code, 127);
	ok(machine_oci.pause(bench->driver, UID, err));
	fails(-EBUSY, "paused", machine_oci.exec(bench->driver, UID, &exec, &code, err));
}

static void cancelled_commands_end(void **state)
{
	struct bench *bench = *state;
	const bool is_cancelled = true;
	struct machine_exec exec = {
		.argv = (const char *const[]){ "sleep", "7777", NULL }, .input = -1, .output = -1, .error = -1, .resize = -1,
		.is_cancelled = &is_cancelled,
	};

	bench_start(bench);
	fails(-ECANCELED, "went away", machine_oci.exec(bench->driver, UID, &exec, &(int){ 0 }, err));
	bench_expect(bench, "ps | grep -c '[s]leep 7777'", "0");
	exec.has_terminal = true;
	fails(-ECANCELED, "went away", machine_oci.exec(bench->driver, UID, &exec, &(int){ 0 }, err));
	bench_expect(bench, "ps | grep -c '[s]leep 7777'", "0");
}

static void terminals_change_their_size(void **state)
{
	struct bench *bench = *state;
	int resize[2], input[2];
	const uint16_t size[2] = { 33, 111 };
	auto_close int output = memory_with("");
	char text[1024] = { 0 };
	int code;
	struct machine_exec exec = {
		.argv = (const char *const[]){ "sh", "-c", "while [ \"$(stty size 2>/dev/null)\" != '33 111' ]; do sleep 0.02; done; tty; echo seen", NULL },
		.has_terminal = true, .rows = 10, .columns = 20, .output = output, .error = -1,
	};

	bench_start(bench);
	assert_int_equal(pipe2(resize, O_CLOEXEC), 0);
	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	assert_int_equal(write(resize[1], size, sizeof(size)), sizeof(size));
	exec.input = input[0];
	exec.resize = resize[0];
	ok(machine_oci.exec(bench->driver, UID, &exec, &code, err));
	assert_int_equal(code, 0);
	assert_true(pread(output, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "/dev/pts/0\r\nseen\r\n");
	for (int i = 0; i < 2; i++) {
		close(resize[i]);
		close(input[i]);
	}
}

/* Console */

static void wait_log(struct bench *bench, const char *words)
{
	for (int i = 0; i < 400; i++) {
		auto_str struct str text = { 0 };
		struct err err;

		if (file_read_all(bench->bed->console, MIB, &text, &err) == 0 && strstr(str_text(&text), words))
			return;
		loop_step(bench->loop, 10);
	}
	fail_msg("'%s' does not come", words);
}

static void console_carries_input(void **state)
{
	struct bench *bench = *state;
	int fd;

	bench->container.argv = (const char *const[]){ "sh", "-c", "while read line; do echo got:$line; done", NULL };
	bench_start(bench);
	ok(machine_oci.console_open(bench->driver, UID, &fd, err));
	assert_int_equal(send(fd, "one\n", 4, 0), 4);
	wait_log(bench, " stdout F got:one\n");
	close(fd);
	/* Input stays open for the next one. */
	ok(machine_oci.console_open(bench->driver, UID, &fd, err));
	assert_int_equal(send(fd, "two\n", 4, 0), 4);
	wait_log(bench, " stdout F got:two\n");
	close(fd);
}

static void input_ends_with_the_only_console(void **state)
{
	struct bench *bench = *state;
	int fd;

	bench->container.has_input_once = true;
	bench->container.argv = (const char *const[]){ "sh", "-c", "wc -c; sleep 60", NULL };
	bench_start(bench);
	ok(machine_oci.console_open(bench->driver, UID, &fd, err));
	assert_int_equal(send(fd, "four", 4, 0), 4);
	shutdown(fd, SHUT_WR);
	wait_log(bench, " stdout F 4\n");
	close(fd);
}

static void terminal_is_the_console(void **state)
{
	struct bench *bench = *state;
	int fd;

	bench->container.has_terminal = true;
	bench->container.argv = (const char *const[]){ "sh", "-c", "tty; while read line; do stty size; done", NULL };
	bench_start(bench);
	wait_log(bench, "/dev/pts/0");
	ok(machine_oci.console_resize(bench->driver, UID, 44, 99, err));
	ok(machine_oci.console_open(bench->driver, UID, &fd, err));
	for (int i = 0; i < 5; i++)	/* conmon reads the size when it likes. */
		assert_int_equal(send(fd, "\n", 1, 0), 1), loop_step(bench->loop, 20);
	wait_log(bench, "44 99");
	close(fd);
}

static void input_is_empty_unless_asked_for(void **state)
{
	struct bench *bench = *state;
	int fd;

	bench->container.has_input = false;
	bench->container.argv = (const char *const[]){ "sh", "-c", "cat; echo end; sleep 60", NULL };
	bench_start(bench);
	wait_log(bench, " stdout F end\n");
	fails(-EOPNOTSUPP, "no input", machine_oci.console_open(bench->driver, UID, &fd, err));
}

/* Init */

static void init_system_owns_its_cgroup(void **state)
{
	struct bench *bench = *state;

	bench->container.argv = (const char *const[]){ "/bin/init", NULL };
	bench->container.is_init = true;
	bench_start(bench);
	bench_expect(bench, "grep -c cgroup2 /proc/mounts; mkdir /sys/fs/cgroup/a && echo $$ >/sys/fs/cgroup/a/cgroup.procs && "
		     "grep ^0 /proc/self/cgroup", "1\n0::/a");
	bench_expect(bench, "touch /run/x /run/lock/x /tmp/x && stat -f -c %T /run /run/lock /tmp", "tmpfs\ntmpfs\ntmpfs");
	bench_expect(bench, "echo $container; test -c /dev/console && echo console", "oci\nconsole");
	bench_expect(bench, "mount -t tmpfs x /tmp && unshare -m true && echo may", "may");
	ok(machine_oci.shutdown(bench->driver, UID, err));
	assert_int_equal(bench_wait(bench, MACHINE_EVENT_EXITED)->cause, MACHINE_EXIT_GUEST_OFF);
}

static void init_system_reboots(void **state)
{
	struct bench *bench = *state;

	bench->container.argv = (const char *const[]){ "/bin/init", NULL };
	bench->container.is_init = true;
	bench_start(bench);
	free(bench_says_as(bench, NULL, "reboot -f"));
	assert_int_equal(bench_wait(bench, MACHINE_EVENT_EXITED)->cause, MACHINE_EXIT_GUEST_RESET);
}

#define CASE(name) { #name, name, bench_set_up, bench_tear_down, (void *)&bed }

int main(void)
{
	struct testbed bed;
	bool is_possible = testbed_init(&bed);
	const struct CMUnitTest cases[] = {
		CASE(ids_are_mapped), CASE(rights_are_few), CASE(capabilities_are_chosen), CASE(users_are_the_images),
		CASE(host_is_out_of_sight), CASE(names_are_resolved), CASE(limits_are_kept), CASE(usage_is_counted),
		CASE(image_is_below_and_volume_above), CASE(read_only_root_is_read_only), CASE(volumes_are_mounted),
		CASE(devices_are_given_by_name), CASE(many_layers_are_stacked), CASE(files_are_the_containers),
		CASE(missing_programs_are_named), CASE(cancelled_commands_end), CASE(terminals_change_their_size),
		CASE(console_carries_input), CASE(input_ends_with_the_only_console),
		CASE(terminal_is_the_console), CASE(input_is_empty_unless_asked_for),
		CASE(init_system_owns_its_cgroup), CASE(init_system_reboots),
	};
	int failed = 77;

	if (is_possible)
		failed = cmocka_run_group_tests_name("inside", cases, NULL, NULL);
	else
		print_message("skipped: needs root, crun, conmon and busybox-static\n");
	testbed_done(&bed);
	return failed;
}
