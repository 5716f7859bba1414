/*
 * fence.c - an instance with 'ha: restart' runs under guard: others start it when this node is lost, so here it must have ended by then.
 *
 * The guard is there before the machine is; what appears in its cgroup after the lease is over is ended at once. That a start
 * is refused then is only so that it need not be.
 */
#include "2-virtualization/agent/instance_job.h"

#include <errno.h>

int instance_guard_again(struct instance_job *job, struct err *err)
{
	if (job->fence && job->instance->spec.ha == HA_NONE)
		return instance_unguard(job, err);
	return job->fence ? job->fence->ops->guard(job->fence, job->instance->meta.uid, job->cgroup, err) : 0;
}

int instance_guard(struct instance_job *job, struct err *err)
{
	struct fence_driver *fence = job->fence;
	auto_fence_status struct fence_status status = { 0 };
	int r;

	if (!fence || job->instance->spec.ha == HA_NONE)
		return 0;
	r = instance_guard_again(job, err);
	if (r == 0)
		r = fence->ops->status(fence, &status, err);
	if (r == 0 && fence->ops->now_ns(fence) >= status.deadline_ns)
		r = err_set(err, -EAGAIN, "this node is cut off from the others, which may have started it: see 'strata node ls'");
	return r;
}

int instance_unguard(struct instance_job *job, struct err *err)
{
	return job->fence ? job->fence->ops->unguard(job->fence, job->instance->meta.uid, err) : 0;
}
