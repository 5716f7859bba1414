#include "driver/machine/qemu/disk.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"

enum { SERIAL_LENGTH = 20 };

/* QEMU's ids: letters, digits and "-._". */
void disk_serial(const char *id, char name[DISK_NAME_SIZE])
{
	size_t length = 0;

	for (; id[length] && length < SERIAL_LENGTH; length++)
		name[length] = isalnum((unsigned char)id[length]) || id[length] == '-' ? id[length] : '_';
	name[length] = '\0';
}

static void with_prefix(const char *prefix, const char *id, char name[DISK_NAME_SIZE])
{
	char serial[DISK_NAME_SIZE];

	disk_serial(id, serial);
	snprintf(name, DISK_NAME_SIZE, "%s%.*s", prefix, SERIAL_LENGTH, serial);
}

void disk_device(const char *id, char name[DISK_NAME_SIZE])
{
	with_prefix("dev-", id, name);
}

void disk_fd_purpose(const char *id, char name[DISK_NAME_SIZE])
{
	with_prefix("disk:", id, name);
}

void disk_node(const char *id, size_t layer, char name[DISK_NAME_SIZE])
{
	char serial[DISK_NAME_SIZE];

	disk_serial(id, serial);
	if (layer == 0)
		snprintf(name, DISK_NAME_SIZE, "d-%.*s", SERIAL_LENGTH, serial);
	else
		snprintf(name, DISK_NAME_SIZE, "d-%.*s.%u", SERIAL_LENGTH, serial, (unsigned)layer % 10000);
}

static void write_file_node(struct json_writer *writer, bool is_read_only, int64_t fd_set)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/fdset/%lld", (long long)fd_set);
	json_write_object(writer, "file");
	json_write_string(writer, "driver", "file");
	json_write_string(writer, "filename", path);
	json_write_bool(writer, "read-only", is_read_only);
	json_write_string(writer, "discard", "unmap");
	json_write_end_object(writer);
}

void disk_layer_json(const struct machine_disk *disk, size_t layer, int64_t fd_set, struct str *out)
{
	struct json_writer writer = { .out = out };
	bool is_read_only = disk->is_read_only || layer > 0;
	bool is_qcow2 = disk->layers[layer].format == VOLUME_QCOW2;
	char name[DISK_NAME_SIZE];

	json_write_object(&writer, NULL);
	json_write_string(&writer, "driver", is_qcow2 ? "qcow2" : "raw");
	disk_node(disk->id, layer, name);
	json_write_string(&writer, "node-name", name);
	json_write_bool(&writer, "read-only", is_read_only);
	json_write_string(&writer, "discard", "unmap");
	write_file_node(&writer, is_read_only, fd_set);
	/* Always said, so that QEMU never follows a path that is written in an image. */
	if (is_qcow2 && layer + 1 < disk->layer_count) {
		disk_node(disk->id, layer + 1, name);
		json_write_string(&writer, "backing", name);
	} else if (is_qcow2) {
		json_write_null(&writer, "backing");
	}
	json_write_end_object(&writer);
}

void disk_device_json(const struct machine_disk *disk, const char *suffix, struct str *out)
{
	struct json_writer writer = { .out = out };
	auto_free char *virtio = text_format("virtio-blk-%s", suffix);
	char name[DISK_NAME_SIZE];

	json_write_object(&writer, NULL);
	json_write_string(&writer, "driver", disk->is_root ? virtio : "scsi-hd");
	disk_device(disk->id, name);
	json_write_string(&writer, "id", name);
	disk_node(disk->id, 0, name);
	json_write_string(&writer, "drive", name);
	disk_serial(disk->id, name);
	json_write_string(&writer, "serial", name);
	/* A full or broken disk stops the guest until somebody has helped; nothing is lost meanwhile. */
	json_write_string(&writer, "werror", "stop");
	json_write_string(&writer, "rerror", "stop");
	if (disk->is_root)		/* 0 is taken by a kernel given with -kernel. */
		json_write_int(&writer, "bootindex", 1);
	else
		json_write_string(&writer, "bus", "scsi.0");
	json_write_end_object(&writer);
}

int disk_open_layer(const struct machine_disk *disk, size_t layer, struct err *err)
{
	bool is_writable = layer == 0 && !disk->is_read_only;
	const char *path = disk->layers[layer].path;
	int fd = open(path, (is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "disk '%s': open '%s': %m", shown(disk->id), shown(path));
	return fd;
}
