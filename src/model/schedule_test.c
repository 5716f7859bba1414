#include "model/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

static void test_reads_tiers(void **state)
{
	struct schedule schedule;
	struct err err;

	(void)state;
	assert_int_equal(schedule_parse("hourly keep 24, daily keep 7,every 15m keep 4", &schedule, &err), 0);
	assert_int_equal(schedule.count, 3);
	assert_string_equal(schedule.tiers[0].name, "hourly");
	assert_int_equal(schedule.tiers[0].period_ms, 3600000);
	assert_int_equal(schedule.tiers[0].keep, 24);
	assert_int_equal(schedule.tiers[1].period_ms, 86400000);
	assert_string_equal(schedule.tiers[2].name, "15m");
	assert_int_equal(schedule.tiers[2].keep, 4);
	assert_int_equal(schedule_period_ms("hourly keep 24, daily keep 7,every 15m keep 4"), 15 * 60000);
}

static void test_promise_is_the_shortest_period(void **state)
{
	enum { HOUR = 3600000 };

	(void)state;
	assert_int_equal(schedule_period_ms("weekly keep 4,daily keep 7"), 24 * HOUR);
	assert_int_equal(schedule_period_ms("now and then"), 0);
	assert_int_equal(schedule_period_ms(NULL), 0);
	assert_int_equal(schedule_look(0, 1, 1, 1), SCHEDULE_NONE);
	assert_int_equal(schedule_look(HOUR, 1000, 5000, 5000 + HOUR), SCHEDULE_KEPT);
	assert_int_equal(schedule_look(HOUR, 1000, 5000, 5001 + HOUR + 60000), SCHEDULE_BROKEN);
	assert_int_equal(schedule_look(HOUR, 1000, 0, 1000 + HOUR), SCHEDULE_KEPT);
	assert_int_equal(schedule_look(HOUR, 1000, 0, 1001 + HOUR + 60000), SCHEDULE_BROKEN);
}

static void test_refuses_with_an_example(void **state)
{
	static const char *const bad[] = {
		"", "hourly", "hourly keep", "hourly keep 0", "hourly keep 1000", "yearly keep 1", "every 1s keep 3", "hourly keep 2 daily keep 3",
		"hourly keep 2,", "hourly keep 2, hourly keep 3", "keep 4", "hourly keep -1", "every keep 4", "hourly keep 24x",
	};
	struct schedule schedule = { .count = 77 };
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (schedule_parse(bad[i], &schedule, &err) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_non_null(strstr(err.msg, "hourly keep 24"));
		assert_int_equal(schedule.count, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_tiers),
		cmocka_unit_test(test_promise_is_the_shortest_period),
		cmocka_unit_test(test_refuses_with_an_example),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
