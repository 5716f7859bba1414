/*
 * file.h - what everybody does with files and folders.
 *
 * Errors:  -errno; the message names the path.
 * Threads: any; functions with 'is_cancelled' look at it between chunks and end with -ECANCELED.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* Appends the whole file to 'out'. -EFBIG beyond 'max_bytes'; 'out' is as before on failure. */
int file_read_all(const char *path, size_t max_bytes, struct str *out, struct err *err);

/*
 * The file has its old content or the new one, whatever happens, and the new one
 * has reached the disk on return. Goes through "<path>.new", so one writer at a time per path.
 */
int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *err);

/*
 * Locks the file, which is made when it is not there, until '*ret_fd' is closed, and writes our pid into it for others to read.
 * Who was about to start a program when it was killed has left its lock to a child for a moment: when the pid that stands there is
 * of nobody (or ours, before an exec), it is waited for. -EBUSY: '*ret_holder' (0: not known) has it, or still so after the wait.
 */
enum { FILE_LOCK_WAIT_MS = 5000 };
int file_lock(const char *path, int *ret_fd, pid_t *ret_holder, struct err *err);

/* Makes the folder and those above it that are missing. */
int file_make_dirs(const char *path, mode_t mode, struct err *err);

/*
 * Removes a file or a folder with all it holds; nothing there is success. Never
 * follows links and never enters another file system (-EXDEV).
 */
int file_remove_tree(const char *path, struct err *err);

/*
 * Opens 'path', which must be relative, below 'dir_fd' without any symbolic link on the
 * way and without leaving it: for paths that a guest, an image or an archive may influence.
 * Returns the fd (O_CLOEXEC), or -errno.
 */
int file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct err *err);

struct file_progress {
	void (*on_progress)(void *data, uint64_t done_bytes, uint64_t total_bytes);	/* May be null. */
	void *data;
	const bool *is_cancelled;	/* May be null. */
};

/*
 * Copies a whole file over an empty one: sharing its blocks where the file system
 * can, else copying what is not a hole. 'progress' may be null.
 */
int file_copy_sparse(int from_fd, int to_fd, const struct file_progress *progress, struct err *err);

/* All of 'data', at 'offset'. */
int file_write_at(int fd, const void *data, size_t size, uint64_t offset, struct err *err);

/* fsync(2) of a folder: makes names in it durable. */
int file_sync_dir(const char *path, struct err *err);

#endif
