/* Forecasts of lifetimes on made-up arrivals with known structure: better than guessing, honest about it, and blind to the future. */
#include "3-scheduling/forecast/lifetime_private.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"

enum { COUNT = 12000, KINDS = 3 };

struct machine {
	struct lifetime_subject subject;
	int64_t lives_s;
	uint64_t number;
	bool has_ended;
};

static int64_t between(struct rng *rng, int64_t low, int64_t high)
{
	return low + (int64_t)rng_below(rng, (uint64_t)(high - low + 1));
}

/*
 * SYNTHETIC. Every quarter of an hour a job starts 4 machines that live a minute; the others live long or short by what ran before
 * them: a flavour keeps its habit for about a hundred machines. An image tells more: image 7 always lives for hours.
 */
static struct machine *make_machines(uint64_t seed)
{
	struct machine *machines = alloc(COUNT * sizeof(*machines));
	bool is_long[KINDS] = { false };
	struct rng rng;
	int64_t now_s = 1000;

	rng_init(&rng, seed);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t flavour = (uint32_t)rng_below(&rng, KINDS);
		bool is_job = now_s % 900 < 20, is_image = rng_below(&rng, 4) == 0;

		now_s += is_job ? between(&rng, 0, 8) : between(&rng, 1, 120);
		is_long[flavour] ^= rng_below(&rng, 100) == 0;
		machines[i] = (struct machine){
			.subject = { .cpu_m = (int32_t)(1000 + 1000 * flavour), .memory_mib = 2048, .arrives_s = now_s,
				     .keys = { [FORECAST_IMAGE] = is_image ? 7 : rng_below(&rng, 3) } },
			.lives_s = is_image ? between(&rng, 7200, 20000) : is_job ? between(&rng, 30, 90) : is_long[flavour] ? between(&rng, 3700, 30000)
															    : between(&rng, 10, 1200),
		};
	}
	return machines;
}

/* Tells the model what had ended before 'now_s'; plain and slow. */
static void end_before(struct lifetime *lifetime, struct machine *machines, uint32_t count, int64_t now_s)
{
	for (;;) {
		struct machine *next = NULL;

		for (uint32_t i = count > 1500 ? count - 1500 : 0; i < count; i++) {
			int64_t end_s = machines[i].subject.arrives_s + machines[i].lives_s;

			if (!machines[i].has_ended && end_s < now_s && (!next || end_s < next->subject.arrives_s + next->lives_s))
				next = &machines[i];
		}
		if (!next)
			return;
		lifetime_end(lifetime, next->number, &next->subject, next->subject.arrives_s + next->lives_s);
		next->has_ended = true;
	}
}

static struct lifetime *make_model(void)
{
	struct lifetime *lifetime;
	struct err err = { 0 };

	assert_int_equal(lifetime_new(&(struct lifetime_options){ .slots_log2 = 14 }, &lifetime, &err), 0);
	return lifetime;
}

struct score { uint32_t right, most_frequent, last, confident, confident_right, count; double promised; };

static struct score run(struct machine *machines, uint32_t from)
{
	auto_lifetime struct lifetime *lifetime = make_model();
	struct score score = { 0 };
	uint32_t seen[LIFETIME_CLASSES_MAX] = { 0 }, last[KINDS] = { 0 };

	for (uint32_t i = 0; i < COUNT; i++) {
		struct machine *machine = &machines[i];
		struct lifetime_forecast forecast;
		uint32_t class = lifetime_class_of(lifetime, machine->lives_s), flavour = (uint32_t)machine->subject.cpu_m / 1000 - 1, best = 0;

		end_before(lifetime, machines, i, machine->subject.arrives_s);
		machine->number = lifetime_arrive(lifetime, &machine->subject, &forecast);
		for (uint32_t c = 0; c < LIFETIME_CLASSES_MAX; c++)
			best = seen[c] > seen[best] ? c : best;
		if (i >= from) {
			score.count++;
			score.right += forecast.class == class;
			score.promised += forecast.probabilities[forecast.class];
			score.most_frequent += best == class;
			score.last += last[flavour] == class;
			score.confident += forecast.is_confident;
			score.confident_right += forecast.is_confident && forecast.class == class;
		}
		/* The baselines even know what has not ended. */
		seen[class]++;
		last[flavour] = class;
	}
	return score;
}

static void test_better_than_the_baselines(void **state)
{
	auto_free struct machine *machines = make_machines(1);
	struct score score = run(machines, COUNT / 3);
	double right = (double)score.right / score.count, confident = (double)score.confident_right / score.confident;

	(void)state;
	print_message("synthetic: right %.3f, promised %.3f, most frequent %.3f, last value %.3f; confident %.3f of which right %.3f\n", right,
		      score.promised / score.count, (double)score.most_frequent / score.count, (double)score.last / score.count,
		      (double)score.confident / score.count, confident);
	assert_true(score.right > score.most_frequent + score.count / 5);
	assert_true(score.right > score.last + score.count / 10);
	assert_true(fabs(right - score.promised / score.count) < 0.05);
	assert_true(score.confident > score.count / 5);
	assert_true(confident > 0.89);
}

/* One model is told of ends in advance of nothing, the other lives the same past but has another future. */
static void test_the_future_is_not_known(void **state)
{
	enum { NOW = 3000 };
	auto_free struct machine *one = make_machines(2), *other = make_machines(2);
	auto_lifetime struct lifetime *first = make_model(), *second = make_model();

	(void)state;
	/* What still runs when machine NOW arrives will live ten times as long in the other world. */
	for (uint32_t i = 0; i < NOW; i++)
		if (other[i].subject.arrives_s + other[i].lives_s >= other[NOW].subject.arrives_s)
			other[i].lives_s *= 10;
	for (uint32_t i = 0; i <= NOW; i++) {
		struct lifetime_forecast a, b;

		end_before(first, one, i, one[i].subject.arrives_s);
		end_before(second, other, i, other[i].subject.arrives_s);
		one[i].number = lifetime_arrive(first, &one[i].subject, &a);
		other[i].number = lifetime_arrive(second, &other[i].subject, &b);
		assert_memory_equal(a.probabilities, b.probabilities, sizeof(a.probabilities));
		assert_int_equal(lifetime_remaining(first, &a, 0, 0.5), lifetime_remaining(second, &b, 0, 0.5));
	}
}

/* Asking changes no answer; what has ended does. */
static void test_asking_is_not_telling(void **state)
{
	auto_lifetime struct lifetime *asked = make_model(), *left = make_model();
	struct lifetime_subject subject = { .cpu_m = 1000, .memory_mib = 1024, .arrives_s = 0, .keys = { 5, 0, 0 } };
	struct lifetime_forecast a, b, first;

	(void)state;
	for (int i = 0; i < 300; i++) {
		subject.arrives_s = 1000 * i;
		lifetime_expect(asked, &subject, &a);
		lifetime_expect(asked, &subject, &a);
		lifetime_end(asked, lifetime_arrive(asked, &subject, &b), &subject, subject.arrives_s + 500);
		assert_memory_equal(a.probabilities, b.probabilities, sizeof(a.probabilities));
		lifetime_end(left, lifetime_arrive(left, &subject, &a), &subject, subject.arrives_s + 500);
		assert_memory_equal(a.probabilities, b.probabilities, sizeof(a.probabilities));
		first = i ? first : a;
	}
	assert_int_equal(a.class, 0);
	assert_true(a.probabilities[0] > 0.9 && first.probabilities[0] < 0.7);
}

static void test_what_is_left(void **state)
{
	auto_lifetime struct lifetime *lifetime = make_model();
	struct lifetime_subject subject = { .cpu_m = 1000, .memory_mib = 1024 };
	struct lifetime_forecast forecast;
	struct forecast filled = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 3);
	for (int i = 0; i < 400; i++) {
		subject.arrives_s = 10000 * i;
		uint64_t number = lifetime_arrive(lifetime, &subject, &forecast);

		lifetime_end(lifetime, number, &subject, subject.arrives_s + (rng_below(&rng, 2) ? 100 : 6000));
	}
	int64_t p10 = lifetime_remaining(lifetime, &forecast, 0, 0.1), p90 = lifetime_remaining(lifetime, &forecast, 0, 0.9);

	assert_true(p10 > 80 && p10 < 130);
	assert_true(p90 > 5000 && p90 < 7500);
	/* It is older than the short-lived ones get. */
	int64_t later = lifetime_remaining(lifetime, &forecast, 1000, 0.1);

	assert_true(later > 4000 && later < 6500);
	assert_true(lifetime_expected(lifetime, &forecast, 1000) > lifetime_expected(lifetime, &forecast, 0));
	/* Older than any: as long again. */
	assert_int_equal(lifetime_remaining(lifetime, &forecast, 1ll << 40, 0.5), 1ll << 40);
	lifetime_fill(lifetime, &forecast, &filled);
	assert_true(filled.is_lifetime_known);
	assert_int_equal(filled.lifetime_class, forecast.class);
	assert_in_range(filled.confidence_milli, 250, 1000);
	assert_int_equal(filled.lifetime_s, lifetime_expected(lifetime, &forecast, 0));
}

static void assert_tally(const struct history *history, int64_t over_s, int64_t bound_s, uint32_t known, uint32_t longer)
{
	struct tally tally = history_tally(history, 1000, over_s, bound_s, 8);

	assert_int_equal(tally.known, known);
	assert_int_equal(tally.longer, longer);
}

/* One has ended after 50 s; one runs for 900 s, one for 800 s. */
static void test_what_runs_has_survived_so_far(void **state)
{
	struct history history = { .ended_lives_s = -1 };

	(void)state;
	uint64_t first = history_arrive(&history, 1, 0);

	history_end(&history, first, 50, 50);
	(void)history_arrive(&history, 1, 100);
	(void)history_arrive(&history, 1, 200);
	assert_int_equal(history.alive_count, 2);
	assert_tally(&history, -1, 60, 3, 2);
	assert_tally(&history, -1, 850, 2, 1);
	assert_tally(&history, 60, 850, 1, 1);
	assert_tally(&history, 60, 2000, 0, 0);
	/* Of what is no longer remembered only the last end is. */
	for (int i = 0; i < RECENT; i++)
		(void)history_arrive(&history, 1, 999);
	history_end(&history, first + 1, 999, 899);
	assert_int_equal(history.ended_lives_s, 899);
	assert_tally(&history, -1, 0, 8, 8);
	assert_tally(&history, -1, 60, 0, 0);
}

static void test_time_never_goes_back(void **state)
{
	auto_lifetime struct lifetime *lifetime = make_model();
	struct lifetime_subject subject = { .cpu_m = 1, .memory_mib = 1, .arrives_s = 5000 };
	struct lifetime_forecast forecast;

	(void)state;
	uint64_t number = lifetime_arrive(lifetime, &subject, &forecast);

	lifetime_end(lifetime, number, &subject, 4000);
	for (int i = 0; i < 40000; i++) {	/* More than are remembered, all at once, and none ends until all have come. */
		subject.arrives_s = 4000;
		uint64_t next = lifetime_arrive(lifetime, &subject, &forecast);

		number = i == 100 ? next : number;
	}
	lifetime_end(lifetime, number, &subject, 1ll << 50);
	double sum = 0;

	for (size_t c = 0; c < lifetime_class_count(lifetime); c++)
		sum += forecast.probabilities[c];
	assert_true(fabs(sum - 1) < 1e-9);
}

static void test_options(void **state)
{
	struct lifetime *lifetime = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(lifetime_new(&(struct lifetime_options){ .bounds_s = { 60, 60 }, .bound_count = 2 }, &lifetime, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "bound 60 s"));
	assert_int_equal(lifetime_new(&(struct lifetime_options){ .slots_log2 = 40 }, &lifetime, &err), -EINVAL);
	assert_null(lifetime);
	assert_int_equal(lifetime_new(&(struct lifetime_options){ .bounds_s = { 60 }, .bound_count = 1, .slots_log2 = 10 }, &lifetime, &err), 0);
	assert_int_equal(lifetime_class_count(lifetime), 2);
	assert_int_equal(lifetime_class_of(lifetime, 60), 0);
	assert_int_equal(lifetime_class_of(lifetime, 61), 1);
	lifetime_free(lifetime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_better_than_the_baselines),
		cmocka_unit_test(test_the_future_is_not_known),
		cmocka_unit_test(test_asking_is_not_telling),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_what_runs_has_survived_so_far),
		cmocka_unit_test(test_time_never_goes_back),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
