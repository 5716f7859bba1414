#include "2-virtualization/agent/move.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "2-virtualization/images/seed.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

enum { VSOCK_CID_BASE = 1000 };

static const char default_cmdline[] = "console=ttyS0 root=/dev/vda rw";

bool instance_has_root(const struct instance *instance, const struct image *image)
{
	const struct instance_spec *spec = &instance->spec;

	return spec->kind == INSTANCE_CONTAINER || spec->root_size || spec->source.instance || spec->source.upload || (image && image->status.has_disk);
}

/* ---- Disks ---- */

/* A container's tree is copied while the container is frozen. */
static int copy_frozen(struct machine_driver *machine, struct volume_driver *volume, const char *from, const char *to, struct err *err)
{
	struct machine_status status = { 0 };
	struct err ignored = { 0 };
	int r = machine->ops->status(machine, from, &status, err);

	if (r == 0 && status.state == MACHINE_RUNNING)
		r = machine->ops->pause(machine, from, err);
	if (r == 0)
		r = volume->ops->clone(volume, to, from, NULL, NULL, err);
	if (status.state == MACHINE_RUNNING)
		machine->ops->resume(machine, from, &ignored);
	return r;
}

/* The copy of a disk that a machine may be writing to goes through a snapshot of that instant. */
int agent_copy_root(int kind, struct machine_driver *machine, struct volume_driver *volume, const char *from, const char *snapshot,
		    bool is_running, const char *to, struct err *err)
{
	struct err ignored = { 0 };
	int r;

	if (snapshot || !is_running)
		return volume->ops->clone(volume, to, from, snapshot, NULL, err);
	if (kind == INSTANCE_CONTAINER)
		return copy_frozen(machine, volume, from, to, err);
	machine->ops->snapshot_remove(machine, from, to, &ignored);	/* Left by an attempt that was cut off. */
	r = machine->ops->snapshot_create(machine, from, to, false, err);
	if (r < 0)
		return r;
	r = volume->ops->clone(volume, to, from, to, NULL, err);
	machine->ops->snapshot_remove(machine, from, to, &ignored);
	return r;
}

static int exists(struct volume_driver *volume, const char *name)
{
	struct volume_info info = { 0 };
	struct err ignored = { 0 };
	int r = volume->ops->info(volume, name, &info, &ignored);

	volume_info_done(&info);
	return r == 0;
}

/* Brings the boot files of an import along; they stay with the instance, for its image may not be here. */
static int take_boot_files(struct instance_job *job, struct err *err)
{
	static const char *const names[] = { "kernel", "initrd", "cmdline" };

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		auto_free char *from = text_format("%s/%s", job->upload_folder, names[i]);
		auto_free char *to = text_format("%s/%s", job->folder, names[i]);

		if (rename(from, to) < 0 && errno != ENOENT)
			return err_set(err, -errno, "move '%s': %m", names[i]);
	}
	return 0;
}

static int import_root(struct instance_job *job, struct err *err)
{
	auto_free char *path = text_format("%s/disk-0.qcow2", job->upload_folder);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r = take_boot_files(job, err);

	if (r < 0)
		return r;
	if (fd < 0)
		return err_set(err, -ENOENT, "the uploaded export is gone: delete the instance and import it again");
	return job->volume->ops->import(job->volume, job->instance->meta.uid, fd, VOLUME_QCOW2, NULL, err);
}

/* Images are in the default pool; another pool gets a copy of its own the first time. */
static int bring_image(struct instance_job *job, struct err *err)
{
	const char *uid = job->image->meta.uid;
	auto_free char *path = text_format("%s/image.qcow2", job->folder);
	auto_close int fd = -1;
	int r;

	if (job->volume == job->image_volume || exists(job->volume, uid))
		return 0;
	unlink(path);
	r = job->image_volume->ops->export(job->image_volume, uid, path, NULL, err);
	if (r == 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		r = fd < 0 ? err_set(err, -errno, "open the image: %m") : 0;
	}
	if (r == 0)
		r = job->volume->ops->import(job->volume, uid, fd, VOLUME_QCOW2, NULL, err);
	unlink(path);
	return r < 0 ? err_prefix(err, "copy image '%s' into pool '%s'", job->image->meta.name, job->instance->spec.pool) : 0;
}

static int create_root(struct instance_job *job, struct err *err)
{
	const struct instance_spec *spec = &job->instance->spec;
	const char *uid = job->instance->meta.uid;
	int r;

	if (exists(job->volume, uid) || !instance_has_root(job->instance, job->image))
		return 0;
	if (job->upload_folder)
		return import_root(job, err);
	if (job->source_uid)
		return agent_copy_root(spec->kind, job->machine, job->volume, job->source_uid, spec->source.snapshot,
				       job->is_source_running, uid, err);
	if (spec->kind == INSTANCE_CONTAINER)
		return job->volume->ops->create(job->volume, uid, VOLUME_TREE, NULL, spec->root_size, err);
	if (!job->image || !job->image->status.has_disk)
		return job->volume->ops->create(job->volume, uid, VOLUME_BLOCK, NULL, spec->root_size, err);
	r = bring_image(job, err);
	return r < 0 ? r : job->volume->ops->create(job->volume, uid, VOLUME_BLOCK, job->image->meta.uid, spec->root_size, err);
}

static int write_seed(struct instance_job *job, struct err *err)
{
	const struct instance_spec *spec = &job->instance->spec;
	auto_free char *path = text_format("%s/seed.iso", job->folder);
	struct seed seed = {
		.instance_id = job->instance->meta.uid, .hostname = job->instance->meta.name,
		.user_data = spec->user_data, .ssh_keys = (const char *const *)spec->ssh_keys.items, .ssh_key_count = spec->ssh_keys.count,
	};

	if (!spec->user_data && !spec->ssh_keys.count)
		return 0;
	return seed_write(path, &seed, err);
}

static int create(struct instance_job *job, struct err *err)
{
	int r = file_make_dirs(job->folder, 0700, err);

	if (r == 0)
		r = create_root(job, err);
	if (r == 0)
		r = write_seed(job, err);
	return r;
}

static int grow_root(struct instance_job *job, struct err *err)
{
	const char *uid = job->instance->meta.uid;
	uint64_t wanted = job->instance->spec.root_size;
	struct volume_info info = { 0 };
	int r;

	if (!wanted || !instance_has_root(job->instance, job->image))
		return 0;
	r = job->volume->ops->info(job->volume, uid, &info, err);
	if (r == 0 && info.size_bytes < wanted)
		r = job->volume->ops->resize(job->volume, uid, wanted, err);
	volume_info_done(&info);
	return r;
}

/* ---- Nics ---- */

static void fill_publish(const struct instance_publish *from, struct fabric_publish *to)
{
	struct in_addr four;

	*to = (struct fabric_publish){
		.protocol = from->protocol == PUBLISH_UDP ? FABRIC_UDP : FABRIC_TCP,
		.host_port = (uint16_t)from->host_port, .guest_port = (uint16_t)from->guest_port,
	};
	if (!from->host_address)
		return;
	if (inet_pton(AF_INET, from->host_address, &four) == 1) {
		to->host_address.s6_addr[10] = to->host_address.s6_addr[11] = 0xff;	/* v4-mapped, RFC 4291 2.5.5.2 */
		memcpy(&to->host_address.s6_addr[12], &four, 4);
	} else {
		inet_pton(AF_INET6, from->host_address, &to->host_address);
	}
}

void instance_fabric_nic(const struct instance_job *job, unsigned index, struct fabric_publish *publish, struct fabric_nic *ret_nic)
{
	const struct instance_spec *spec = &job->instance->spec;
	const struct instance_nic *nic = field_list_at(&spec->nics, struct instance_nic, index);
	unsigned mac[6] = { 0 };

	*ret_nic = (struct fabric_nic){
		.kind = spec->kind == INSTANCE_CONTAINER ? FABRIC_VETH : FABRIC_TAP,
		.instance = job->instance->meta.uid, .hostname = job->instance->meta.name, .network = nic->network_uid,
		.index = index, .number = (unsigned)nic->number, .publish = publish,
		.publish_count = index == 0 ? spec->publish.count : 0,	/* Published ports lead to the first nic. */
	};
	sscanf(nic->mac, "%2x:%2x:%2x:%2x:%2x:%2x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]);
	for (size_t i = 0; i < 6; i++)
		ret_nic->mac[i] = (uint8_t)mac[i];
	if (nic->ipv4)
		inet_pton(AF_INET, nic->ipv4, &ret_nic->ipv4);
	if (nic->ipv6)
		inet_pton(AF_INET6, nic->ipv6, &ret_nic->ipv6);
	for (size_t i = 0; i < ret_nic->publish_count; i++)
		fill_publish(field_list_at(&spec->publish, struct instance_publish, i), &publish[i]);
}

static int nic_up(struct instance_job *job, unsigned index, struct machine_nic *ret_nic, struct err *err)
{
	struct fabric_publish publish[LIMIT_PUBLISHED_PORTS];
	struct fabric_nic nic;

	instance_fabric_nic(job, index, publish, &nic);
	memcpy(ret_nic->mac, nic.mac, sizeof(nic.mac));
	return job->fabric->ops->nic_up(job->fabric, &nic, ret_nic->ifname, err);
}

static int nics_up(struct instance_job *job, struct machine_nic *nics, struct err *err)
{
	for (size_t i = 0; i < job->instance->spec.nics.count; i++) {
		int r = nic_up(job, (unsigned)i, &nics[i], err);

		if (r < 0)
			return err_prefix(err, "nic %zu", i);
	}
	return 0;
}

static int nics_down(struct instance_job *job, struct err *err)
{
	for (size_t i = 0; i < job->instance->spec.nics.count; i++) {
		int r = job->fabric->ops->nic_down(job->fabric, job->instance->meta.uid, (unsigned)i, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- Starting ---- */

struct disks {
	struct machine_disk items[LIMIT_DISKS_PER_INSTANCE + 2];
	struct volume_info infos[LIMIT_DISKS_PER_INSTANCE + 2];
	size_t count;
	struct volume_layer seed;
};

static void disks_done(struct disks *disks)
{
	for (size_t i = 0; i < disks->count; i++)
		volume_info_done(&disks->infos[i]);
	free(disks->seed.path);
}

static int add_disk(struct disks *disks, const char *id, struct volume_driver *driver, const char *volume, bool is_root,
		    bool is_read_only, struct err *err)
{
	struct volume_info *info = &disks->infos[disks->count];
	int r = driver->ops->info(driver, volume, info, err);

	if (r < 0)
		return r;
	disks->items[disks->count++] = (struct machine_disk){
		.id = id, .layers = info->layers.items, .layer_count = info->layers.count,
		.is_root = is_root, .is_read_only = is_read_only,
	};
	return 0;
}

static int collect_disks(struct instance_job *job, struct disks *disks, struct err *err)
{
	auto_free char *seed = text_format("%s/seed.iso", job->folder);
	int r = 0;

	if (instance_has_root(job->instance, job->image))
		r = add_disk(disks, "root", job->volume, job->instance->meta.uid, true, false, err);
	for (size_t i = 0; i < job->volumes.items.count && r == 0; i++) {
		const struct volume_ref *volume = &job->volumes.items.items[i];

		r = add_disk(disks, volume->uid, volume->driver, volume->uid, false, volume->is_read_only, err);
		if (r < 0)
			err_prefix(err, "volume '%s'", volume->name);
	}
	if (r == 0 && access(seed, F_OK) == 0) {
		disks->seed = (struct volume_layer){ .path = take(seed), .format = VOLUME_RAW };
		disks->items[disks->count++] = (struct machine_disk){
			.id = "seed", .layers = &disks->seed, .layer_count = 1, .is_read_only = true };
	}
	return r;
}

struct boot_files { char *kernel, *initrd, *cmdline, *nvram, *console_log; };

static void boot_files_done(struct boot_files *files)
{
	free(files->kernel);
	free(files->initrd);
	free(files->cmdline);
	free(files->nvram);
	free(files->console_log);
}

static char *read_cmdline(struct instance_job *job, bool has_own_kernel)
{
	auto_free char *path = text_format("%s/cmdline", job->folder);
	auto_str struct str text = { 0 };
	struct err ignored = { 0 };

	if (has_own_kernel && file_read_all(path, LIMIT_TEXT_BYTES, &text, &ignored) == 0 && text.size)
		return take(text.data);
	return text_copy(job->image && job->image->status.cmdline ? job->image->status.cmdline : default_cmdline);
}

static int choose_boot(struct instance_job *job, struct machine_config *config, struct boot_files *files, struct err *err)
{
	const struct instance_spec *spec = &job->instance->spec;
	const struct image *image = job->image;
	auto_free char *own_kernel = text_format("%s/kernel", job->folder);
	bool has_own_kernel = access(own_kernel, F_OK) == 0;
	bool has_kernel = has_own_kernel || (image && image->status.has_kernel);
	auto_free char *cmdline = read_cmdline(job, has_own_kernel);

	files->console_log = text_format("%s/console.log", job->folder);
	config->console_log = files->console_log;
	if (spec->boot == INSTANCE_BOOT_KERNEL && !has_kernel)
		return err_set(err, -EINVAL, "spec.boot: 'kernel' needs an image with a kernel: use 'bios' or 'uefi'");
	if (spec->boot == INSTANCE_BOOT_UEFI) {
		config->boot = MACHINE_BOOT_UEFI;
		config->nvram = files->nvram = text_format("%s/nvram", job->folder);
		return 0;
	}
	if (spec->boot == INSTANCE_BOOT_BIOS || !has_kernel) {
		config->boot = MACHINE_BOOT_BIOS;
		return 0;
	}
	config->boot = MACHINE_BOOT_KERNEL;
	config->kernel = files->kernel = text_format("%s/kernel", has_own_kernel ? job->folder : job->image_folder);
	files->initrd = text_format("%s/initrd", has_own_kernel ? job->folder : job->image_folder);
	config->initrd = access(files->initrd, F_OK) == 0 ? files->initrd : NULL;
	config->cmdline = files->cmdline = text_format("%s strata.hostname=%s%s%s", cmdline, job->instance->meta.name,
						       spec->kernel_options ? " " : "",
						       spec->kernel_options ? spec->kernel_options : "");
	return 0;
}

static unsigned host_cpus(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 0 ? (unsigned)count : 1;
}

static uint64_t host_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Live it grows as far as the host it was started on; where it moves to it has to be the same. */
static unsigned max_cpus(const struct instance_job *job)
{
	int64_t known = job->instance->status.max_cpus;
	unsigned most = known ? (unsigned)known : host_cpus();

	return job->instance->spec.cpus > most ? (unsigned)job->instance->spec.cpus : most;
}

static uint64_t max_memory(const struct instance_job *job)
{
	uint64_t most = job->instance->status.max_memory ? job->instance->status.max_memory : host_memory();

	return job->instance->spec.memory > most ? job->instance->spec.memory : most;
}

static int wait_for_machine(struct instance_job *job, const struct machine_config *config, struct err *err)
{
	auto_free const char **copied = move_disk_ids(job->disks);
	auto_free char *peer = text_format("O=strata-node,CN=%s", job->source.uid);	/* As pki.h names hosts. */
	struct machine_listen listen = { .address = job->listen, .tls = job->tls, .peer = job->tls ? peer : NULL, .copied = copied,
					 .has_postcopy = job->instance->spec.move.postcopy };

	if (!job->machine->ops->migrate_in)
		return err_set(err, -EOPNOTSUPP, "only virtual machines move live");
	return job->machine->ops->migrate_in(job->machine, config, &listen, &job->ports, err);
}

/* Starts it, or lets it wait for what comes from another node. */
static int start_machine(struct instance_job *job, const struct machine_nic *nics, struct err *err)
{
	const struct instance_spec *spec = &job->instance->spec;
	struct boot_files files = { 0 };
	struct disks disks = { 0 };
	struct machine_config config = {
		.uid = job->instance->meta.uid, .name = job->instance->meta.name, .type = job->type,
		.cpus = (unsigned)spec->cpus, .memory_bytes = spec->memory, .nics = nics, .nic_count = spec->nics.count,
		.max_cpus = max_cpus(job), .max_memory_bytes = max_memory(job),
		.has_vnc = spec->vnc, .memory_snapshot = job->memory_snapshot, .allow_kvm = job->allow_kvm,
		.vsock_cid = spec->vsock ? VSOCK_CID_BASE + (uint32_t)(spec->nics.count ?
			field_list_at(&spec->nics, struct instance_nic, 0)->number : 0) : 0,
	};
	int r = choose_boot(job, &config, &files, err);

	if (r == 0)
		r = collect_disks(job, &disks, err);
	config.disks = disks.items;
	config.disk_count = disks.count;
	if (r == 0 && job->step == STEP_RECEIVE)
		r = wait_for_machine(job, &config, err);
	else if (r == 0)
		r = job->machine->ops->start(job->machine, &config, err);
	disks_done(&disks);
	boot_files_done(&files);
	return r;
}

static int inspect(struct instance_job *job, struct err *err)
{
	int r = job->machine->ops->status(job->machine, job->instance->meta.uid, &job->world, err);

	if (r == 0 && job->instance->spec.kind == INSTANCE_CONTAINER)
		isolation_read(job->world.pid, &job->isolation);
	return r;
}

static int start(struct instance_job *job, struct err *err)
{
	struct machine_nic nics[LIMIT_NICS_PER_INSTANCE] = { 0 };
	int r;

	if (job->instance->spec.image && !job->image)
		return err_set(err, -ENOENT, "image '%s' is gone: import it again", shown(job->instance->spec.image));
	r = instance_guard(job, err);
	if (r == 0)
		r = create(job, err);
	if (r == 0)
		r = grow_root(job, err);
	if (r == 0)
		r = nics_up(job, nics, err);
	if (r == 0)
		r = job->instance->spec.kind == INSTANCE_CONTAINER ? container_start(job, err) : start_machine(job, nics, err);
	return r < 0 ? r : inspect(job, err);
}

/* The empty shell of a machine that runs at another node. */
static int receive(struct instance_job *job, struct err *err)
{
	struct machine_nic nics[LIMIT_NICS_PER_INSTANCE] = { 0 };
	int r = job->machine->ops->kill(job->machine, job->instance->meta.uid, err);

	if (r == 0)
		r = instance_guard(job, err);
	if (r == 0)
		r = move_fetch_files(job, err);
	if (r == 0 && job->image && job->image->status.has_disk)
		r = bring_image(job, err);
	if (r == 0)
		r = move_make_disks(job, err);
	if (r == 0)
		r = write_seed(job, err);
	if (r == 0)
		r = nics_up(job, nics, err);
	if (r == 0)
		r = start_machine(job, nics, err);
	return r < 0 ? r : inspect(job, err);
}

/* ---- Restoring and deleting ---- */

static int restore(struct instance_job *job, struct err *err)
{
	const char *snapshot = job->snapshots.count ? job->snapshots.items[0] : NULL;
	int r = 0;

	if (!snapshot)
		return err_set(err, -ENOENT, "the snapshot to restore is gone");
	if (instance_has_root(job->instance, job->image))
		r = job->volume->ops->snapshot_restore(job->volume, job->instance->meta.uid, snapshot, err);
	for (size_t i = 0; i < job->restore_volumes.items.count && r == 0; i++) {
		struct volume_ref *volume = &job->restore_volumes.items.items[i];

		r = volume->driver->ops->snapshot_restore(volume->driver, volume->uid, snapshot, err);
	}
	return r;
}

/* Extra volumes outlive the instance, its snapshots of them do not. */
static int remove_snapshots(struct instance_job *job, const struct volume_refs *volumes, struct err *err)
{
	int r = 0;

	for (size_t v = 0; v < volumes->items.count; v++) {
		struct volume_ref *volume = &volumes->items.items[v];

		for (size_t i = 0; i < job->snapshots.count && r == 0 && volume->driver; i++)
			r = volume->driver->ops->snapshot_remove(volume->driver, volume->uid, job->snapshots.items[i], err);
	}
	return r;
}

static int end(struct instance_job *job, struct err *err)
{
	int r = job->machine->ops->kill(job->machine, job->instance->meta.uid, err);

	return r < 0 ? r : instance_unguard(job, err);
}

static int remove_everything(struct instance_job *job, struct err *err)
{
	const char *uid = job->instance->meta.uid;
	int r = end(job, err);

	if (r == 0)
		r = nics_down(job, err);
	if (r == 0)
		r = remove_snapshots(job, &job->volumes, err);
	if (r == 0)
		r = remove_snapshots(job, &job->mounts, err);
	if (r == 0)
		r = job->volume->ops->remove(job->volume, uid, err);
	if (r == 0)
		r = file_remove_tree(job->folder, err);
	return r;
}

static int leave(struct instance_job *job, struct err *err)
{
	int r = end(job, err);

	if (r == 0)
		r = nics_down(job, err);
	for (size_t i = 0; i < job->disks->items.count && r == 0; i++) {
		const struct move_disk *disk = &job->disks->items.items[i];

		r = disk->driver ? disk->driver->ops->remove(disk->driver, disk->volume, err) : 0;
	}
	return r < 0 ? r : file_remove_tree(job->folder, err);
}

/* ---- Live changes ---- */

static int attach(struct instance_job *job, struct err *err)
{
	struct disks disks = { 0 };
	const struct volume_ref *volume = &job->changed;
	int r = add_disk(&disks, volume->uid, volume->driver, volume->uid, false, volume->is_read_only, err);

	if (r == 0)
		r = job->machine->ops->disk_attach(job->machine, job->instance->meta.uid, &disks.items[0], err);
	disks_done(&disks);
	job->is_live_refused = r == -EOPNOTSUPP;
	return r;
}

static int resize(struct instance_job *job, struct err *err)
{
	const struct instance *instance = job->instance;
	unsigned cpus = instance->spec.cpus != instance->status.cpus ? (unsigned)instance->spec.cpus : 0;
	uint64_t memory = instance->spec.memory != instance->status.memory ? instance->spec.memory : 0;
	int r = instance->spec.kind == INSTANCE_CONTAINER ? container_update(job, err) :
		job->machine->ops->resize(job->machine, instance->meta.uid, cpus, memory, err);

	job->is_live_refused = r == -EOPNOTSUPP;
	return r;
}

static int run_step(struct instance_job *job, struct err *err)
{
	struct machine_driver *machine = job->machine;
	struct machine_nic nics[LIMIT_NICS_PER_INSTANCE] = { 0 };
	const char *uid = job->instance->meta.uid;

	switch (job->step) {
	case STEP_INSPECT: return inspect(job, err);
	case STEP_CREATE: return create(job, err);
	case STEP_START: return start(job, err);
	case STEP_SHUTDOWN: return machine->ops->shutdown(machine, uid, err);
	case STEP_KILL: return end(job, err);
	case STEP_PAUSE: return machine->ops->pause(machine, uid, err);
	case STEP_RESUME: return machine->ops->resume(machine, uid, err);
	case STEP_RESTORE: return restore(job, err);
	case STEP_NICS: return instance_guard_again(job, err) < 0 ? err->code : nics_up(job, nics, err);
	case STEP_ATTACH: return attach(job, err);
	case STEP_DETACH: return machine->ops->disk_detach(machine, uid, job->changed.uid, err);
	case STEP_RESIZE: return resize(job, err);
	case STEP_DELETE: return remove_everything(job, err);
	case STEP_RECEIVE: return receive(job, err);
	case STEP_FETCH: return move_fetch_disks(job, err);
	case STEP_LEAVE: return leave(job, err);
	case STEP_NONE:
	case STEP_WAIT: break;
	}
	return 0;
}

void instance_job_run(struct job *base)
{
	struct instance_job *job = container_of(base, struct instance_job, job);

	base->err = (struct err){ 0 };
	if (run_step(job, &base->err) == 0)
		base->err.code = 0;
}

void volume_refs_done(struct volume_refs *refs)
{
	for (size_t i = 0; i < refs->items.count; i++) {
		free(refs->items.items[i].uid);
		free(refs->items.items[i].name);
	}
	vec_done(&refs->items);
}

static void free_texts(char **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i]);
	free(items);
}

void instance_job_free(struct job *base)
{
	struct instance_job *job = container_of(base, struct instance_job, job);

	kind_free(&kinds[KIND_INSTANCE], job->instance);
	kind_free(&kinds[KIND_IMAGE], job->image);
	free(job->folder);
	peer_done(&job->source);
	free(job->listen);
	free(job->tls);
	move_disks_free(job->disks);
	free(job->image_folder);
	free(job->upload_folder);
	free(job->source_uid);
	free(job->memory_snapshot);
	free(job->cgroup);
	free(job->changed_uid);
	free(job->layers_folder);
	free_texts(job->snapshots.items, job->snapshots.count);
	free_texts(job->nameservers.items, job->nameservers.count);
	free_texts(job->search.items, job->search.count);
	volume_refs_done(&job->volumes);
	volume_refs_done(&job->mounts);
	volume_refs_done(&job->restore_volumes);
	for (size_t i = 0; i < job->isolation.count; i++)
		free(*field_list_at(&job->isolation, char *, i));
	free(job->isolation.items);
	free(job);
}
