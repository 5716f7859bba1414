/*
 * schedule.h - when snapshots are taken and how many are kept: "hourly keep 24, daily keep 7, every 15m keep 4".
 *
 * Each tier takes snapshots of its own and removes its own oldest.
 *
 * Errors:  -EINVAL with what is wrong and an example.
 */
#ifndef MODEL_SCHEDULE_H
#define MODEL_SCHEDULE_H

#include <stdint.h>

#include "base/err.h"

enum { SCHEDULE_TIERS = 8, SCHEDULE_KEEP_MAX = 256 };

struct schedule_tier {
	char name[16];			/* "hourly", "daily", "weekly", "15m": also part of its snapshots' names. */
	int64_t period_ms;
	int keep;
};

struct schedule {
	struct schedule_tier tiers[SCHEDULE_TIERS];
	unsigned count;
};

int schedule_parse(const char *text, struct schedule *ret_schedule, struct err *err);
int schedule_check(const void *text, struct err *err);		/* For field tables. */
/* The promise: the shortest period; never more than that is lost. 0: there is none (null or damaged text too). */
int64_t schedule_period_ms(const char *text);

enum schedule_state { SCHEDULE_NONE, SCHEDULE_KEPT, SCHEDULE_BROKEN };
/* At 'now_ms': a volume that was made at 'created_ms' and whose newest snapshot is of 'snapshot_ms' (0: there is none). */
enum schedule_state schedule_look(int64_t period_ms, int64_t created_ms, int64_t snapshot_ms, int64_t now_ms);

#endif
