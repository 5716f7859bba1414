/*
 * leave.c - an instance is at another node now: what is left of it here goes.
 *
 * The change of hands has been stored, so nothing here may run for it any more; its disks go too, unless they are where the other
 * node has them as well. A crash in between is the sweep's case.
 */
#include "2-virtualization/agent/move.h"

#include "base/log.h"
#include "base/mem.h"

static void left(struct job *base)
{
	const struct instance_job *job = container_of(base, struct instance_job, job);

	if (base->err.code < 0)
		log_line(LOG_WARNING, "not all of instance '%s', which is at another node now, could be removed here: %s",
			 job->instance->meta.name, base->err.msg);
}

/* Of its volumes those that are another node's too: nothing of these stays. */
static struct move_disks *disks_that_go(struct agent *agent, const struct instance *instance)
{
	struct move_disks *disks = move_disks_new(agent, instance);

	for (size_t i = 0; i < disks->items.count; i++) {
		struct move_disk *disk = &disks->items.items[i];
		const struct volume *volume = objects_get(agent->params.objects, KIND_VOLUME, disk->volume);

		if (volume && text_equal(objects_owner(agent->params.objects, &kinds[KIND_VOLUME], volume), agent->node))
			disk->driver = NULL;
	}
	return disks;
}

struct job *instance_leave_job(struct item *item, const struct instance *instance)
{
	struct instance_job *job = instance_job_new(item, instance, (struct instance_decision){ .step = STEP_LEAVE }, left);

	job->disks = disks_that_go(item->agent, instance);
	return &job->job;
}
