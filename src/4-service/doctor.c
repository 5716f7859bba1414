/*
 * doctor.c - is this host fit?  Every requirement is checked, and each that fails says the remedy.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "4-service/cluster/seen.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "model/schedule.h"

enum doctor_state { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_FAILED };

struct doctor {
	struct call *call;
	struct fabric_driver *fabric;
	struct machine_driver *machine, *containers;
	VEC(char *) broken;		/* Promises of volumes that are not kept, in words. */
	size_t promises;
	bool is_restored;		/* The store, from a backup. */
	char *directory;
	struct str out;
	struct json_writer writer;
};

static void say(struct doctor *doctor, const char *check, enum doctor_state state, const char *text, const char *remedy)
{
	static const char *const names[] = { "ok", "warning", "failed" };

	json_write_object(&doctor->writer, NULL);
	json_write_string(&doctor->writer, "check", check);
	json_write_string(&doctor->writer, "state", names[state]);
	json_write_string(&doctor->writer, "text", text);
	if (remedy)
		json_write_string(&doctor->writer, "remedy", remedy);
	json_write_end_object(&doctor->writer);
}

static bool is_in_path(const char *program)
{
	static const char *const folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", folders[i], program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void check_programs(struct doctor *doctor)
{
	static const struct { const char *program, *package, *use; enum doctor_state state; } needed[] = {
		{ "qemu-system-x86_64", "qemu-system-x86", "to run machines", DOCTOR_FAILED },
		{ "qemu-img", "qemu-utils", "for disks", DOCTOR_FAILED },
		{ "dnsmasq", "dnsmasq-base", "for DHCP and DNS in networks", DOCTOR_FAILED },
		{ "nft", "nftables", "for NAT and published ports", DOCTOR_FAILED },
		{ "curl", "curl", "to import images from URLs", DOCTOR_WARNING },
		{ "mkfs.ext4", "e2fsprogs", "to build images", DOCTOR_WARNING },
		{ "cpio", "cpio", "to build the image tiny", DOCTOR_WARNING },
		{ "mmdebstrap", "mmdebstrap", "to build Debian images", DOCTOR_WARNING },
		{ "crun", "crun", "to run containers", DOCTOR_WARNING },
		{ "conmon", "conmon", "to run containers", DOCTOR_WARNING },
		{ "skopeo", "skopeo", "to pull images of containers", DOCTOR_WARNING },
		{ "mkfs.btrfs", "btrfs-progs", "for pools of the driver btrfs", DOCTOR_WARNING },
	};

	for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
		auto_free char *text = text_format("%s, needed %s, is %s", needed[i].program, needed[i].use,
						   is_in_path(needed[i].program) ? "there" : "not installed");
		auto_free char *remedy = text_format("apt-get install %s", needed[i].package);

		if (is_in_path(needed[i].program))
			say(doctor, needed[i].program, DOCTOR_OK, text, NULL);
		else
			say(doctor, needed[i].program, needed[i].state, text, remedy);
	}
}

static void check_machines(struct doctor *doctor)
{
	struct machine_capabilities found = { 0 };
	struct err err = { 0 };

	if (doctor->machine->ops->probe(doctor->machine, &found, &err) < 0) {
		say(doctor, "machines", DOCTOR_FAILED, err.msg, "apt-get install qemu-system-x86");
		machine_capabilities_done(&found);
		return;
	}
	auto_free char *version = text_format("%s %s", found.driver, found.version);
	say(doctor, "machines", DOCTOR_OK, version, NULL);
	if (text_equal(found.accelerator, "tcg"))
		say(doctor, "kvm", DOCTOR_WARNING, found.accelerator_reason,
		    "enable virtualization (VT-x or AMD-V) in the firmware, or nested virtualization in the outer host; "
		    "until then guests are emulated, about ten times slower");
	else
		say(doctor, "kvm", DOCTOR_OK, found.accelerator, NULL);
	for (size_t i = 0; i < found.warnings.count; i++)
		say(doctor, "qemu", DOCTOR_WARNING, found.warnings.items[i],
		    "on Debian 12: apt-get install -t bookworm-backports qemu-system-x86 qemu-utils");
	if (!found.has_uefi)
		say(doctor, "uefi", DOCTOR_WARNING, "UEFI firmware is not installed: only BIOS and direct kernel boot work",
		    "apt-get install ovmf");
	if (!found.has_vsock)
		say(doctor, "vsock", DOCTOR_WARNING, "/dev/vhost-vsock is not there: machines cannot have a vsock device",
		    "modprobe vhost_vsock");
	machine_capabilities_done(&found);
}

static void check_containers(struct doctor *doctor)
{
	struct machine_capabilities found = { 0 };
	struct err err = { 0 };

	if (doctor->containers == doctor->machine)
		return;				/* Simulated. */
	if (doctor->containers->ops->probe(doctor->containers, &found, &err) < 0) {
		say(doctor, "containers", DOCTOR_WARNING, err.msg, "see the text; virtual machines do not need it");
		return;
	}
	auto_free char *text = text_format("%s %s", found.driver, found.version);
	say(doctor, "containers", DOCTOR_OK, text, NULL);
	for (size_t i = 0; i < found.warnings.count; i++)
		say(doctor, "containers", DOCTOR_WARNING, found.warnings.items[i], NULL);
	if (found.has_latency)
		say(doctor, "latency", DOCTOR_OK, "the kernel keeps latency classes", NULL);
	else
		say(doctor, "latency", DOCTOR_WARNING, found.latency_reason, "run Linux 6.12 or newer; until then all instances are 'normal'");
	machine_capabilities_done(&found);
}

/* What was looked at in the loop: is the newest snapshot of each volume young enough? */
static void check_promises(struct doctor *doctor)
{
	auto_free char *text = text_format("%zu volumes have a schedule of snapshots, and it is kept", doctor->promises);

	for (size_t i = 0; i < doctor->broken.count; i++)
		say(doctor, "snapshots", DOCTOR_WARNING, doctor->broken.items[i], "see 'strata events' for why none was taken, and 'strata pool show'");
	if (doctor->promises && !doctor->broken.count)
		say(doctor, "snapshots", DOCTOR_OK, text, NULL);
}

static void check_store(struct doctor *doctor)
{
	if (doctor->is_restored)
		say(doctor, "store", DOCTOR_WARNING, SEEN_WARNING, SEEN_REMEDY);
}

static void check_network(struct doctor *doctor)
{
	struct err err = { 0 };

	if (doctor->fabric->ops->probe(doctor->fabric, &err) < 0)
		say(doctor, "network", DOCTOR_FAILED, err.msg, "see the text");
	else
		say(doctor, "network", DOCTOR_OK, "bridges, taps, DHCP and NAT can be made", NULL);
}

static void check_disk(struct doctor *doctor)
{
	enum { LOW_BYTES = 2000000000 };
	char free_text[UNITS_TEXT_SIZE];
	struct statvfs disk;
	uint64_t free_bytes;

	if (statvfs(doctor->directory, &disk) < 0) {
		say(doctor, "disk", DOCTOR_FAILED, "the state folder cannot be read", "see the daemon's log");
		return;
	}
	free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	auto_free char *text = text_format("%s free in %s", units_format_size(free_bytes, free_text), doctor->directory);
	say(doctor, "disk", free_bytes < LOW_BYTES ? DOCTOR_WARNING : DOCTOR_OK, text,
	    free_bytes < LOW_BYTES ? "make room: a full disk pauses guests and refuses changes" : NULL);
}

static void check_users(struct doctor *doctor)
{
	if (getpwnam("strata-qemu"))
		say(doctor, "user", DOCTOR_OK, "machines run as the user strata-qemu", NULL);
	else
		say(doctor, "user", DOCTOR_WARNING, "machines run as the user nobody, which other services may share",
		    "adduser --system --group --no-create-home strata-qemu");
	if (!getgrnam("strata"))
		say(doctor, "group", DOCTOR_WARNING, "the group strata does not exist: only root may use this daemon",
		    "addgroup --system strata, then add people to it");
	else
		say(doctor, "group", DOCTOR_OK, "members of the group strata may use this daemon", NULL);
}

static void check_cgroups(struct doctor *doctor)
{
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
		say(doctor, "cgroups", DOCTOR_OK, "cgroup v2", NULL);
	else if (access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0)
		say(doctor, "cgroups", DOCTOR_WARNING, "cgroups are mounted the hybrid way: machines are grouped, limits go through version 1",
		    "boot with systemd.unified_cgroup_hierarchy=1");
	else
		say(doctor, "cgroups", DOCTOR_FAILED, "no cgroup v2 hierarchy is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
}

static void run(void *data)
{
	struct doctor *doctor = data;

	doctor->writer.out = &doctor->out;
	json_write_array(&doctor->writer, NULL);
	check_machines(doctor);
	check_containers(doctor);
	check_programs(doctor);
	check_network(doctor);
	check_cgroups(doctor);
	check_users(doctor);
	check_disk(doctor);
	check_promises(doctor);
	check_store(doctor);
	json_write_end_array(&doctor->writer);
}

static void doctor_free(void *data)
{
	struct doctor *doctor = data;

	str_done(&doctor->out);
	for (size_t i = 0; i < doctor->broken.count; i++)
		free(doctor->broken.items[i]);
	vec_done(&doctor->broken);
	free(doctor->directory);
	free(doctor);
}

static void done(void *data)
{
	struct doctor *doctor = data;

	answer_json(doctor->call, 200, &doctor->out);
	doctor_free(doctor);
}

static void look_at_promises(struct core *core, struct doctor *doctor)
{
	const struct map *all = objects_all(core->objects, KIND_VOLUME);
	int64_t now_ms = loop_wall_ms(core->params.loop);

	for (size_t i = 0; i < all->count; i++) {
		const struct volume *volume = all->entries[i].value;
		int64_t period_ms = schedule_period_ms(volume->spec.snapshots), taken_ms = volume->status.snapshot_at;
		char period[UNITS_TEXT_SIZE], age[UNITS_TEXT_SIZE];

		doctor->promises += period_ms != 0;
		if (schedule_look(period_ms, volume->meta.created_at, taken_ms, now_ms) != SCHEDULE_BROKEN)
			continue;
		units_format_duration(period_ms, period);
		*vec_push(&doctor->broken) = taken_ms ?
			text_format("volume '%s' may lose %s at most, but its newest snapshot is %s old", volume->meta.name, period,
				    units_format_duration((now_ms - taken_ms) / 1000 * 1000, age)) :
			text_format("volume '%s' may lose %s at most, but has no snapshot", volume->meta.name, period);
	}
}

void doctor_run(struct core *core, struct call *call)
{
	struct doctor *doctor = alloc(sizeof(*doctor));

	*doctor = (struct doctor){ .call = call, .fabric = core->params.fabric, .machine = core->params.machines[INSTANCE_VM],
				   .containers = core->params.machines[INSTANCE_CONTAINER],
				   .is_restored = seen_is_restored(core->seen), .directory = text_copy(core->directory) };
	look_at_promises(core, doctor);
	work_submit(core->params.work, run, done, doctor_free, doctor);
}
