/* What is read from the host and from images: mount tables, passwd files, crun's words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "driver/machine/oci/capability.h"
#include "driver/machine/oci/layout.h"
#include "driver/machine/oci/program.h"
#include "driver/machine/oci/seccomp.h"
#include "driver/machine/oci/user.h"

/* Layout */

static void pure_hosts_have_one_hierarchy(void **state)
{
	struct layout layout;
	struct err err;

	(void)state;
	assert_int_equal(layout_parse(&layout, "24 1 0:20 / /proc rw - proc proc rw\n"
				      "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
				      "/sys/fs/cgroup/strata-1/machines", &err), 0);
	assert_string_equal(layout.unified, "/sys/fs/cgroup");
	assert_string_equal(layout.relative, "/strata-1/machines");
	assert_int_equal(layout.hierarchies.count, 0);
	assert_null(layout_file1(&layout, "web", "memory", "memory.limit_in_bytes"));
	auto_free char *file = layout_file2(&layout, "web", "memory.max");
	assert_string_equal(file, "/sys/fs/cgroup/strata-1/machines/web/container/memory.max");
	assert_int_equal(layout_check(&layout, &err), 0);
	layout_done(&layout);
}

static void hybrid_hosts_have_many(void **state)
{
	static const char mounts[] =
		"25 1 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
		"26 25 0:22 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 master:1 - cgroup cgroup rw,cpu,cpuacct\n"
		"27 25 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		"28 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
		"29 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		"29 25 0:25 /box /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		"garbage\n 1 2 - \n\n- - -\n";
	struct layout layout;
	struct err err;

	(void)state;
	assert_int_equal(layout_parse(&layout, mounts, "/sys/fs/cgroup/unified/m", &err), 0);
	assert_int_equal(layout.hierarchies.count, 3);
	auto_free char *cpu = layout_file1(&layout, "u", "cpu", "cpu.shares");
	auto_free char *account = layout_file1(&layout, "u", "cpuacct", "x");
	assert_string_equal(cpu, "/sys/fs/cgroup/cpu,cpuacct/m/u/container/cpu.shares");
	assert_string_equal(account, "/sys/fs/cgroup/cpu,cpuacct/m/u/container/x");
	assert_null(layout_file1(&layout, "u", "pids", "pids.max"));
	layout_done(&layout);
	assert_int_equal(layout_parse(&layout, mounts, "/elsewhere", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "not of version 2"));
}

static void controllers_in_both_versions_have_a_remedy(void **state)
{
	char folder[] = "/tmp/strata-layout-test-XXXXXX";
	auto_free char *file = NULL;
	struct layout layout = { .unified = mkdtemp(folder) };
	struct err err;

	(void)state;
	file = text_format("%s/cgroup.controllers", folder);
	assert_int_equal(file_write_atomic(file, "hugetlb\n", 8, 0644, &err), 0);
	*vec_push(&layout.hierarchies) = (struct hierarchy){ NULL, NULL };
	assert_int_equal(layout_check(&layout, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.msg, "`mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb`"));
	assert_int_equal(file_write_atomic(file, "\n", 1, 0644, &err), 0);
	assert_int_equal(layout_check(&layout, &err), 0);
	vec_done(&layout.hierarchies);
	assert_int_equal(file_remove_tree(folder, &err), 0);
}

/* Users */

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nbroken\n::::::\nbig:x:4294967295:1::/big:/bin/sh\n"
			     "web:x:33:34:www:/var/www:/bin/sh\n";
static const char group[] = "root:x:0:\nweb:x:34:\nlog:x:4:web,root\nbad:x:-5:web\nhuge:x:99999999999:web\nweb2:x:44:webber\n";

static void expect_user(const char *text, uid_t uid, gid_t gid, size_t groups, const char *home)
{
	struct user user;
	struct err err;

	if (user_resolve(text, passwd, group, &user, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(user.uid, uid);
	assert_int_equal(user.gid, gid);
	assert_int_equal(user.group_count, groups);
	assert_string_equal(user.home, home);
}

static void users_are_numbers_in_the_end(void **state)
{
	(void)state;
	expect_user(NULL, 0, 0, 0, "/root");
	expect_user("web", 33, 34, 1, "/var/www");
	expect_user("33", 33, 34, 0, "/var/www");
	expect_user("web:log", 33, 4, 0, "/var/www");
	expect_user("web:7", 33, 7, 0, "/var/www");
	expect_user("1000:1001", 1000, 1001, 0, "/");
	expect_user("1000", 1000, 0, 0, "/");
	assert_false(user_needs_files(NULL));
	assert_false(user_needs_files("1000:7"));
	assert_true(user_needs_files("1000"));
	assert_true(user_needs_files("1000:web"));
}

static void bad_users_are_refused(void **state)
{
	static const struct { const char *text; int code; } bad[] = {
		{ "eve", -ENOENT }, { "web:eve", -ENOENT }, { ":web", -EINVAL }, { "web:", -EINVAL }, { "big", -ENOENT },
		{ "4294967295", -ENOENT }, { "-1", -ENOENT }, { "1000x", -ENOENT }, { "web:huge", -ENOENT }, { "broken", -ENOENT },
	};
	struct user user;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		if (user_resolve(bad[i].text, passwd, group, &user, &err) != bad[i].code)
			fail_msg("'%s' is taken", bad[i].text);
}

/* crun */

static void words_of_crun_are_understood(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(program_explain("2026-11-30T06:00:44.868176Z: executable file `x` not found in $PATH: No such file or"
					 " directory\n", "x", &err), -ENOENT);
	assert_string_equal(err.msg, "executable file `x` not found in $PATH: No such file or directory");
	assert_int_equal(program_explain("open executable: Permission denied", "/etc/passwd", &err), -EACCES);
	assert_string_equal(err.msg, "'/etc/passwd': open executable: Permission denied");
	assert_int_equal(program_explain("something \x1b[1m new\n", "x", &err), -EIO);
	assert_string_equal(err.msg, "something ?[1m new");
}

/* What crun is told */

/* The rule that names 'call', or null. */
static const struct json *find_rule(const struct json *profile, const char *call)
{
	const struct json *rules = json_path(profile, "seccomp.syscalls");

	for (size_t i = 0; i < json_count(rules); i++) {
		const struct json *names = json_get(json_at(rules, i), "names");

		for (size_t n = 0; n < json_count(names); n++)
			if (text_equal(json_string(json_at(names, n), ""), call))
				return json_at(rules, i);
	}
	return NULL;
}

static void expect_call(uint64_t capabilities, const char *call, const char *action)
{
	auto_json struct json *profile = NULL;
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	const struct json *rule;
	struct err err;

	json_write_object(&writer, NULL);
	seccomp_write(&writer, capabilities);
	json_write_end_object(&writer);
	assert_int_equal(json_parse(text.data, text.size, &profile, &err), 0);
	assert_string_equal(json_string(json_path(profile, "seccomp.defaultAction"), ""), "SCMP_ACT_ERRNO");
	rule = find_rule(profile, call);
	if (!text_equal(json_string(json_get(rule, "action"), ""), action ? action : ""))
		fail_msg("%s", call);
}

static void dangerous_calls_need_their_capability(void **state)
{
	static const char *const dangerous[] = {
		"mount", "unshare", "setns", "keyctl", "bpf", "userfaultfd", "perf_event_open", "init_module", "kexec_load", "reboot",
		"open_by_handle_at", "swapon", "io_uring_setup", "move_mount", "iopl",
	};
	const uint64_t admin = CAPABILITY(21);

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(dangerous); i++)
		expect_call(0, dangerous[i], "SCMP_ACT_ERRNO");
	expect_call(0, "read", "SCMP_ACT_ALLOW");
	expect_call(0, "clone3", NULL);		/* The default: as if it did not exist. */
	expect_call(0, "no_such_call", NULL);
	expect_call(admin, "mount", "SCMP_ACT_ALLOW");
	expect_call(admin, "clone3", "SCMP_ACT_ALLOW");
	expect_call(admin, "bpf", "SCMP_ACT_ERRNO");
	expect_call(admin, "kexec_load", "SCMP_ACT_ERRNO");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pure_hosts_have_one_hierarchy), cmocka_unit_test(hybrid_hosts_have_many),
		cmocka_unit_test(controllers_in_both_versions_have_a_remedy), cmocka_unit_test(users_are_numbers_in_the_end),
		cmocka_unit_test(bad_users_are_refused), cmocka_unit_test(words_of_crun_are_understood),
		cmocka_unit_test(dangerous_calls_need_their_capability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
