/*
 * filter.h - what a stranger's `btrfs send` stream may say before `btrfs receive` believes it.
 *
 * The program runs as root, in a chroot of the folder it receives into: what paths of the new subvolume say stays in
 * there. But it finds the subvolume that changes refer to, and files to share blocks with, by UUID and path outside
 * of that. So here, command by command, is seen to it that there is one subvolume only, that it refers to the base
 * it should, under a UUID that only the base of this moment has, and that shared blocks come from it or the base
 * and through no link.
 *
 * Follows fs/btrfs/send.h of Linux, version 1 of the stream.
 *
 * Errors:  -EINVAL.
 * Threads: one at a time per filter.
 */
#ifndef VOLUME_BTRFS_FILTER_H
#define VOLUME_BTRFS_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "driver/volume/btrfs/subvolume.h"

enum { FILTER_NAME_SIZE = 128 };

struct filter {
	int base_fd;			/* Borrowed; -1: the stream must be whole. */
	struct subvolume_info base;
	unsigned char alias[SUBVOLUME_UUID_SIZE];	/* What the base is called in what is passed on. */
	bool has_begun, has_subvolume, has_ended;
	char name[FILTER_NAME_SIZE];	/* What the stream calls its subvolume; a plain name. */
	unsigned char uuid[SUBVOLUME_UUID_SIZE];
	unsigned char parent[SUBVOLUME_UUID_SIZE];	/* What the stream calls the base. */
	struct str pending;		/* A command that has not come as a whole. */
};

int filter_init(struct filter *filter, int base_fd, const unsigned char alias[SUBVOLUME_UUID_SIZE], struct err *err);
/* Appends to 'out' what may be passed on. */
int filter_feed(struct filter *filter, const void *bytes, size_t size, struct str *out, struct err *err);
/* Nothing is missing. */
int filter_end(const struct filter *filter, struct err *err);
void filter_done(struct filter *filter);

#endif
