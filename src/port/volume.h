/*
 * volume.h - the volume port: block devices and trees of files by name, whatever they are stored on.
 *
 * A volume is named by the uid of its owner (an image, an instance's root, an extra volume) and
 * lives in the pool the driver was opened on.  A block volume is a disk of a machine; images are
 * block volumes too, and a root disk is a copy-on-write child of its image's volume.  A tree is a
 * folder that a container mounts; its files belong to the ids as the container sees them (0 is
 * root; the machine driver maps them).
 *
 * A tree in use may be snapshotted and cloned when whoever writes to it is frozen.
 *
 * Every operation is blocking (call it from a worker), safe to repeat after a crash, and
 * leaves either the old or the new state: create, clone and import build beside and rename.
 * When the volume they are to make is already there, they have been done before: they
 * succeed and change nothing (remove it first to have another).
 *
 * Errors:  -ENOENT no such volume or snapshot, -EEXIST (snapshots), -ENOSPC, -EINVAL (a file that is
 *          not what it claims, with the reason in words), -EBUSY in use, -ECANCELED.
 * Memory:  'ret_x' passes to the caller on success.
 * Threads: any number of threads; operations on one volume are the caller's to keep apart.
 */
#ifndef PORT_VOLUME_H
#define PORT_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/vec.h"

enum {
	VOLUME_NAME_LENGTH = 63,
	VOLUME_LAYERS_MAX = 32,		/* A chain of more parents is refused. */
};
#define VOLUME_SIZE_MAX (UINT64_C(1) << 46)	/* 64 TiB */

enum volume_content { VOLUME_BLOCK, VOLUME_TREE };
enum volume_format { VOLUME_RAW, VOLUME_QCOW2 };

/* One layer (file) of the chain that makes up a volume, top first; only the first is written. */
struct volume_layer {
	char *path;
	enum volume_format format;
};

struct volume_info {
	enum volume_content content;
	uint64_t size_bytes;		/* As the guest sees it; of a tree its limit, 0: none. */
	uint64_t allocated_bytes;	/* On disk, without what it shares with its parent. Of a tree roughly: asking costs little. */
	VEC(struct volume_layer) layers;	/* BLOCK: for the machine driver. */
	char *tree;			/* TREE: absolute path of the folder. */
	VEC(char *) snapshots;		/* Names, oldest first. */
};
void volume_info_done(struct volume_info *info);
#define auto_info __attribute__((cleanup(volume_info_done)))

struct volume_names { VEC(char *) items; };
void volume_names_done(struct volume_names *names);
#define auto_names __attribute__((cleanup(volume_names_done)))

/* Letters, digits, '-' and '_', at most VOLUME_NAME_LENGTH: for volumes and snapshots. 'what' is "volume" or "snapshot". */
int volume_check_name(const char *what, const char *name, struct err *err);
/* A size in force: 512 bytes at least and VOLUME_SIZE_MAX at most. */
int volume_check_size(uint64_t size_bytes, struct err *err);

struct volume_space { uint64_t size_bytes, free_bytes; };

struct volume_params {
	const char *directory;		/* Where the volumes are (driver "btrfs": where it is mounted). Made when missing. */
	const char *source;		/* Driver "btrfs": a block device, a folder on btrfs, or a file made when missing. */
	uint64_t size_bytes;		/* Driver "btrfs": size of that file; 0: 10 GiB. */
	uid_t user;			/* Who may read and write the files (the machine's user); 0: root. */
	gid_t group;
	void *world;			/* Driver "sim": struct sim_volumes *, outlives the driver. */
	struct fault *fault;		/* Driver "sim"; may be null. */
};

struct volume_ops;
struct volume_driver { const struct volume_ops *ops; };	/* Embedded first in the driver's own struct. */

struct volume_progress {		/* Optional in long operations; null members are skipped. */
	void (*report)(void *data, uint64_t done, uint64_t total);	/* Bytes; total 0: unknown. In the caller's thread. */
	const bool *is_cancelled;	/* Looked at ten times a second; the operation ends with -ECANCELED. */
	void *data;
};
void volume_report(const struct volume_progress *progress, uint64_t done, uint64_t total);	/* 'progress' may be null. */
bool volume_is_cancelled(const struct volume_progress *progress);

struct volume_ops {
	const char *name;
	int (*open)(const struct volume_params *params, struct volume_driver **ret_driver, struct err *err);
	void (*close)(struct volume_driver *driver);
	/* What is opened on goes for good (unmounted, the file made for it removed), when no volume is in it: -EBUSY. Not opened. */
	int (*destroy)(const struct volume_params *params, struct err *err);
	/* Of the whole pool. */
	int (*space)(struct volume_driver *driver, struct volume_space *ret_space, struct err *err);
	/* An empty volume of 'size_bytes'; BLOCK with 'parent': a copy-on-write child of that volume, at least
	 * as large (size_bytes 0: as large).  The parent must not change or go as long as it has children.
	 * TREE: size_bytes limits what may be written, 0: no limit; -EOPNOTSUPP where a limit cannot be kept. */
	int (*create)(struct volume_driver *driver, const char *volume, enum volume_content content, const char *parent,
		      uint64_t size_bytes, struct err *err);
	/* An independent volume with the present content of 'from', or of its snapshot (then 'from' may be in
	 * use by a running machine). Keeps sharing what 'from' shares with its parent. */
	int (*clone)(struct volume_driver *driver, const char *volume, const char *from, const char *snapshot,
		     const struct volume_progress *progress, struct err *err);
	/* A volume from a foreign file (qcow2 or raw, by content; other formats, backing files,
	 * external data files and encrypted images are refused). 'expected': the format the person named, or -1.
	 * A file that params->user may not read is copied first: give it to that user to save the copy. */
	int (*import)(struct volume_driver *driver, const char *volume, int file_fd, int expected,
		      const struct volume_progress *progress, struct err *err);
	/* The whole content as one standalone compressed qcow2 written to 'path' (a new file). Not in use. */
	int (*export)(struct volume_driver *driver, const char *volume, const char *path,
		      const struct volume_progress *progress, struct err *err);
	int (*remove)(struct volume_driver *driver, const char *volume, struct err *err);	/* Absent is fine. */
	int (*resize)(struct volume_driver *driver, const char *volume, uint64_t size_bytes, struct err *err);	/* Grow, not in use. */
	int (*snapshot_create)(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err);	/* Not in use. */
	int (*snapshot_restore)(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err);	/* Not in use. */
	/* Not in use; absent is fine. */
	int (*snapshot_remove)(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err);
	/*
	 * A snapshot as a stream of bytes, for backups: whole ('base' null), or what changed since the snapshot 'base'.
	 * receive makes a new volume from a whole one (with the snapshot, under its name, in it), or brings a volume that has the
	 * snapshot 'base' and is not in use to the state of the stream's snapshot. A stream is only for the
	 * driver that wrote it (disks: "file" and "btrfs" read each other's), and is untrusted: -EINVAL when it is damaged or does not
	 * fit, with nothing changed. A whole stream holds what the volume shares with its parent too. A snapshot of that name that is
	 * there already has been received before: its state is what the volume gets. -EEXIST when the volume is another one.
	 * send may be used while a machine writes to the volume. Whoever writes to 'to_fd' must ignore SIGPIPE.
	 */
	int (*send)(struct volume_driver *driver, const char *volume, const char *snapshot, const char *base, int to_fd,
		    const struct volume_progress *progress, struct err *err);
	int (*receive)(struct volume_driver *driver, const char *volume, int from_fd, const struct volume_progress *progress,
		       struct err *err);
	int (*info)(struct volume_driver *driver, const char *volume, struct volume_info *ret_info, struct err *err);
	/* Every volume there is, for finding leftovers. Also removes half-built ones that nobody is building any more. */
	int (*list)(struct volume_driver *driver, struct volume_names *ret_names, struct err *err);
};

extern const struct volume_ops volume_file;
extern const struct volume_ops volume_btrfs;
extern const struct volume_ops volume_sim;

#endif
