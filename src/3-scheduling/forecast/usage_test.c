/* Percentiles of the coming day against the last value, on made-up usage with days, bursts and drift; back-off; fading; memory. */
#include "3-scheduling/forecast/usage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"

enum { SAMPLE_S = 300, DAY_S = 86400, DAYS = 14, OF_DAY = DAY_S / SAMPLE_S, IMAGES = 4 };

static const double parts[USAGE_PERCENTILES] = { 0.50, 0.95, 0.99 };

static double chance(struct rng *rng)
{
	return (double)rng_below(rng, 1u << 30) / (1u << 30);
}

/*
 * SYNTHETIC, not measured: a load that follows the hour, noise, a burst to three times the load for an hour now and then, and
 * a drift of 2% a day; each image has its own height and its own hour. Memory follows slowly.
 */
static void make_usage(uint32_t image, uint32_t count, uint64_t seed, uint32_t (*samples)[USAGE_KINDS])
{
	struct rng rng;
	uint32_t burst = 0;

	rng_init(&rng, seed + image);
	for (uint32_t i = 0; i < count; i++) {
		double day = (double)i / OF_DAY;
		double load = (60 + 90 * image) * (1 + 0.6 * sin(2 * M_PI * (day + 0.2 * image))) * (1 + 0.02 * day) * (0.7 + 0.6 * chance(&rng));

		burst = burst ? burst - 1 : chance(&rng) < 0.004 ? 12 : 0;
		samples[i][USAGE_CPU] = (uint32_t)(burst ? 3 * load : load);
		samples[i][USAGE_MEMORY] = (uint32_t)(300 + 100 * image + 0.3 * load);
	}
}

static double pinball(double forecast, double truth, double part)
{
	return truth >= forecast ? part * (truth - forecast) : (1 - part) * (forecast - truth);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct losses { double ours, last, yesterday; uint64_t below, count; };

static void count_day(const struct usage_forecast *forecast, enum usage_kind kind, uint32_t (*samples)[USAGE_KINDS], uint32_t day,
		      struct losses losses[USAGE_PERCENTILES])
{
	uint32_t yesterday[OF_DAY];

	for (uint32_t i = 0; i < OF_DAY; i++)
		yesterday[i] = samples[(day - 1) * OF_DAY + i][kind];
	qsort(yesterday, OF_DAY, sizeof(*yesterday), compare);
	for (uint32_t p = 0; p < USAGE_PERCENTILES; p++)
		for (uint32_t i = 0; i < OF_DAY; i++) {
			double truth = samples[day * OF_DAY + i][kind];

			losses[p].ours += pinball(forecast->milli[kind][p], truth, parts[p]);
			losses[p].last += pinball(forecast->last_milli[kind], truth, parts[p]);
			losses[p].yesterday += pinball(yesterday[(uint32_t)(parts[p] * (OF_DAY - 1))], truth, parts[p]);
			losses[p].below += truth <= forecast->milli[kind][p];
			losses[p].count++;
		}
}

static void test_better_than_the_last_value(void **state)
{
	auto_usage struct usage *usage = usage_new(0);
	auto_free uint32_t (*samples)[USAGE_KINDS] = alloc_array(NULL, IMAGES * DAYS * OF_DAY, sizeof(*samples));
	struct losses losses[USAGE_KINDS][USAGE_PERCENTILES] = { 0 };

	(void)state;
	for (uint32_t image = 0; image < IMAGES; image++)
		make_usage(image, DAYS * OF_DAY, 42, samples + image * DAYS * OF_DAY);
	for (uint32_t i = 0; i < DAYS * OF_DAY; i++)
		for (uint32_t image = 0; image < IMAGES; image++) {
			uint32_t (*own)[USAGE_KINDS] = samples + image * DAYS * OF_DAY;
			const uint64_t keys[FORECAST_KEYS] = { [FORECAST_IMAGE] = image + 1 };
			struct usage_forecast forecast;

			if (i >= 3 * OF_DAY && i % OF_DAY == 0) {
				usage_expect(usage, keys, &forecast);
				for (enum usage_kind kind = 0; kind < USAGE_KINDS; kind++)
					count_day(&forecast, kind, own, i / OF_DAY, losses[kind]);
			}
			usage_observe(usage, keys, (int64_t)i * SAMPLE_S, own[i]);
		}
	for (uint32_t kind = 0; kind < USAGE_KINDS; kind++)
		for (uint32_t p = 0; p < USAGE_PERCENTILES; p++) {
			const struct losses *l = &losses[kind][p];
			double n = (double)l->count, below = (double)l->below / n;

			print_message("synthetic %s p%.0f: loss %.2f, last value %.2f, yesterday's percentile %.2f; %.1f%% below\n", kind ? "memory" : "cpu",
				      100 * parts[p], l->ours / n, l->last / n, l->yesterday / n, 100 * below);
			assert_true(l->ours < 0.9 * l->last);
			assert_true(fabs(below - parts[p]) < 0.08);
		}
}

static void observe_many(struct usage *usage, const uint64_t keys[FORECAST_KEYS], int64_t *now_s, uint32_t cpu_milli, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, *now_s += SAMPLE_S)
		usage_observe(usage, keys, *now_s, (uint32_t[]){ cpu_milli, 500 });
}

static void assert_near(uint32_t milli, uint32_t expected)
{
	if (fabs((double)milli - expected) > 0.03 * expected)
		fail_msg("%u is not near %u", milli, expected);
}

static void test_specific_before_general(void **state)
{
	auto_usage struct usage *usage = usage_new(0);
	struct usage_forecast known, new_label, strange;
	int64_t now_s = 0;

	(void)state;
	usage_expect(usage, (uint64_t[FORECAST_KEYS]){ 1, 2, 3 }, &strange);
	assert_false(strange.is_known);
	assert_int_equal(strange.milli[USAGE_CPU][USAGE_P95], 0);
	observe_many(usage, (uint64_t[FORECAST_KEYS]){ 1, 2, 3 }, &now_s, 100, 2000);
	observe_many(usage, (uint64_t[FORECAST_KEYS]){ 1, 2, 4 }, &now_s, 800, 500);
	usage_expect(usage, (uint64_t[FORECAST_KEYS]){ 1, 2, 4 }, &known);
	assert_near(known.milli[USAGE_CPU][USAGE_P50], 800);
	assert_int_equal(known.last_milli[USAGE_CPU], 800);
	observe_many(usage, (uint64_t[FORECAST_KEYS]){ 1, 2, 3 }, &now_s, 100, 300);
	usage_expect(usage, (uint64_t[FORECAST_KEYS]){ 1, 9, 0 }, &new_label);
	usage_expect(usage, (uint64_t[FORECAST_KEYS]){ 7, 8, 9 }, &strange);
	assert_near(new_label.milli[USAGE_CPU][USAGE_P99], 800);
	assert_true(known.confidence > new_label.confidence && new_label.confidence > 0.5);
	assert_true(strange.is_known);
	assert_true(strange.confidence == 0);
}

static void test_the_past_fades(void **state)
{
	auto_usage struct usage *usage = usage_new(DAY_S);
	const uint64_t keys[FORECAST_KEYS] = { 1, 0, 0 };
	struct usage_forecast forecast;
	int64_t now_s = 1700000000;

	(void)state;
	observe_many(usage, keys, &now_s, 900, 7 * OF_DAY);
	observe_many(usage, keys, &now_s, 50, OF_DAY / 2);
	usage_expect(usage, keys, &forecast);
	assert_near(forecast.milli[USAGE_CPU][USAGE_P50], 900);
	observe_many(usage, keys, &now_s, 50, 7 * OF_DAY);
	usage_expect(usage, keys, &forecast);
	assert_near(forecast.milli[USAGE_CPU][USAGE_P95], 50);
	assert_near(forecast.milli[USAGE_MEMORY][USAGE_P99], 500);
}

static void test_strange_values_and_many_keys(void **state)
{
	auto_usage struct usage *usage = usage_new(0);
	struct usage_forecast forecast;
	struct forecast filled = { 0 };

	(void)state;
	for (uint64_t key = 1; key <= 20000; key++)
		usage_observe(usage, (uint64_t[FORECAST_KEYS]){ 0, 0, key }, (int64_t)key, (uint32_t[]){ 0, UINT32_MAX });
	usage_expect(usage, (uint64_t[FORECAST_KEYS]){ 0, 0, 20000 }, &forecast);
	assert_true(forecast.confidence > 0);
	assert_int_equal(forecast.milli[USAGE_CPU][USAGE_P99], 0);
	assert_true(forecast.milli[USAGE_MEMORY][USAGE_P50] > 1000000);
	usage_expect(usage, (uint64_t[FORECAST_KEYS]){ 0, 0, 1 }, &forecast);
	assert_true(forecast.confidence == 0);
	usage_fill(&forecast, &filled);
	assert_true(filled.is_usage_known);
	assert_false(filled.is_lifetime_known);
	assert_int_equal(filled.memory_p95_milli, forecast.milli[USAGE_MEMORY][USAGE_P95]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_better_than_the_last_value),
		cmocka_unit_test(test_specific_before_general),
		cmocka_unit_test(test_the_past_fades),
		cmocka_unit_test(test_strange_values_and_many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
