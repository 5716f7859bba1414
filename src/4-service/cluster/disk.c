/* disk.c - what the destination of a move asks of the source: disks at rest, and the small files beside them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/agent/move.h"
#include "4-service/cluster/peers.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

struct disk {
	struct call *call;
	struct volume_driver *driver;
	char *volume, *path;
	bool wants_info;
	unsigned part;
	int fd;
	struct err err;
};

static void disk_free(void *data)
{
	struct disk *disk = data;

	closep(&disk->fd);
	free(disk->volume);
	free(disk->path);
	free(disk);
}

static int write_info(struct disk *disk, const struct volume_info *info, struct err *err)
{
	auto_free char *json = text_format("{\"size\":%" PRIu64 ",\"has_parent\":%s}", info->size_bytes, info->layers.count > 1 ? "true" : "false");

	return write(disk->fd, json, strlen(json)) == (ssize_t)strlen(json) ? 0 : err_set(err, -errno, "'%s': %m", disk->path);
}

/* The snapshots, oldest first, each with what changed since the one before; the last is the one of the move. */
static int write_part(struct disk *disk, const struct volume_info *info, struct err *err)
{
	const char *base = disk->part ? info->snapshots.items[disk->part - 1] : NULL;

	return disk->driver->ops->send(disk->driver, disk->volume, info->snapshots.items[disk->part], base, disk->fd, NULL, err);
}

static int run(struct disk *disk, struct err *err)
{
	auto_info struct volume_info info = { 0 };
	int r = disk->driver->ops->info(disk->driver, disk->volume, &info, err);

	if (r == 0 && !disk->wants_info && disk->part >= info.snapshots.count)
		return err_set(err, -ENOENT, "part %u: there are %zu", disk->part, info.snapshots.count);
	if (r < 0)
		return r;
	disk->fd = open(disk->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (disk->fd < 0)
		return err_set(err, -errno, "make '%s': %m", disk->path);
	unlink(disk->path);
	r = disk->wants_info ? write_info(disk, &info, err) : write_part(disk, &info, err);
	if (r == 0 && lseek(disk->fd, 0, SEEK_SET) < 0)
		r = err_set(err, -errno, "'%s': %m", disk->path);
	return r;
}

static void disk_run(void *data)
{
	struct disk *disk = data;

	if (run(disk, &disk->err) == 0)
		disk->err.code = 0;
}

static void disk_done(void *data)
{
	struct disk *disk = data;
	struct call_fds fds = CALL_NO_FDS;

	fds.output = disk->err.code < 0 ? -1 : take_fd(disk->fd);
	if (disk->err.code < 0)
		answer_err(disk->call, &disk->err);
	else
		answer_fds(disk->call, fds);
	disk_free(disk);
}

static void send_file(struct core *core, struct call *call, const struct instance *instance, const char *name)
{
	static const char *const names[] = { "kernel", "initrd", "cmdline", "nvram", "console.log" };
	auto_free char *path = text_format("%s/instances/%s/%s", core->directory, instance->meta.uid, name);
	struct call_fds fds = CALL_NO_FDS;
	struct err err = { 0 };
	bool is_known = false;

	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		is_known |= text_equal(name, names[i]);
	if (!is_known)
		err_set(&err, -EINVAL, "file: '%s' is no file of an instance", shown(name));
	else if ((fds.output = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		err_set(&err, -errno, "the %s of instance '%s': %m", name, instance->meta.name);
	if (err.code < 0)
		answer_err(call, &err);
	else
		answer_fds(call, fds);
}

static int find_disk(struct core *core, const struct instance *instance, const char *id, struct disk *disk, struct err *err)
{
	struct move_disks *disks = move_disks_new(core->agent, instance);

	for (size_t i = 0; i < disks->items.count; i++)
		if (text_equal(disks->items.items[i].id, id)) {
			disk->volume = take(disks->items.items[i].volume);
			disk->driver = disks->items.items[i].driver;
		}
	move_disks_free(disks);
	return disk->driver ? 0 : err_set(err, -ENOENT, "disk: instance '%s' has no disk '%s' that would have to be copied", instance->meta.name, shown(id));
}

static int check(struct core *core, const struct call *call, const struct instance *instance, bool must_rest, struct err *err)
{
	if (!text_equal(call->peer.channel, "node"))
		return err_set(err, -EACCES, "only the node that instance '%s' goes to may ask for this: see 'strata export'", call->name);
	if (text_equal(instance->spec.node, core->node_uid))
		return err_set(err, -EBUSY, "instance '%s' is not on its way anywhere", call->name);
	if (must_rest && instance->status.move.phase != MOVE_RESTING)
		return err_set(err, -EAGAIN, "the disks of instance '%s' are in use", call->name);
	return 0;
}

static unsigned part_number(const char *part)
{
	return (unsigned)strtoul(part, NULL, 10);
}

void transfer_disk(struct core *core, struct call *call)
{
	const char *file = json_string(json_get(call->body, "file"), NULL), *id = json_string(json_get(call->body, "disk"), "root");
	const char *part = json_string(json_get(call->body, "part"), "0");
	struct disk *disk;
	struct err err = { 0 };
	void *instance;

	if (find_object(core, KIND_INSTANCE, call->name, &instance, &err) < 0 ||
	    check(core, call, instance, !file && !text_equal(part, "info"), &err) < 0) {
		answer_err(call, &err);
		return;
	}
	if (file) {
		send_file(core, call, instance, file);
		return;
	}
	disk = alloc(sizeof(*disk));
	*disk = (struct disk){ .call = call, .fd = -1, .wants_info = text_equal(part, "info"), .part = part_number(part),
			       .path = text_format("%s/staging/%s.move", core->directory, kind_meta(instance)->uid) };
	if (find_disk(core, instance, id, disk, &err) < 0) {
		disk_free(disk);
		answer_err(call, &err);
		return;
	}
	work_submit(core->params.work, disk_run, disk_done, disk_free, disk);
}
