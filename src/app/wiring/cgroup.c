#include "app/wiring/cgroup.h"

#include <unistd.h>

#include "base/mem.h"

/* The v2 hierarchy: the root itself, or beside version 1 ("hybrid"). */
char *cgroup_of_node(const char *node_tag)
{
	const char *root = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";

	return text_format("%s/strata-%s", root, node_tag);
}

char *cgroup_of_member(const char *node_tag)
{
	auto_free char *cgroup = cgroup_of_node(node_tag);

	return text_format("%s/etcd", cgroup);
}
