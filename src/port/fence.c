#include "port/fence.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void fence_status_done(struct fence_status *status)
{
	for (size_t i = 0; i < status->guards.count; i++) {
		free(status->guards.items[i].uid);
		free(status->guards.items[i].cgroup);
	}
	vec_done(&status->guards);
}

const struct fence_guard *fence_status_find(const struct fence_status *status, const char *uid)
{
	for (size_t i = 0; i < status->guards.count; i++)
		if (strcmp(status->guards.items[i].uid, uid) == 0)
			return &status->guards.items[i];
	return NULL;
}

int fence_check_deadline(uint64_t deadline_ns, uint64_t now_ns, struct err *err)
{
	if (deadline_ns > now_ns && deadline_ns - now_ns > FENCE_AHEAD_MAX_NS)
		return err_set(err, -EINVAL, "deadline %" PRIu64 " ns is more than an hour ahead of %" PRIu64
			       ": give nanoseconds of CLOCK_BOOTTIME", deadline_ns, now_ns);
	return 0;
}

static int check_uid(const char *uid, struct err *err)
{
	size_t length = strlen(uid);

	if (length == 0 || length > FENCE_UID_LENGTH)
		return err_set(err, -EINVAL, "uid '%s' to guard has %zu characters: use 1 to %d", shown(uid), length, FENCE_UID_LENGTH);
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)uid[i]) && (i == 0 || !strchr("-_", uid[i])))
			return err_set(err, -EINVAL, "uid '%s' to guard: use letters, digits, '-' and '_'", shown(uid));
	return 0;
}

/* What is in it will be killed, so it must be one that nobody can mean by accident. */
static int check_cgroup(const char *cgroup, struct err *err)
{
	size_t length = strlen(cgroup);

	if (length > FENCE_CGROUP_LENGTH)
		return err_set(err, -EINVAL, "cgroup '%s' has %zu characters: use at most %d", shown(cgroup), length, FENCE_CGROUP_LENGTH);
	if (cgroup[0] != '/' || cgroup[1] == '\0' || cgroup[length - 1] == '/' || strstr(cgroup, "/.") || strstr(cgroup, "//"))
		return err_set(err, -EINVAL, "cgroup '%s' to guard: give an absolute path without '.', '..' and '/' at its end", shown(cgroup));
	return 0;
}

int fence_check_guard(const char *uid, const char *cgroup, struct err *err)
{
	int r = check_uid(uid, err);

	return r < 0 ? r : check_cgroup(cgroup, err);
}
