/*
 * quota.h - how much a project may have in all: a limit per dimension, for GPUs and for the number of instances.
 *
 * What counts is what is asked for, not what overcommit.h charges. A project without limits is counted all the same.
 *
 * Units: the cluster's dimensions; GPUs in thousandths. Errors: -EDQUOT beyond a limit, naming project, dimension, what is
 * used and the limit; -EINVAL, -ENOSPC (more projects than PROJECTS_MAX). Memory: quotas_done(). Threads: one at a time.
 */
#ifndef SCHEDULING_QUOTA_H
#define SCHEDULING_QUOTA_H

#include "3-scheduling/cluster.h"

enum { PROJECTS_MAX = 65536 };
#define QUOTA_NONE INT64_MAX

struct quota {
	char name[CLUSTER_NAME_SIZE];
	int64_t limit[DIMENSIONS_MAX], used[DIMENSIONS_MAX];
	int64_t gpu_milli_limit, gpu_milli_used;
	int64_t instances_limit, instances_used;
};

struct quotas {				/* { .cluster = c } is empty. */
	const struct cluster *cluster;
	struct quota **projects;
	uint32_t count, capacity;
};

/* A new project without limits; set them in quotas->projects[]. */
int quotas_add(struct quotas *quotas, const char *name, uint32_t *ret_project, struct err *err);
int quotas_check(const struct quotas *quotas, uint32_t project, const struct request *asked, struct err *err);
/* An instance came (sign 1) or went (-1). */
void quotas_count(struct quotas *quotas, uint32_t project, const struct request *asked, int sign);
void quotas_done(struct quotas *quotas);

#endif
