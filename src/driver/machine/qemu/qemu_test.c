/*
 * The machine port's conformance test with real machines. STRATA_TEST_IMAGE names a folder with
 * "kernel", "initrd" and "disk.qcow2" of a guest that boots to a guest agent; needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/qemu/qemu.h"
#include "port/machine_conformance.h"

struct place {
	char *directory, *run, *cgroup, *kernel, *initrd, *console, *nvram, *root_disk, *extra_disk;
};

static void place_done(struct place *place)
{
	struct err err;

	rmdir(place->cgroup);
	file_remove_tree(place->directory, &err);
	free(place->directory);
	free(place->run);
	free(place->cgroup);
	free(place->kernel);
	free(place->initrd);
	free(place->console);
	free(place->nvram);
	free(place->root_disk);
	free(place->extra_disk);
}

static bool make_overlay(const char *path, const char *backing)
{
	const char *argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, path, NULL };
	struct err err;

	return spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err) == 0;
}

static bool make_disk(const char *path)
{
	const char *argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", path, "64M", NULL };
	struct err err;

	return spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err) == 0;
}

static const char *cgroup_root(void)
{
	return access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
}

static struct place place_make(const char *image)
{
	char directory[] = "/tmp/strata-qemu-test-XXXXXX";
	struct place place = { .directory = text_copy(mkdtemp(directory)) };

	place.run = text_format("%s/run", place.directory);
	place.cgroup = text_format("%s/strata-qemu-test-%d", cgroup_root(), (int)getpid());
	place.kernel = text_format("%s/kernel", image);
	place.initrd = text_format("%s/initrd", image);
	place.console = text_format("%s/console.log", place.directory);
	place.nvram = text_format("%s/nvram", place.directory);
	place.root_disk = text_format("%s/root.qcow2", place.directory);
	place.extra_disk = text_format("%s/extra.qcow2", place.directory);
	return place;
}

static int run_with(struct place *place, const char *base_disk, enum machine_type type)
{
	struct volume_layer layers[] = { { place->root_disk, VOLUME_QCOW2 }, { (char *)base_disk, VOLUME_QCOW2 } };
	struct volume_layer extra[] = { { place->extra_disk, VOLUME_QCOW2 } };
	struct machine_disk root = { .id = "root", .layers = layers, .layer_count = 2, .is_root = true };
	struct machine_conformance conformance = {
		.ops = &machine_qemu,
		.params = { .directory = place->run, .cgroup = place->cgroup },
		.config = {
			.uid = "6f0f0cf2-8c5d-4b0a-9d8e-0123456789ab", .name = "conformance", .type = type,
			.cpus = 1, .max_cpus = 2, .memory_bytes = 256 << 20, .max_memory_bytes = 512 << 20,
			.kernel = place->kernel, .initrd = place->initrd, .cmdline = "console=ttyS0 quiet panic=-1",
			.console_log = place->console, .disks = &root, .disk_count = 1,
		},
		.extra_disk = { .id = "0b5c1f9e-7a21-4d55-8a43-cafe00000001", .layers = extra, .layer_count = 1 },
		.clock = LOOP_CLOCK_REAL, .boot_timeout_s = 60, .runs_programs = true,
	};

	return machine_conformance(&conformance);
}

static void image_is_missing(void **state)
{
	(void)state;
	skip();
}

int main(void)
{
	const struct CMUnitTest skipped[] = { cmocka_unit_test(image_is_missing) };
	const char *image = getenv("STRATA_TEST_IMAGE");
	auto_free char *base_disk = NULL;
	struct place place;
	int failed = 1;

	if (!image || geteuid() != 0)
		return cmocka_run_group_tests_name("qemu", skipped, NULL, NULL);
	base_disk = text_format("%s/disk.qcow2", image);
	place = place_make(image);
	if (make_overlay(place.root_disk, base_disk) && make_disk(place.extra_disk))
		failed = run_with(&place, base_disk, getenv("Q35") ? MACHINE_Q35 : MACHINE_MICROVM);
	place_done(&place);
	return failed;
}
