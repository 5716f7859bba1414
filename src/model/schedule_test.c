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
	assert_int_equal(schedule_period_ms(&schedule), 15 * 60000);
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
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reads_tiers), cmocka_unit_test(test_refuses_with_an_example) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
