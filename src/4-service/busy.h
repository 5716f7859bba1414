/*
 * busy.h - which hosts have so much to do right now that what is new should rather go elsewhere.
 *
 * Pure. Threads: any.
 */
#ifndef SERVICE_BUSY_H
#define SERVICE_BUSY_H

#include "1-hardware/telemetry/load.h"
#include "base/str.h"

enum {
	BUSY_RUN_QUEUE_MILLI = 2000,	/* More than this many tasks per CPU run or wait, times 1000, */
	BUSY_CPU_PERMILLE = 900,	/* more of its CPUs is used, */
	BUSY_MEMORY_PERMILLE = 50,	/* or less of its memory is available. */
};

bool busy_is(const struct host_load *load);
/* Appends what it is busy with: "is busy, others come first (97% of its CPUs are used); ". Nothing when it is not. */
void busy_explain(const struct host_load *load, struct str *text);

#endif
