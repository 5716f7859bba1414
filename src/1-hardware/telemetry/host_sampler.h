/*
 * host_sampler.h - ten times a second: what the kernel says about this host's load, into the host's telemetry page.
 *
 * Files stay open and are read with pread(2). No lock of the kernel that others hold for long is asked for (no netlink), so that a
 * host in trouble still says so; the thread asks for a nice value of -10 for the same reason.
 *
 * Life cycle: host_sampler_new(), host_sampler_start(), host_sampler_free(). Who has a thread of its own calls host_sampler_sample() instead of start.
 *
 * Errors:  host_sampler_new(): -ENOENT, -EACCES a file of /proc that every host has cannot be read. Later nothing fails: what cannot be read
 *          any more keeps its last value, and an instance that has gone keeps it until the owner takes it off the list.
 * Memory:  params are borrowed during host_sampler_new(), but page and data until host_sampler_free().
 * Threads: host_sampler_set_instances() from any; the others from the owner's.
 */
#ifndef TELEMETRY_HOST_SAMPLER_H
#define TELEMETRY_HOST_SAMPLER_H

#include "port/page.h"

enum { HOST_SAMPLER_PERIOD_MS = 100 };

struct host_sampler;

struct host_sampler_params {
	const char *root;			/* Folder with "proc" and "sys"; "" (or null) is this host's. */
	uint8_t node[PAGE_UID_BYTES];
	struct page *page;			/* Shared memory; from now on only the sampler writes it. */
	unsigned period_ms;			/* 0: HOST_SAMPLER_PERIOD_MS */
	void (*on_sample)(void *data);		/* After each write, in the thread that sampled; may be null: pages_ops.publish. */
	void *data;
};

struct host_sampler_instance {
	uint8_t uid[PAGE_UID_BYTES];
	/* Absolute, as they are; null: not known. */
	const char *cpu_path;			/* Its cgroup's "cpu.stat" (version 2) or "cpuacct.usage" (version 1). */
	const char *memory_path;		/* "memory.current" or "memory.usage_in_bytes". */
};

int host_sampler_new(const struct host_sampler_params *params, struct host_sampler **ret_sampler, struct err *err);
int host_sampler_start(struct host_sampler *sampler, struct err *err);
void host_sampler_free(struct host_sampler *sampler);	/* Ends the thread; null is fine. */

/*
 * Replaces the list, with the next sample; an instance with the same uid and paths stays open and keeps its history. Of more than
 * PAGE_INSTANCES_MAX the first are taken. Call it when instances start and stop, not for each sample.
 */
void host_sampler_set_instances(struct host_sampler *sampler, const struct host_sampler_instance *instances, size_t count);

void host_sampler_sample(struct host_sampler *sampler);	/* One sample, now, with on_sample. */

#endif
