#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/build.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

enum { BOOT_TIMEOUT_MS = 120000 };

static int set_up(void **state)
{
	char *directory = text_copy("/tmp/strata-build-XXXXXX");

	assert_non_null(mkdtemp(directory));
	*state = directory;
	return 0;
}

static int tear_down(void **state)
{
	struct err err;

	assert_int_equal(file_remove_tree(*state, &err), 0);
	free(*state);
	return 0;
}

static bool is_there(const char *directory, const char *name)
{
	auto_free char *path = text_format("%s/%s", directory, name);

	return access(path, F_OK) == 0;
}

static void test_unknown(void **state)
{
	struct build_properties properties;
	struct err err;

	assert_int_equal(build_image("gentoo", *state, NULL, &properties, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "use tiny, debian:12 or debian:13"));
	assert_int_equal(build_debian("11", *state, NULL, &properties, &err), -EINVAL);
}

static void test_cancelled_leaves_nothing(void **state)
{
	const bool is_cancelled = true;
	const struct volume_progress progress = { .is_cancelled = &is_cancelled };
	struct build_properties properties;
	struct err err;

	if (geteuid() != 0)
		skip();			/* Building needs root. */
	assert_int_equal(build_tiny(*state, &progress, &properties, &err), -ECANCELED);
	assert_int_equal(rmdir(*state), 0);
	assert_int_equal(mkdir(*state, 0700), 0);
}

/* How fast the host's time stamp counter runs. A microvm has no timer to measure it against, and without that it stops early. */
static unsigned tsc_khz(void)
{
	const uint64_t measure_ns = 20 * 1000 * 1000;
	uint64_t begin = clock_monotonic_ns(), ticks = __builtin_ia32_rdtsc(), now;

	do
		now = clock_monotonic_ns();
	while (now - begin < measure_ns);
	return (unsigned)((__builtin_ia32_rdtsc() - ticks) * 1000000 / (now - begin));
}

/* Boots the image once; the guest powers itself off as soon as it is up, so the way down is tested too. */
static void expect_line(const char *directory, const char *machine, const char *device, const struct build_properties *properties,
			const char *line)
{
	auto_free char *kernel = text_format("%s/kernel", directory), *initrd = text_format("%s/initrd", directory);
	auto_free char *drive = text_format("id=root,if=none,format=raw,snapshot=on,file=%s/disk.raw", directory);
	auto_free char *cmdline = text_format("%s reboot=t tsc_early_khz=%u strata.poweroff", properties->cmdline, tsc_khz());
	const char *const argv[] = {
		"qemu-system-x86_64", "-M", machine, "-accel", "tcg", "-cpu", "max", "-m", "256M", "-nodefaults", "-no-user-config",
		"-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", cmdline,
		"-drive", drive, "-device", device, NULL,
	};
	const struct spawn_params params = { .argv = argv };
	auto_str struct str output = { 0 };
	const struct spawn_io io = { .output = &output, .timeout_ms = BOOT_TIMEOUT_MS };
	struct err err = { 0 };

	if (spawn_run(&params, &io, &err) < 0)
		fail_msg("%s: %s\n%s", machine, err.msg, str_text(&output));
	if (!strstr(str_text(&output), line))
		fail_msg("%s: no '%s' in:\n%s", machine, line, str_text(&output));
}

static void test_tiny(void **state)
{
	struct build_properties properties;
	struct err err;

	if (geteuid() != 0)
		skip();
	if (build_tiny(*state, NULL, &properties, &err) < 0) {
		if (strstr(err.msg, "download packages") || err.code == -ENOENT) {
			print_message("skipped: %s\n", err.msg);
			skip();
		}
		fail_msg("%s", err.msg);
	}
	assert_true(is_there(*state, "kernel") && is_there(*state, "initrd") && is_there(*state, "disk.raw"));
	assert_true(is_there(*state, "properties.json") && !is_there(*state, "work"));
	assert_int_equal(properties.disk_bytes, 1 << 30);
	assert_int_equal(strlen(properties.disk_sha256), 64);
	expect_line(*state, "q35", "virtio-blk-pci,drive=root", &properties, "strata tiny: ready, address none");
	expect_line(*state, "microvm,acpi=on", "virtio-blk-device,drive=root", &properties, "strata tiny: ready, address none");
}

static void test_debian(void **state)
{
	struct build_properties properties;
	struct err err;

	if (geteuid() != 0 || !getenv("STRATA_TEST_SLOW"))
		skip();			/* Minutes: set STRATA_TEST_SLOW=1. */
	for (const char *release = "12"; release; release = text_equal(release, "12") ? "13" : NULL) {
		if (build_debian(release, *state, NULL, &properties, &err) < 0)
			fail_msg("debian:%s: %s", release, err.msg);
		assert_true(is_there(*state, "kernel") && is_there(*state, "initrd") && !is_there(*state, "work"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unknown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cancelled_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tiny, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_debian, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
