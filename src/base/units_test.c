#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/mem.h"
#include "base/rng.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static void test_sizes_are_read(void **state)
{
	static const struct { const char *text; uint64_t bytes; } good[] = {
		{ "0", 0 }, { "512", 512 }, { "512B", 512 }, { "1k", KIB }, { "1K", KIB }, { "1Ki", KIB },
		{ "1KB", KIB }, { "1kib", KIB }, { "512MiB", 512 * MIB }, { "2G", 2 * GIB },
		{ "1.5GiB", 1536 * MIB }, { "0.1K", 102 }, { "1T", 1024 * GIB }, { "1P", MIB * GIB },
		{ "18446744073709551615", UINT64_MAX }, { "16383P", 16383 * MIB * GIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		struct err err;
		uint64_t bytes = 1;

		assert_int_equal(units_parse_size(good[i].text, &bytes, &err), 0);
		assert_true(bytes == good[i].bytes);
	}
}

static void test_other_sizes_are_refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "12x", "x", "-1", "+1", "1 K", " 1", "1K ", "1.5", "1.5B", "1.K", ".5K", "1e3", "0x10",
		"18446744073709551616", "16384P", "1.1234567890123456K", "1KK", "1iB", "1BK", "K", "1Kb i", "1\nK",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct err err;
		uint64_t bytes = 7;

		assert_int_equal(units_parse_size(bad[i], &bytes, &err), -EINVAL);
		assert_true(bytes == 7);
		assert_null(strchr(err.msg, '\n'));
	}
}

static void test_sizes_are_written(void **state)
{
	static const struct { uint64_t bytes; const char *text; } cases[] = {
		{ 0, "0B" }, { 1, "1B" }, { 1023, "1023B" }, { KIB, "1KiB" }, { 512 * MIB, "512MiB" },
		{ 1536 * MIB, "1.5GiB" }, { 1025 * MIB, "1025MiB" }, { 2 * GIB, "2GiB" },
		{ 123456 * KIB, "120.6MiB" }, { KIB + 1, "1025B" }, { GIB - 1, "1024MiB" },
		{ UINT64_MAX, "16384PiB" },
	};
	char buffer[UNITS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_string_equal(units_format_size(cases[i].bytes, buffer), cases[i].text);
}

static void test_durations_are_read(void **state)
{
	static const struct { const char *text; int64_t ms; } good[] = {
		{ "0s", 0 }, { "500ms", 500 }, { "30s", 30000 }, { "5m", 300000 }, { "2h", 7200000 },
		{ "1d", 86400000 }, { "1m30s", 90000 }, { "1d2h3m4s5ms", 93784005 },
		{ "9223372036854775807ms", INT64_MAX },
	};
	static const char *const bad[] = {
		"", "5", "s", "-5s", "5 s", "5S", "1.5h", "30s1m", "1s1s", "1s500", "5w", "5sm",
		"9223372036854775808ms", "106751991168d", "18446744073709551616s",
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		int64_t ms = -1;

		assert_int_equal(units_parse_duration(good[i].text, &ms, &err), 0);
		assert_true(ms == good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		int64_t ms = -7;

		assert_int_equal(units_parse_duration(bad[i], &ms, &err), -EINVAL);
		assert_true(ms == -7);
	}
}

static void test_durations_are_written(void **state)
{
	static const struct { int64_t ms; const char *text; } cases[] = {
		{ 0, "0s" }, { 1, "1ms" }, { 1500, "1s500ms" }, { 90000, "1m30s" }, { 86400000, "1d" },
		{ -90000, "-1m30s" }, { INT64_MAX, "106751991167d7h12m55s807ms" },
		{ INT64_MIN, "-106751991167d7h12m55s808ms" },
	};
	char buffer[UNITS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_string_equal(units_format_duration(cases[i].ms, buffer), cases[i].text);
}

static void test_times_are_read(void **state)
{
	/* The numbers are from date(1). */
	static const struct { const char *text; int64_t ms; } good[] = {
		{ "1970-01-01T00:00:00Z", 0 }, { "2026-11-23T10:00:00Z", 1795428000000 },
		{ "2026-11-23T10:00:00.5Z", 1795428000500 }, { "2026-11-23t10:00:00.123987z", 1795428000123 },
		{ "2026-11-23T12:30:00+02:30", 1795428000000 }, { "2026-11-23T09:00:00-01:00", 1795428000000 },
		{ "2024-02-29T23:59:59Z", 1709251199000 }, { "1969-12-31T23:59:59.999Z", -1 },
		{ "0000-01-01T00:00:00Z", -62167219200000 }, { "9999-12-31T23:59:59Z", 253402300799000 },
	};
	static const char *const bad[] = {
		"", "2026-11-23", "2026-11-23T10:00:00", "2026-11-23 10:00:00Z", "2026-13-01T00:00:00Z",
		"2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-11-31T00:00:00Z", "2026-11-00T00:00:00Z",
		"2026-11-23T24:00:00Z", "2026-11-23T10:60:00Z", "2026-11-23T10:00:60Z", "2026-11-23T10:00:00.Z",
		"2026-11-23T10:00:00ZZ", "2026-11-23T10:00:00+0200", "2026-11-23T10:00:00+24:00",
		"26-11-23T10:00:00Z", "+026-11-23T10:00:00Z",
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		int64_t ms = 7;

		assert_int_equal(units_parse_time(good[i].text, &ms, &err), 0);
		assert_true(ms == good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		int64_t ms = 7;

		assert_int_equal(units_parse_time(bad[i], &ms, &err), -EINVAL);
		assert_true(ms == 7);
	}
}

static void test_written_times_are_read_back(void **state)
{
	struct rng rng;
	char buffer[UNITS_TEXT_SIZE];

	(void)state;
	assert_string_equal(units_format_time(1795428000123, buffer), "2026-11-23T10:00:00.123Z");
	rng_init(&rng, 1);
	for (int i = 0; i < 10000; i++) {
		/* Year 0 to 9999. */
		int64_t ms = (int64_t)rng_below(&rng, 315569519999999) - 62167219200000;
		struct err err;
		int64_t again;

		assert_int_equal(units_parse_time(units_format_time(ms, buffer), &again, &err), 0);
		assert_true(again == ms);
	}
	assert_string_equal(units_format_time(-62167219200000, buffer), "0000-01-01T00:00:00.000Z");
	assert_string_equal(units_format_time(253402300800000, buffer), "10000-01-01T00:00:00.000Z");
	/* Beyond what RFC 3339 can say it must at least fit. */
	units_format_time(INT64_MIN, buffer);
	units_format_time(INT64_MAX, buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_are_read),
		cmocka_unit_test(test_other_sizes_are_refused),
		cmocka_unit_test(test_sizes_are_written),
		cmocka_unit_test(test_durations_are_read),
		cmocka_unit_test(test_durations_are_written),
		cmocka_unit_test(test_times_are_read),
		cmocka_unit_test(test_written_times_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
