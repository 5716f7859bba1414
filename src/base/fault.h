/*
 * fault.h - where a simulated host may fail.
 *
 * Sim drivers call fault_step() before and after each change they make to their world. The
 * test that owns the 'struct fault' decides at which step the host "crashes": from then on
 * every step fails with -ESHUTDOWN and nothing changes any more, as if the process were gone.
 * It can also make single steps fail with a chosen error (a full disk, a stuck device).
 *
 * Threads: one at a time.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

struct fault {			/* { 0 } never fails. */
	uint64_t step;			/* Counts calls. */
	uint64_t crash_at;		/* Crash when 'step' reaches this; 0: never. */
	bool has_crashed;
	unsigned fail_permille;		/* Chance per step of an ordinary error, 0..1000. */
	struct rng rng;
};

/* 'what' names the operation in the error. 'fault' may be null. */
int fault_step(struct fault *fault, const char *what, struct err *err);

#endif
