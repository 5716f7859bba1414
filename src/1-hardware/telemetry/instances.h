/*
 * instances.h - what the instances of this host use: their cgroups' files, kept open.
 *
 * Errors:  none: what cannot be read keeps its last value.
 * Threads: instances_read() from the sampler's, instances_set() from any, each by one at a time (the sampler sees to it).
 */
#ifndef TELEMETRY_INSTANCES_H
#define TELEMETRY_INSTANCES_H

#include "1-hardware/telemetry/rate.h"
#include "1-hardware/telemetry/host_sampler.h"
#include "1-hardware/telemetry/source.h"
#include "base/vec.h"

struct sampled_instance {
	struct page_instance values;
	char *cpu_path, *memory_path;		/* May be null. */
	struct source cpu, memory;
	struct rate rate;
};

struct instances { VEC(struct sampled_instance) list; };

void instances_set(struct instances *instances, const struct host_sampler_instance *wanted, size_t count);
void instances_read(struct instances *instances, uint64_t now_ns, struct page *page);	/* Fills the page's table. */
void instances_done(struct instances *instances);

#endif
