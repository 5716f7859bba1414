/*
 * schedule.h - what a schedule of snapshots promises: "hourly keep 24, daily keep 7" means that never more than an hour is lost.
 *
 * The daemon takes them; here it is only read, for people.
 */
#ifndef CLI_SCHEDULE_H
#define CLI_SCHEDULE_H

#include <stdint.h>

/* The shortest period of it; 0 when there is none, or none that is understood. */
int64_t schedule_period_ms(const char *schedule);

enum schedule_state { SCHEDULE_NONE, SCHEDULE_KEPT, SCHEDULE_BROKEN };
/* At 'now_ms': a volume that was made at 'created_ms' and whose newest snapshot is of 'snapshot_ms' (0: there is none). */
enum schedule_state schedule_look(int64_t period_ms, int64_t created_ms, int64_t snapshot_ms, int64_t now_ms);

#endif
