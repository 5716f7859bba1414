/*
 * sample.c - what running machines use, looked at every few seconds by one job for all of them.
 *
 * The figures are kept in memory for readers; they are never stored.  When nothing runs there is
 * no timer and no wake-up.
 */
#include "2-virtualization/agent/item.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct sample {
	char uid[37];
	char *console_log;
	struct machine_driver *machine;
	struct machine_usage usage;
	bool is_known;
};

struct sampler {
	struct agent *agent;
	struct loop_source *timer;
	bool is_running;		/* A job is under way. */
};

struct sample_job {
	struct agent *agent;
	uint64_t console_log_bytes;
	VEC(struct sample) samples;
};

static void schedule(struct sampler *sampler);

struct sampler *sampler_new(struct agent *agent)
{
	struct sampler *sampler = alloc(sizeof(*sampler));

	sampler->agent = agent;
	return sampler;
}

void sampler_free(struct sampler *sampler)
{
	loop_remove(sampler->timer);
	free(sampler);
}

static void run(void *data)
{
	struct sample_job *job = data;
	struct err ignored = { 0 };

	for (size_t i = 0; i < job->samples.count; i++) {
		struct sample *sample = &job->samples.items[i];

		sample->is_known = sample->machine->ops->usage(sample->machine, sample->uid, &sample->usage, &ignored) == 0;
		if (sample->machine->ops->log_form == MACHINE_LOG_RAW)	/* Others keep their own limit. */
			console_log_trim(sample->console_log, job->console_log_bytes);
	}
}

static void take_sample(struct agent *agent, const struct sample *sample)
{
	struct item *item = item_get(agent, sample->uid);
	struct instance_status *status = item ? item->status : NULL;
	int64_t now = loop_wall_ms(agent->params.loop), period;

	if (!status || !sample->is_known || item->world.state == MACHINE_ABSENT)
		return;
	period = now - status->usage.sampled_at;
	if (status->usage.sampled_at && period > 0 && sample->usage.cpu_ns >= status->usage.cpu_ns)
		status->usage.cpu_permille = (int64_t)((sample->usage.cpu_ns - status->usage.cpu_ns) / 1000 / (uint64_t)period);
	status->usage.cpu_ns = sample->usage.cpu_ns;
	status->usage.memory_bytes = sample->usage.memory_bytes;
	status->usage.disk_read_bytes = sample->usage.disk_read_bytes;
	status->usage.disk_write_bytes = sample->usage.disk_write_bytes;
	status->usage.net_receive_bytes = sample->usage.net_receive_bytes;
	status->usage.net_transmit_bytes = sample->usage.net_transmit_bytes;
	status->usage.pids = (int64_t)sample->usage.pids;
	status->usage.sampled_at = now;
	/* Shown, not saved; a state that is just being written is shown when it is durable. */
	if (!item->is_busy) {
		struct instance *instance = item_object(item);

		if (instance) {
			instance->status.usage = status->usage;
			objects_touch(agent->params.objects, item->kind, instance);
		}
	}
}

static void free_job(void *data)
{
	struct sample_job *job = data;

	for (size_t i = 0; i < job->samples.count; i++)
		free(job->samples.items[i].console_log);
	vec_done(&job->samples);
	free(job);
}

static void done(void *data)
{
	struct sample_job *job = data;
	struct sampler *sampler = job->agent->sampler;

	sampler->is_running = false;
	for (size_t i = 0; i < job->samples.count; i++)
		take_sample(job->agent, &job->samples.items[i]);
	free_job(job);
	schedule(sampler);
}

static void fire(void *data)
{
	struct sampler *sampler = data;
	struct agent *agent = sampler->agent;
	struct sample_job *job = alloc(sizeof(*job));

	sampler->timer = NULL;
	*job = (struct sample_job){ .agent = agent, .console_log_bytes = agent->params.console_log_bytes };
	for (size_t i = 0; i < agent->items.count; i++) {
		struct item *item = agent->items.entries[i].value;
		struct sample *sample;

		if (item->kind->id != KIND_INSTANCE || item->world.state == MACHINE_ABSENT)
			continue;
		sample = vec_push(&job->samples);
		memcpy(sample->uid, item->uid, sizeof(sample->uid));
		sample->machine = item->machine;
		sample->console_log = agent_console_log(agent, item->uid);
	}
	if (!job->samples.count) {
		free_job(job);
		return;			/* The next start wakes us. */
	}
	sampler->is_running = true;
	work_submit(agent->params.work, run, done, free_job, job);
}

static void schedule(struct sampler *sampler)
{
	if (!sampler->timer && !sampler->is_running && sampler->agent->params.sample_ms)
		loop_add_timer(sampler->agent->params.loop, sampler->agent->params.sample_ms, fire, sampler, &sampler->timer);
}

void sampler_wake(struct sampler *sampler)
{
	schedule(sampler);
}
