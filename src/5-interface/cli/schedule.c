#include "5-interface/cli/schedule.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

#define HOUR_MS (INT64_C(3600) * 1000)
#define DAY_MS (24 * HOUR_MS)
#define GRACE_MS (INT64_C(60) * 1000)		/* It is due at the full hour, and then it has to be taken. */

/* "hourly keep 24", "every 15m keep 4" or "15m keep 4". */
static int64_t period_of(char *entry)
{
	static const struct { const char *name; int64_t ms; } periods[] = {
		{ "minutely", HOUR_MS / 60 }, { "hourly", HOUR_MS }, { "daily", DAY_MS }, { "weekly", 7 * DAY_MS }, { "monthly", 31 * DAY_MS },
		{ "yearly", 366 * DAY_MS },
	};
	char *rest = entry + strspn(entry, " "), *word = strsep(&rest, " ");
	struct err ignored;
	int64_t ms;

	if (text_equal(word, "every") && rest)
		word = strsep(&rest, " ");
	for (size_t i = 0; i < ARRAY_COUNT(periods); i++)
		if (text_equal(word, periods[i].name))
			return periods[i].ms;
	return units_parse_duration(word, &ms, &ignored) == 0 ? ms : 0;
}

int64_t schedule_period_ms(const char *schedule)
{
	auto_free char *copy = text_copy(schedule ? schedule : "");
	char *rest = copy, *entry;
	int64_t shortest = 0;

	while ((entry = strsep(&rest, ","))) {
		int64_t ms = period_of(entry);

		if (ms && (!shortest || ms < shortest))
			shortest = ms;
	}
	return shortest;
}

enum schedule_state schedule_look(int64_t period_ms, int64_t created_ms, int64_t snapshot_ms, int64_t now_ms)
{
	int64_t from_ms = snapshot_ms > created_ms ? snapshot_ms : created_ms;

	if (!period_ms)
		return SCHEDULE_NONE;
	return now_ms - from_ms <= period_ms + GRACE_MS ? SCHEDULE_KEPT : SCHEDULE_BROKEN;
}
