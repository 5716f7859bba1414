/*
 * leave.c - an instance is at another node now: what is left of it here goes.
 *
 * The change of hands has been stored, so nothing here may run for it any more; its disks go too, unless they are where the other
 * node has them as well. A crash in between is the sweep's case.
 */
#include "2-virtualization/agent/instance_job.h"

#include "base/log.h"
#include "base/mem.h"
#include "model/pool.h"

static void left(struct job *base)
{
	const struct instance_job *job = container_of(base, struct instance_job, job);

	if (base->err.code < 0)
		log_line(LOG_WARNING, "not all of instance '%s', which is at another node now, could be removed here: %s",
			 job->instance->meta.name, base->err.msg);
}

static bool is_shared(struct agent *agent, const char *pool_uid)
{
	const struct pool *pool = objects_get(agent->params.objects, KIND_POOL, pool_uid);

	return pool && pool->spec.shared;
}

struct job *instance_leave_job(struct item *item, const struct instance *instance)
{
	struct instance_job *job = instance_job_new(item, instance, (struct instance_decision){ .step = STEP_LEAVE }, left);

	job->is_disk_shared = is_shared(item->agent, instance->spec.pool_uid);
	return &job->job;
}
