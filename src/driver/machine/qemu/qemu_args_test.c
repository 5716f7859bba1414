#include "driver/machine/qemu/qemu_args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "driver/machine/qemu/disk.h"

static char top[] = "/state/top.qcow2", base[] = "/state/base.raw";
static const struct volume_layer layers[] = { { top, VOLUME_QCOW2 }, { base, VOLUME_RAW } };
static const struct machine_disk disks[] = {
	{ .id = "root", .layers = layers, .layer_count = 2, .is_root = true },
	{ .id = "0b5c1f9e-7a21-4d55-8a43-cafe00000001", .layers = layers, .layer_count = 1, .is_read_only = true },
};
static const struct machine_nic nics[] = { { "tap0", { 0x52, 0x54, 0, 1, 2, 3 }, 1400 } };
static const int layer_fds[] = { 20, 21, 22 }, tap_fds[] = { 30 };

static struct machine_config config_of(enum machine_type type)
{
	return (struct machine_config){
		.uid = "6f0f0cf2-8c5d-4b0a-9d8e-0123456789ab", .name = "web,1", .type = type, .cpus = 2, .max_cpus = 4,
		.memory_bytes = 256 << 20, .max_memory_bytes = 512 << 20, .cmdline = "console=ttyS0",
		.disks = disks, .disk_count = 2, .nics = nics, .nic_count = 1,
	};
}

static struct qemu_plan plan_of(const struct machine_config *config)
{
	return (struct qemu_plan){
		.program = "qemu", .config = config, .tsc_khz = 2600000, .qmp = 3, .events = 4, .migration = 31, .console = 5, .agent = 6,
		.terminal = 7, .console_log = 8, .kernel = 9, .initrd = 10, .firmware = -1, .nvram = -1, .display = -1,
		.vsock = -1, .layers = layer_fds, .taps = tap_fds,
	};
}

/* The command line as one text, arguments separated by spaces. */
static char *build(const struct qemu_plan *plan)
{
	struct qemu_args args = { 0 };
	struct str text = { 0 };

	qemu_args_build(plan, &args);
	assert_null(args.items.items[args.items.count - 1]);
	for (size_t i = 0; args.items.items[i]; i++)
		str_printf(&text, "%s ", args.items.items[i]);
	qemu_args_done(&args);
	return text.data;
}

static void expect(const struct qemu_plan *plan, const char *part)
{
	auto_free char *text = build(plan);

	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
}

static void expect_not(const struct qemu_plan *plan, const char *part)
{
	auto_free char *text = build(plan);

	if (strstr(text, part))
		fail_msg("'%s' is in: %s", part, text);
}

static void nothing_of_ours_is_named(void **state)
{
	struct machine_config config = config_of(MACHINE_Q35);
	struct qemu_plan plan = plan_of(&config);

	(void)state;
	expect_not(&plan, "/state/");
	expect_not(&plan, "tap0");
	expect(&plan, "-sandbox on,");
	expect(&plan, "-nodefaults ");
}

static void incoming_waits(void **state)
{
	struct machine_config config = config_of(MACHINE_Q35);
	struct qemu_plan plan = plan_of(&config);

	(void)state;
	expect_not(&plan, "-incoming");
	plan.is_incoming = true;
	expect(&plan, "-incoming defer -S ");
}

static void commas_are_doubled(void **state)
{
	struct machine_config config = config_of(MACHINE_Q35);
	struct qemu_plan plan = plan_of(&config);

	(void)state;
	expect(&plan, "-name guest=web,,1 ");
}

static void q35_has_room_to_grow(void **state)
{
	struct machine_config config = config_of(MACHINE_Q35);
	struct qemu_plan plan = plan_of(&config);

	(void)state;
	expect(&plan, "-smp cpus=2,maxcpus=4 ");
	expect(&plan, "-m size=268435456B,slots=16,maxmem=536870912B ");
	expect(&plan, "-device virtio-net-pci,netdev=nic0,mac=52:54:00:01:02:03,host_mtu=1400,romfile= ");
	expect_not(&plan, "tsc_early_khz");
}

static void microvm_is_told_its_clock(void **state)
{
	struct machine_config config = config_of(MACHINE_MICROVM);
	struct qemu_plan plan = plan_of(&config);

	(void)state;
	expect(&plan, "-smp cpus=2 ");
	expect(&plan, "-m size=268435456B ");
	expect(&plan, "-append console=ttyS0 tsc_early_khz=2600000 ");
	expect(&plan, "-device virtio-scsi-device,id=scsi ");
	plan.has_kvm = true;
	expect_not(&plan, "tsc_early_khz");
	expect(&plan, "-accel kvm -cpu host ");
}

static void firmware_replaces_kernel(void **state)
{
	struct machine_config config = config_of(MACHINE_Q35);
	struct qemu_plan plan = plan_of(&config);

	(void)state;
	plan.kernel = plan.initrd = -1;
	plan.firmware = 11;
	plan.nvram = 12;
	expect(&plan, "pflash0=code,pflash1=nvram");
	expect_not(&plan, "-kernel");
}

static void chains_are_explicit(void **state)
{
	struct str text = { 0 };
	auto_json struct json *json = NULL;
	struct err err;

	(void)state;
	disk_layer_json(&disks[0], 0, 20, &text);
	assert_int_equal(json_parse(text.data, text.size, &json, &err), 0);
	assert_string_equal(json_string(json_get(json, "node-name"), ""), "d-root");
	assert_string_equal(json_string(json_get(json, "backing"), ""), "d-root.1");
	assert_string_equal(json_string(json_path(json, "file.filename"), ""), "/dev/fdset/20");
	assert_false(json_bool(json_get(json, "read-only"), true));
	str_done(&text);
}

static void last_layer_has_no_backing(void **state)
{
	struct str text = { 0 };

	(void)state;
	disk_layer_json(&disks[1], 0, 22, &text);
	assert_non_null(strstr(text.data, "\"backing\":null"));
	assert_non_null(strstr(text.data, "\"read-only\":true"));
	str_done(&text);
}

static void names_fit_qemu(void **state)
{
	char name[DISK_NAME_SIZE];

	(void)state;
	disk_node("0b5c1f9e-7a21-4d55-8a43-cafe00000001", 1234, name);
	assert_string_equal(name, "d-0b5c1f9e-7a21-4d55-8.1234");
	disk_serial("a b,c", name);
	assert_string_equal(name, "a_b_c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_of_ours_is_named), cmocka_unit_test(commas_are_doubled), cmocka_unit_test(incoming_waits),
		cmocka_unit_test(q35_has_room_to_grow), cmocka_unit_test(microvm_is_told_its_clock),
		cmocka_unit_test(firmware_replaces_kernel), cmocka_unit_test(chains_are_explicit),
		cmocka_unit_test(last_layer_has_no_backing), cmocka_unit_test(names_fit_qemu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
