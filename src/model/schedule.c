#include "model/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"

enum { GRACE_MS = 60000 /* It is due, and then it has to be taken. */, MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS, WORD_SIZE = 16 };

static const struct { const char *name; int64_t period_ms; } named[] = {
	{ "hourly", HOUR_MS }, { "daily", DAY_MS }, { "weekly", INT64_C(7) * DAY_MS }, { "monthly", INT64_C(30) * DAY_MS },
};

static int bad(const char *text, const char *why, struct err *err)
{
	return err_set(err, -EINVAL, "'%s' is not a schedule (%s): use one like 'hourly keep 24, daily keep 7' or 'every 15m keep 4'",
		       shown(text), why);
}

static int read_period(const char *word, struct schedule_tier *tier)
{
	struct err ignored;

	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (text_equal(word, named[i].name)) {
			tier->period_ms = named[i].period_ms;
			return 0;
		}
	return units_parse_duration(word, &tier->period_ms, &ignored) < 0 || tier->period_ms < MINUTE_MS ? -EINVAL : 0;
}

/* "hourly keep 24" or "every 15m keep 4", with nothing behind it but a comma. */
static int parse_tier(const char *text, struct schedule_tier *tier, int *ret_length)
{
	char word[WORD_SIZE];
	int end = -1;

	if (sscanf(text, " every %15[0-9a-z] keep %d%n", word, &tier->keep, &end) != 2 &&
	    sscanf(text, " %15[a-z] keep %d%n", word, &tier->keep, &end) != 2)
		return -EINVAL;
	if (end < 0 || read_period(word, tier) < 0 || tier->keep < 1 || tier->keep > SCHEDULE_KEEP_MAX)
		return -EINVAL;
	snprintf(tier->name, sizeof(tier->name), "%s", word);
	*ret_length = end + (int)strspn(text + end, " ");
	return 0;
}

int schedule_parse(const char *text, struct schedule *ret_schedule, struct err *err)
{
	struct schedule schedule = { 0 };
	const char *at = text;
	int length;

	do {
		if (schedule.count == SCHEDULE_TIERS)
			return bad(text, "too many parts", err);
		if (parse_tier(at, &schedule.tiers[schedule.count], &length) < 0)
			return bad(text, "each part is a period of a minute or more and 'keep' 1 to 256", err);
		for (unsigned i = 0; i < schedule.count; i++)
			if (text_equal(schedule.tiers[i].name, schedule.tiers[schedule.count].name))
				return bad(text, "a period is there twice", err);
		schedule.count++;
		at += length;
	} while (*at++ == ',');
	if (at[-1])
		return bad(text, "parts are separated by commas", err);
	*ret_schedule = schedule;
	return 0;
}

int schedule_check(const void *text, struct err *err)
{
	struct schedule ignored;

	return schedule_parse(text, &ignored, err);
}

int64_t schedule_period_ms(const char *text)
{
	struct schedule schedule = { 0 };
	struct err ignored;
	int64_t shortest = 0;

	if (!text || schedule_parse(text, &schedule, &ignored) < 0)
		return 0;
	for (unsigned i = 0; i < schedule.count; i++)
		if (!shortest || schedule.tiers[i].period_ms < shortest)
			shortest = schedule.tiers[i].period_ms;
	return shortest;
}

enum schedule_state schedule_look(int64_t period_ms, int64_t created_ms, int64_t snapshot_ms, int64_t now_ms)
{
	int64_t from_ms = snapshot_ms > created_ms ? snapshot_ms : created_ms;

	if (!period_ms)
		return SCHEDULE_NONE;
	return now_ms - from_ms <= period_ms + GRACE_MS ? SCHEDULE_KEPT : SCHEDULE_BROKEN;
}
