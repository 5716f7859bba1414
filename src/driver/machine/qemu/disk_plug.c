/*
 * Plugging disks live. Attach adds, from the bottom up, an fd set and a block node per layer, then the
 * device; detach goes the other way. Both are safe to repeat: what counts is the device, and
 * whatever an interrupted attempt left below it is cleared first.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "driver/machine/qemu/disk.h"
#include "driver/machine/qemu/qemu.h"

enum { UNPLUG_POLL_MS = 2, LAYERS_MAX = 256 };

static int has_device(struct qmp *qmp, const char *id, bool *ret_is_there, struct err *err)
{
	auto_json struct json *reply = NULL;
	char device[DISK_NAME_SIZE];
	const struct json *list;
	int r = qmp_call(qmp, "qom-list", "{\"path\":\"/machine/peripheral\"}", &reply, err);

	if (r < 0)
		return r;
	disk_device(id, device);
	list = json_get(reply, "return");
	*ret_is_there = false;
	for (size_t i = 0; i < json_count(list); i++)
		*ret_is_there |= text_equal(json_string(json_get(json_at(list, i), "name"), NULL), device);
	return 0;
}

/* Taking away */

static int unplug(struct qmp *qmp, const char *id, struct err *err)
{
	char device[DISK_NAME_SIZE];
	auto_free char *arguments = NULL;
	bool is_there;
	int r = has_device(qmp, id, &is_there, err);

	if (r < 0 || !is_there)
		return r;
	disk_device(id, device);
	arguments = text_format("{\"id\":\"%s\"}", device);
	r = qmp_call(qmp, "device_del", arguments, NULL, err);
	while (r == 0) {
		r = has_device(qmp, id, &is_there, err);
		if (r < 0 || !is_there)
			return r;
		if (deadline_left_ms(qmp->deadline) == 0)
			return err_set(err, -ETIMEDOUT, "the guest does not let go of disk '%s'", shown(id));
		poll(NULL, 0, UNPLUG_POLL_MS);
	}
	return r;
}

static bool has_node(const struct json *nodes, const char *name)
{
	for (size_t i = 0; i < json_count(nodes); i++)
		if (text_equal(json_string(json_get(json_at(nodes, i), "node-name"), NULL), name))
			return true;
	return false;
}

/* A device that is gone holds its node for a moment longer (RCU). */
static int remove_node(struct qmp *qmp, const char *node, struct err *err)
{
	auto_free char *arguments = text_format("{\"node-name\":\"%s\"}", node);
	int r;

	for (;;) {
		r = qmp_call(qmp, "blockdev-del", arguments, NULL, err);
		if (r == 0 || !strstr(err->msg, "in use") || deadline_left_ms(qmp->deadline) == 0)
			return r;
		poll(NULL, 0, UNPLUG_POLL_MS);
	}
}

static int remove_nodes(struct qmp *qmp, const char *id, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = qmp_call(qmp, "query-named-block-nodes", "{\"flat\":true}", &reply, err);

	for (size_t layer = 0; r == 0 && layer < LAYERS_MAX; layer++) {
		char node[DISK_NAME_SIZE];

		disk_node(id, layer, node);
		if (has_node(json_get(reply, "return"), node))
			r = remove_node(qmp, node, err);
	}
	return r;
}

static bool serves(const struct json *fd_set, const char *purpose)
{
	const struct json *fds = json_get(fd_set, "fds");

	for (size_t i = 0; i < json_count(fds); i++)
		if (text_equal(json_string(json_get(json_at(fds, i), "opaque"), NULL), purpose))
			return true;
	return false;
}

static int remove_fd_sets(struct qmp *qmp, const char *id, struct err *err)
{
	auto_json struct json *reply = NULL;
	char purpose[DISK_NAME_SIZE];
	const struct json *sets;
	int r = qmp_call(qmp, "query-fdsets", NULL, &reply, err);

	if (r < 0)
		return r;
	disk_fd_purpose(id, purpose);
	sets = json_get(reply, "return");
	for (size_t i = 0; r == 0 && i < json_count(sets); i++) {
		auto_free char *arguments = NULL;

		if (!serves(json_at(sets, i), purpose))
			continue;
		arguments = text_format("{\"fdset-id\":%lld}", (long long)json_int(json_get(json_at(sets, i), "fdset-id"), -1));
		r = qmp_call(qmp, "remove-fd", arguments, NULL, err);
	}
	return r;
}

static int remove_disk(struct qmp *qmp, const char *id, struct err *err)
{
	int r = unplug(qmp, id, err);

	if (r == 0)
		r = remove_nodes(qmp, id, err);
	return r < 0 ? r : remove_fd_sets(qmp, id, err);
}

/* Adding */

static int send_layer(struct qmp *qmp, const struct machine_disk *disk, size_t layer, int64_t *ret_fd_set, struct err *err)
{
	auto_close int fd = disk_open_layer(disk, layer, err);
	auto_json struct json *reply = NULL;
	auto_free char *arguments = NULL;
	char purpose[DISK_NAME_SIZE];
	int r;

	if (fd < 0)
		return fd;
	disk_fd_purpose(disk->id, purpose);
	arguments = text_format("{\"opaque\":\"%s\"}", purpose);
	r = qmp_call_fd(qmp, "add-fd", arguments, fd, &reply, err);
	if (r == 0)
		*ret_fd_set = json_int(json_path(reply, "return.fdset-id"), -1);
	return r;
}

static int add_layers(struct qmp *qmp, const struct machine_disk *disk, struct err *err)
{
	for (size_t i = disk->layer_count; i-- > 0;) {
		auto_str struct str node = { 0 };
		int64_t fd_set = -1;
		int r = send_layer(qmp, disk, i, &fd_set, err);

		if (r < 0)
			return r;
		disk_layer_json(disk, i, fd_set, &node);
		r = qmp_call(qmp, "blockdev-add", node.data, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_disk(struct qmp *qmp, const struct machine_disk *disk, struct err *err)
{
	auto_str struct str device = { 0 };
	int r = add_layers(qmp, disk, err);

	if (r == 0) {
		disk_device_json(disk, "pci", &device);
		r = qmp_call(qmp, "device_add", device.data, NULL, err);
	}
	if (r < 0)
		remove_disk(qmp, disk->id, &(struct err){ 0 });
	return r;
}

/* Operations */

int qemu_disk_attach(struct machine_driver *driver, const char *uid, const struct machine_disk *disk, struct err *err)
{
	auto_qmp struct qmp qmp;
	bool is_there = false;
	int r = qemu_connect(qemu_of(driver), uid, QMP_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = has_device(&qmp, disk->id, &is_there, err);
	if (r == 0 && !is_there)
		r = remove_disk(&qmp, disk->id, err);
	if (r == 0 && !is_there)
		r = add_disk(&qmp, disk, err);
	return r < 0 ? err_prefix(err, "attach disk '%s'", shown(disk->id)) : 0;
}

int qemu_disk_detach(struct machine_driver *driver, const char *uid, const char *disk, struct err *err)
{
	auto_qmp struct qmp qmp;
	int r = qemu_connect(qemu_of(driver), uid, QMP_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = remove_disk(&qmp, disk, err);
	return r < 0 ? err_prefix(err, "detach disk '%s'", shown(disk)) : 0;
}

int qemu_disk_resize(struct machine_driver *driver, const char *uid, const char *disk, uint64_t size_bytes, struct err *err)
{
	auto_free char *arguments = NULL;
	char node[DISK_NAME_SIZE];
	int r;

	disk_node(disk, 0, node);
	arguments = text_format("{\"node-name\":\"%s\",\"size\":%llu}", node, (unsigned long long)size_bytes);
	r = qemu_command(qemu_of(driver), uid, "block_resize", arguments, err);
	return r < 0 ? err_prefix(err, "resize disk '%s'", shown(disk)) : 0;
}
