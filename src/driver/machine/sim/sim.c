#include "driver/machine/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/machine/sim/world.h"

enum { FILE_CHUNK_BYTES = 64 << 10, FILE_MAX_BYTES = 16 << 20 };

static int sim_open(const struct machine_params *params, struct machine_driver **ret_driver, struct err *err)
{
	struct sim_driver *self = alloc(sizeof(*self));

	(void)err;
	*self = (struct sim_driver){
		.base.ops = &machine_sim, .fault = params->fault, .owns_world = !params->world,
		.network = params->network,
		.world = params->world ? params->world : sim_machines_new(),
	};
	*ret_driver = &self->base;
	return 0;
}

static void sim_close(struct machine_driver *driver)
{
	struct sim_driver *self = sim_of(driver);

	if (self->owns_world)
		sim_machines_free(self->world);
	free(self);
}

static int sim_probe(struct machine_driver *driver, struct machine_capabilities *ret_capabilities, struct err *err)
{
	int r = fault_step(sim_of(driver)->fault, "machine probe", err);

	if (r < 0)
		return r;
	*ret_capabilities = (struct machine_capabilities){
		.driver = "sim", .version = STRATA_VERSION, .accelerator = "sim",
		.accelerator_reason = "machines are simulated",
		.has_microvm = true, .has_q35 = true, .has_uefi = true, .has_vsock = true,
		.has_live_migration = sim_of(driver)->network != NULL,
	};
	if (!sim_of(driver)->network)
		snprintf(ret_capabilities->migration_reason, sizeof(ret_capabilities->migration_reason),
			 "this simulated host has no network to others");
	return 0;
}

int sim_begin(struct sim_driver *self, const char *what, struct err *err)
{
	int r = fault_step(self->fault, what, err);

	if (r == 0)
		pthread_mutex_lock(&self->world->lock);
	return r;
}

int sim_end(struct sim_driver *self, int r, const char *what, struct err *err)
{
	pthread_mutex_unlock(&self->world->lock);
	return r < 0 ? r : fault_step(self->fault, what, err);
}

struct sim_machine *sim_begin_running(struct machine_driver *driver, const char *uid, const char *what, struct err *err)
{
	struct sim_machine *machine;

	if (sim_begin(sim_of(driver), what, err) < 0)
		return NULL;
	machine = sim_machine_running(sim_of(driver)->world, uid, err);
	if (!machine)
		pthread_mutex_unlock(&sim_of(driver)->world->lock);
	return machine;
}

static struct sim_machine *begin_with_agent(struct machine_driver *driver, const char *uid, const char *what, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, what, err);

	if (!machine || machine->has_agent)
		return machine;
	pthread_mutex_unlock(&sim_of(driver)->world->lock);
	err_set(err, -ENODEV, "machine '%s' has no guest agent running: wait until it has booted", shown(uid));
	return NULL;
}

/* Life */

static int check_memory_snapshot(struct sim_machines *world, const struct machine_config *config, struct err *err)
{
	struct sim_snapshot *snapshot;

	if (!config->memory_snapshot)
		return 0;
	snapshot = sim_snapshot_find(sim_history(world, config->uid), config->memory_snapshot, NULL);
	if (!snapshot || !snapshot->has_memory)
		return err_set(err, -ENOENT, "there is no memory snapshot '%s'", shown(config->memory_snapshot));
	return 0;
}

static void remove_machine(struct sim_machines *world, struct sim_machine *machine)
{
	if (machine->state != MACHINE_ABSENT)
		sim_machine_end(machine, MACHINE_EXIT_HOST_OFF, NULL);
	sim_machine_remove(world, machine);
}

static int add_machine(struct sim_machines *world, const struct machine_config *config, struct err *err)
{
	struct sim_machine *machine = sim_machine_find(world, config->uid);
	int r = check_memory_snapshot(world, config, err);

	if (r < 0)
		return r;
	if (machine)
		remove_machine(world, machine);
	machine = sim_machine_add(world, config, false);
	sim_machine_print(machine, "simulated machine: userspace reached\n");
	return 0;
}

static int sim_start(struct machine_driver *driver, const struct machine_config *config, struct err *err)
{
	int r = sim_begin(sim_of(driver), "machine start", err);

	if (r < 0)
		return r;
	r = add_machine(sim_of(driver)->world, config, err);
	return sim_end(sim_of(driver), r, "machine started", err);
}

static int sim_status(struct machine_driver *driver, const char *uid, struct machine_status *ret_status, struct err *err)
{
	const struct sim_machine *machine;
	int r = sim_begin(sim_of(driver), "machine status", err);

	if (r < 0)
		return r;
	*ret_status = (struct machine_status){ .state = MACHINE_ABSENT };
	machine = sim_machine_find(sim_of(driver)->world, uid);
	if (machine && machine->state != MACHINE_ABSENT)
		*ret_status = (struct machine_status){
			.state = machine->state, .pid = machine->pid, .started_at = machine->started_at,
			.has_io_error = machine->has_io_error, .is_incoming = machine->is_incoming,
			.has_arrived = machine->has_arrived, .is_moved_out = machine->is_moved_out,
		};
	pthread_mutex_unlock(&sim_of(driver)->world->lock);
	return 0;
}

static int sim_shutdown(struct machine_driver *driver, const char *uid, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "machine shutdown", err);

	if (!machine)
		return err->code;
	if (!sim_history(sim_of(driver)->world, uid)->ignores_shutdown) {
		machine->is_shutting_down = true;
		if (machine->watch)
			sim_watch_shutdown(machine->watch);
	}
	return sim_end(sim_of(driver), 0, "machine told to shut down", err);
}

static int sim_kill(struct machine_driver *driver, const char *uid, struct err *err)
{
	struct sim_machine *machine;
	int r = sim_begin(sim_of(driver), "machine kill", err);

	if (r < 0)
		return r;
	machine = sim_machine_find(sim_of(driver)->world, uid);
	if (machine)
		remove_machine(sim_of(driver)->world, machine);
	return sim_end(sim_of(driver), 0, "machine killed", err);
}

static int sim_pause(struct machine_driver *driver, const char *uid, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "machine pause", err);

	if (!machine)
		return err->code;
	sim_machine_pause(machine);
	return sim_end(sim_of(driver), 0, "machine paused", err);
}

static int sim_resume(struct machine_driver *driver, const char *uid, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "machine resume", err);
	int r = 0;

	if (!machine)
		return err->code;
	if (machine->is_incoming || machine->is_moved_out)
		r = sim_migrate_accept(machine, err);
	else
		sim_machine_resume(machine);
	return sim_end(sim_of(driver), r, "machine resumed", err);
}

/* Changes */

static int check_resize(const struct machine_config *config, unsigned cpus, uint64_t memory_bytes, struct err *err)
{
	if (config->type == MACHINE_MICROVM && (cpus || memory_bytes))
		return err_set(err, -EOPNOTSUPP, "a microvm has no hot-plug: only at the next start");
	if (cpus && (cpus < config->cpus || cpus > config->max_cpus))
		return err_set(err, -EOPNOTSUPP, "%u cpus: while it runs only %u to %u: only at the next start",
			       cpus, config->cpus, config->max_cpus);
	if (memory_bytes && (memory_bytes < config->memory_bytes || memory_bytes > config->max_memory_bytes))
		return err_set(err, -EOPNOTSUPP, "memory can only grow up to its maximum while it runs: only at the next start");
	return 0;
}

static int sim_resize(struct machine_driver *driver, const char *uid, unsigned cpus, uint64_t memory_bytes, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "machine resize", err);
	struct machine_config *config;
	int r;

	if (!machine)
		return err->code;
	config = &machine->config->config;
	r = check_resize(config, cpus, memory_bytes, err);
	if (r == 0 && cpus)
		config->cpus = cpus;
	if (r == 0 && memory_bytes)
		config->memory_bytes = memory_bytes;
	return sim_end(sim_of(driver), r, "machine resized", err);
}

static int sim_disk_attach(struct machine_driver *driver, const char *uid, const struct machine_disk *disk, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "disk attach", err);

	if (!machine)
		return err->code;
	sim_machine_tell_end(machine);
	sim_config_add_disk(machine->config, disk);
	sim_machine_tell(machine);
	return sim_end(sim_of(driver), 0, "disk attached", err);
}

static int sim_disk_detach(struct machine_driver *driver, const char *uid, const char *disk, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "disk detach", err);

	if (!machine)
		return err->code;
	sim_machine_tell_end(machine);
	sim_config_remove_disk(machine->config, disk);
	sim_machine_tell(machine);
	return sim_end(sim_of(driver), 0, "disk detached", err);
}

static int sim_disk_resize(struct machine_driver *driver, const char *uid, const char *disk, uint64_t size_bytes, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "disk resize", err);
	bool is_there = false;
	int r = 0;

	(void)size_bytes;
	if (!machine)
		return err->code;
	for (size_t i = 0; i < machine->config->disks.count; i++)
		is_there |= text_equal(machine->config->disks.items[i].id, disk);
	if (!is_there)
		r = err_set(err, -ENOENT, "machine '%s' has no disk '%s'", shown(uid), shown(disk));
	return sim_end(sim_of(driver), r, "disk resized", err);
}

/* Snapshots */

static void tell_snapshot(const struct sim_machines *world, const struct sim_machine *machine, const char *snapshot, bool is_removed)
{
	for (size_t i = 0; world->on_snapshot && i < machine->config->disks.count; i++) {
		const struct machine_disk *disk = &machine->config->disks.items[i];

		if (!disk->is_read_only && disk->layer_count)
			world->on_snapshot(world->snapshot_data, disk->layers[0].path, snapshot, is_removed);
	}
}

static int sim_snapshot_create(struct machine_driver *driver, const char *uid, const char *snapshot, bool has_memory, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "snapshot create", err);
	struct sim_history *history;
	int r = 0;

	if (!machine)
		return err->code;
	history = sim_history(sim_of(driver)->world, uid);
	if (sim_snapshot_find(history, snapshot, NULL)) {
		r = err_set(err, -EEXIST, "snapshot '%s' exists already", shown(snapshot));
	} else {
		*vec_push(&history->snapshots) = (struct sim_snapshot){ text_copy(snapshot), has_memory };
		tell_snapshot(sim_of(driver)->world, machine, snapshot, false);
	}
	return sim_end(sim_of(driver), r, "snapshot created", err);
}

/* Of one disk only: the volume alone remembers it. */
static int sim_disk_snapshot(struct machine_driver *driver, const char *uid, const char *disk, const char *snapshot, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "disk snapshot", err);
	const struct sim_machines *world = sim_of(driver)->world;
	int r = -ENOENT;

	if (!machine)
		return err->code;
	for (size_t i = 0; i < machine->config->disks.count && r < 0; i++) {
		const struct machine_disk *other = &machine->config->disks.items[i];

		if (!text_equal(other->id, disk))
			continue;
		r = 0;
		if (world->on_snapshot && other->layer_count)
			world->on_snapshot(world->snapshot_data, other->layers[0].path, snapshot, false);
	}
	if (r < 0)
		err_set(err, r, "machine '%s' has no disk '%s'", shown(uid), shown(disk));
	return sim_end(sim_of(driver), r, "disk snapshot taken", err);
}

static int sim_snapshot_remove(struct machine_driver *driver, const char *uid, const char *snapshot, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "snapshot remove", err);
	struct sim_history *history;
	size_t index;

	if (!machine)
		return err->code;
	history = sim_history(sim_of(driver)->world, uid);
	if (sim_snapshot_find(history, snapshot, &index)) {
		free(history->snapshots.items[index].name);
		vec_remove(&history->snapshots, index);
	}
	tell_snapshot(sim_of(driver)->world, machine, snapshot, true);	/* Also one of a single disk. */
	return sim_end(sim_of(driver), 0, "snapshot removed", err);
}

/* Inside the guest */

static int write_all(int fd, const char *bytes, size_t size, struct err *err)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "write: %m");
		done += (size_t)n;
	}
	return 0;
}

/* Every command is echo(1). */
static int sim_exec(struct machine_driver *driver, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err)
{
	struct sim_machine *machine = begin_with_agent(driver, uid, "machine exec", err);
	auto_str struct str line = { 0 };
	int r;

	if (!machine)
		return err->code;
	r = sim_end(sim_of(driver), 0, "machine executed", err);
	if (r < 0)
		return r;
	for (const char *const *arg = exec->argv; *arg; arg++)
		str_printf(&line, "%s%s", arg == exec->argv ? "" : " ", *arg);
	str_append_char(&line, '\n');
	r = exec->output < 0 ? 0 : write_all(exec->output, line.data, line.size, err);
	if (r == 0)
		*ret_exit_code = 0;
	return r;
}

static int sim_file_read(struct machine_driver *driver, const char *uid, const char *path, int to_fd, struct err *err)
{
	struct sim_machine *machine = begin_with_agent(driver, uid, "file read", err);
	auto_str struct str content = { 0 };
	const struct str *file;
	int r = 0;

	if (!machine)
		return err->code;
	file = map_get(&machine->files, path);
	if (file)
		str_append_bytes(&content, file->data, file->size);
	else
		r = err_set(err, -ENOENT, "'%s' does not exist in the guest", shown(path));
	r = sim_end(sim_of(driver), r, "file was read", err);
	return r < 0 ? r : write_all(to_fd, content.data, content.size, err);
}

static int read_all(int fd, struct str *out, struct err *err)
{
	for (;;) {
		ssize_t n;

		str_reserve(out, FILE_CHUNK_BYTES);
		n = read(fd, out->data + out->size, FILE_CHUNK_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read: %m");
		if (n == 0)
			return 0;
		out->size += (size_t)n;
		out->data[out->size] = '\0';
		if (out->size > FILE_MAX_BYTES)
			return err_set(err, -EFBIG, "a simulated guest holds files up to 16 MiB");
	}
}

static int sim_file_write(struct machine_driver *driver, const char *uid, const char *path, unsigned mode, int from_fd, struct err *err)
{
	auto_str struct str content = { 0 };
	struct sim_machine *machine;
	struct str *file;
	int r = read_all(from_fd, &content, err);

	(void)mode;
	if (r < 0)
		return r;
	machine = begin_with_agent(driver, uid, "file write", err);
	if (!machine)
		return err->code;
	file = map_get(&machine->files, path);
	if (!file) {
		file = alloc(sizeof(*file));
		map_put(&machine->files, path, file);
	}
	str_done(file);
	*file = content;
	content = (struct str){ 0 };
	return sim_end(sim_of(driver), 0, "file written", err);
}

static int open_console(struct sim_machine *machine, int *ret_fd, struct err *err)
{
	if (machine->console[0] < 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, machine->console) < 0)
		return err_set(err, -errno, "console: %m");
	int fd = fcntl(machine->console[0], F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return err_set(err, -errno, "console: %m");
	*ret_fd = fd;
	return 0;
}

static int sim_console_open(struct machine_driver *driver, const char *uid, int *ret_fd, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "console open", err);
	int r;

	if (!machine)
		return err->code;
	r = open_console(machine, ret_fd, err);
	pthread_mutex_unlock(&sim_of(driver)->world->lock);
	return r;
}

/* Looking */

static int sim_usage(struct machine_driver *driver, const char *uid, struct machine_usage *ret_usage, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "machine usage", err);
	uint64_t age_ms;

	if (!machine)
		return err->code;
	/* A tenth of a cpu, half of its memory, and a little traffic, since it was started. */
	age_ms = (uint64_t)(sim_now_ms(sim_of(driver)->world) - machine->started_at);
	*ret_usage = (struct machine_usage){
		.cpu_ns = age_ms * 100000, .memory_bytes = machine->config->config.memory_bytes / 2,
		.disk_read_bytes = age_ms * 16, .disk_write_bytes = age_ms * 8,
		.net_receive_bytes = age_ms * 4, .net_transmit_bytes = age_ms * 2,
	};
	pthread_mutex_unlock(&sim_of(driver)->world->lock);
	return 0;
}

static int sim_list(struct machine_driver *driver, struct machine_uids *ret_uids, struct err *err)
{
	struct sim_machines *world = sim_of(driver)->world;
	struct machine_uids uids = { 0 };
	int r = sim_begin(sim_of(driver), "machine list", err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < world->machines.count; i++)
		*vec_push(&uids.items) = text_copy(world->machines.entries[i].key);
	pthread_mutex_unlock(&world->lock);
	*ret_uids = uids;
	return 0;
}

static int sim_watch_op(struct machine_driver *driver, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
			struct machine_watch **ret_watch, struct err *err)
{
	int r = fault_step(sim_of(driver)->fault, "machine watch", err);

	return r < 0 ? r : sim_watch(sim_of(driver)->world, uid, loop, fn, data, ret_watch, err);
}

static void sim_unwatch_op(struct machine_driver *driver, struct machine_watch *watch)
{
	(void)driver;
	sim_unwatch(watch);
}

const struct machine_ops machine_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.probe = sim_probe,
	.start = sim_start,
	.status = sim_status,
	.shutdown = sim_shutdown,
	.kill = sim_kill,
	.pause = sim_pause,
	.resume = sim_resume,
	.migrate_in = sim_migrate_in,
	.migrate_out = sim_migrate_out,
	.migrate_cancel = sim_migrate_cancel,
	.resize = sim_resize,
	.disk_attach = sim_disk_attach,
	.disk_detach = sim_disk_detach,
	.disk_resize = sim_disk_resize,
	.snapshot_create = sim_snapshot_create,
	.disk_snapshot = sim_disk_snapshot,
	.snapshot_remove = sim_snapshot_remove,
	.exec = sim_exec,
	.file_read = sim_file_read,
	.file_write = sim_file_write,
	.console_open = sim_console_open,
	.usage = sim_usage,
	.list = sim_list,
	.watch = sim_watch_op,
	.unwatch = sim_unwatch_op,
};
