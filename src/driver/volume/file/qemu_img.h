/*
 * qemu_img.h - runs qemu-img(1) for the driver.
 *
 * qemu-img parses what guests and strangers wrote, so it runs as the unprivileged user and is given
 * open files (as /dev/fd/N) and always the format: it looks up no path and guesses nothing.
 *
 * Errors:  -EBUSY (a machine has the volume open), -ENOSPC, -ECANCELED, -ETIMEDOUT, else -EIO, with
 *          qemu-img's own reason.
 * Threads: any; ends with the thread that runs it.
 */
#ifndef VOLUME_FILE_QEMU_IMG_H
#define VOLUME_FILE_QEMU_IMG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/spawn.h"
#include "base/str.h"
#include "port/volume.h"

enum { QEMU_IMG_FIRST_FD = 10 };	/* Files given to qemu-img have the numbers from here on. */

struct qemu_img {
	VEC(const char *) argv;		/* Borrowed. */
	VEC(struct spawn_fd) fds;
	VEC(char *) texts;		/* Owned, referred to by argv. */
	uid_t user;			/* 0: as we are. */
	gid_t group;
	bool is_trusted;		/* Parses nothing: spare the limits on its resources. */
	const struct volume_progress *progress;	/* May be null. */
	uint64_t total_bytes;		/* What 100% in the progress is. */
};

void qemu_img_init(struct qemu_img *run, uid_t user, gid_t group, const char *subcommand);
void qemu_img_done(struct qemu_img *run);
#define auto_qemu_img __attribute__((cleanup(qemu_img_done)))

void qemu_img_add(struct qemu_img *run, const char *argument);		/* Borrowed until done. */
/* Lends 'fd' (borrowed too) and adds its name as an argument. */
void qemu_img_add_file(struct qemu_img *run, int fd);
/* Adds a chain of layers, top first, as one json: argument. The headers' own idea of the chain is ignored. */
void qemu_img_add_chain(struct qemu_img *run, const int *fds, const enum volume_format *formats, size_t count);
/* The same chain, to be written to, for --target-image-opts. */
void qemu_img_add_target(struct qemu_img *run, const int *fds, const enum volume_format *formats, size_t count);

/* Runs to the end; with 'ret_exit_code' a non-zero exit is no error but returned there. */
int qemu_img_run(struct qemu_img *run, int *ret_exit_code, struct err *err);

#endif
