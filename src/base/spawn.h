/*
 * spawn.h - other programs, without a shell.
 *
 * argv arrays only; the child gets no fds but those named, signals at their
 * defaults, an empty environment but PATH, LANG=C.UTF-8 and 'env'.
 *
 * Errors:  -ENOENT when the program is not installed (the message names it and
 *          the Debian package where known), else -errno; spawn_run() also
 *          -ETIMEDOUT, and -EIO with the program's last line of stderr in the
 *          message when it exits non-zero.
 * Threads: any.
 */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct spawn_fd { int from, to; };	/* The child sees our 'from' as its 'to'. */

struct spawn_params {
	const char *const *argv;	/* argv[0] is looked up in PATH unless it has a slash. */
	const char *const *env;		/* "NAME=value", null-terminated; may be null. */
	const char *directory;		/* Null: "/". */
	const struct spawn_fd *fds;	/* 0, 1 and 2 are /dev/null unless named here. */
	size_t fd_count;
	const char *cgroup;		/* Folder the child joins before it runs; null: ours. */
	bool has_own_session;		/* setsid(): survives us. */
	bool has_own_group;		/* setpgid(): kill(-pid) reaches its children too. */
	bool has_user;			/* Run as user:group with only 'groups' beside. */
	uid_t user;
	gid_t group;
	const gid_t *groups;
	size_t group_count;
	bool ends_with_parent;		/* SIGKILL when the calling thread ends: not for pool threads. */
	/* Runs in the child, in its cgroup, before fds are arranged and privileges dropped: errno, or 0. May be null.
	 * Must be CHILD_CODE and do no more than base/clone.h allows. */
	int (*prepare)(void *data);
	void *prepare_data;
};

/*
 * 'ret_pidfd' is the caller's to close. Failure of exec itself is reported here too.
 * With 'has_user' our own process stops being dumpable: the kernel sees to it
 * that the child cannot be traced by its new user while it still shares our memory.
 */
int spawn_start(const struct spawn_params *params, pid_t *ret_pid, int *ret_pidfd, struct err *err);

/* Where spawn_start() finds 'name': its path, on the heap. */
int spawn_find(const char *name, char **ret_path, struct err *err);

struct spawn_io {
	const void *input;		/* To stdin; null: /dev/null. */
	size_t input_size;
	struct str *output;		/* From stdout; null: discarded. */
	size_t output_max;		/* More is -EFBIG; 0: 1 MiB. */
	uint64_t timeout_ms;		/* 0: ten minutes. Then the process group is killed. */
	const bool *is_cancelled;	/* May be null; looked at ten times a second. */
	void (*on_line)(void *data, const char *line);	/* Each line of stderr; may be null. */
	void (*on_tick)(void *data);	/* Ten times a second or so, while it runs; may be null. */
	void *data;
};

/* Runs to the end. 0 when it exits with 0. 'io' may be null. */
int spawn_run(const struct spawn_params *params, const struct spawn_io *io, struct err *err);

#endif
