/*
 * work.h - a pool of threads for blocking work.
 *
 * 'run' happens in a worker and touches only what 'data' owns; 'done' then
 * happens in the loop's thread.  With max_threads = 0 there are no threads:
 * 'run' happens in the loop itself, as a message of its own, in the order
 * submitted; simulation uses this and is deterministic.
 *
 * Threads start when needed and end after idling, so an idle daemon has none.
 *
 * Memory:  'data' is the job's; 'drop' (may be null) is called instead of 'done'
 *          if the pool is freed first; a 'run' in progress is waited for.
 * Threads: all functions from the loop's thread.
 */
#ifndef BASE_WORK_H
#define BASE_WORK_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct work;

typedef void work_fn(void *data);

struct work *work_new(struct loop *loop, size_t max_threads);
/* Of a pool without threads: how much of the loop's time passes before each 'run' and before each 'done', as 'lag' says. Null: none. */
typedef uint32_t work_lag_fn(void *data);
void work_set_lag(struct work *work, work_lag_fn *lag, void *data);
void work_submit(struct work *work, work_fn *run, work_fn *done, work_fn *drop, void *data);
size_t work_pending(const struct work *work);	/* Submitted and not yet done. */
void work_free(struct work *work);

#endif
