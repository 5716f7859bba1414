/*
 * disk.h - how a disk is called and described inside QEMU.
 *
 * A disk is a chain of block nodes, "d-<id>" on top and "d-<id>.<n>" below it, and one device
 * "dev-<id>"; its files come as fd sets. Ids are cut to 20 characters, the length of a disk's
 * serial number.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_QEMU_DISK_H
#define DRIVER_MACHINE_QEMU_DISK_H

#include "base/str.h"
#include "port/machine.h"

enum { DISK_NAME_SIZE = 32 };		/* QEMU's limit for a node's name. */

void disk_serial(const char *id, char name[DISK_NAME_SIZE]);
void disk_device(const char *id, char name[DISK_NAME_SIZE]);
void disk_node(const char *id, size_t layer, char name[DISK_NAME_SIZE]);

/* Why QEMU holds an fd: "disk:<serial>". Found again on detach. */
void disk_fd_purpose(const char *id, char name[DISK_NAME_SIZE]);

/* The argument of blockdev-add for one layer whose file is in fd set 'fd_set'. Appends to 'out'. */
void disk_layer_json(const struct machine_disk *disk, size_t layer, int64_t fd_set, struct str *out);

/* The argument of device_add. 'suffix' is "pci" or "device" (virtio-mmio). */
void disk_device_json(const struct machine_disk *disk, const char *suffix, struct str *out);

/* One fd per layer, for QEMU; -errno. */
int disk_open_layer(const struct machine_disk *disk, size_t layer, struct err *err);

#endif
