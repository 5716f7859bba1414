/*
 * user.h - "1000:1000" or "www-data:www-data" as numbers, by the container's own /etc/passwd and /etc/group.
 *
 * Those files are the image's or the guest's: they are opened below its root, whatever links
 * they are, read up to a limit, and lines that make no sense are passed over.
 *
 * Errors:  -ENOENT: no such user or group; -EINVAL: not of that form.
 */
#ifndef DRIVER_MACHINE_OCI_USER_H
#define DRIVER_MACHINE_OCI_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum { USER_GROUPS_MAX = 32 };

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];	/* Beside 'gid'. */
	size_t group_count;
	char home[256];
};

/* Whether the files must be asked: not for root and not for two numbers. */
bool user_needs_files(const char *text);
/* 'passwd' and 'group' are the files' content; empty when there are none. */
int user_resolve(const char *text, const char *passwd, const char *group, struct user *ret_user, struct err *err);
/* Reads them below 'root_fd' when they are needed; -1: there is none. */
int user_find(const char *text, int root_fd, struct user *ret_user, struct err *err);

#endif
