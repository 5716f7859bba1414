/*
 * cgroup.h - where the cgroups of a node are: everything that outlives its daemon is below.
 *
 * Memory:  owned by the caller.
 * Threads: any.
 */
#ifndef APP_WIRING_CGROUP_H
#define APP_WIRING_CGROUP_H

char *cgroup_of_node(const char *node_tag);
char *cgroup_of_member(const char *node_tag);		/* Of etcd. */

#endif
