/* prepare.c - before there is a core: etcd of this host, and what was left on the way into a cluster or out of one. */
#include <errno.h>
#include <unistd.h>

#include "4-service/cluster/membership.h"
#include "4-service/cluster/file.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

/* The store of the time before the cluster. A copy of it is beside. */
static void remove_old_store(const char *directory)
{
	static const char *const endings[] = { "", "-wal", "-shm", ".lock", ".new" };

	for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
		auto_free char *path = text_format("%s/store.db%s", directory, endings[i]);

		unlink(path);
	}
}

static int remove_member(const char *directory, const struct member_ops *member, const char *cgroup, struct err *err)
{
	auto_free char *folder = text_format("%s/etcd", directory);

	if (access(folder, F_OK) < 0)
		return 0;
	return member->stop(&(struct member_params){ .directory = folder, .cgroup = cgroup }, true, err);
}

int cluster_prepare(const char *directory, const char *node_uid, const struct cluster_params *params, struct err *err)
{
	struct cluster_place place = { 0 };
	struct err reason;
	int r;

	if (!params->settings.uid)
		return remove_member(directory, params->member, params->cgroup, err);
	remove_old_store(directory);
	if (!params->settings.member)
		return 0;
	r = cluster_place_init(directory, node_uid, params->cgroup, params->settings.address, &place, err);
	/* The other members may do. */
	if (r == 0 && params->member->start(&place.params, &reason) < 0)
		log_line(LOG_ERROR, "etcd of this host: %s", reason.msg);
	cluster_place_done(&place);
	return r;
}

int cluster_forget(const char *directory, const struct member_ops *member, const char *cgroup, struct err *err)
{
	int r = cluster_file_remove(directory, err);

	return r < 0 ? r : remove_member(directory, member, cgroup, err);
}
