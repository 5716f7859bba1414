/*
 * What is remembered of arrivals until it is known how long they lived, and what is answered; see lifetime_mix.c for the learning.
 *
 * A class is found by a chain of questions: does it live longer than the first bound; if so, longer than the second; and so on.
 * Answers come late, and those of the short-lived first. Learning them as they come would make everything look short-lived
 * for a while after each burst. So a question is learnt from all arrivals of a time together, when the answer is known of the
 * last of them: at the age of its bound. Beyond an hour that takes too long, and is learnt as it comes.
 */
#include "3-scheduling/forecast/lifetime_private.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

enum {
	RECORDS = 1 << 14,		/* Of arrivals that something is still to be learnt from. */
	LENGTHS = TALLIES / 2,
	CONFIDENCES = 1000,
	OUTCOMES = 1 << 13,
	TOGETHER_S = 3600,
	BURST_S = 60,
};

#define BOUND_MOST_S (100ll * 366 * 86400)

struct record {
	int64_t arrives_s, lives_s;	/* lives_s -1: not known. */
	uint64_t numbers[HISTORY_COUNT], number_of_all;	/* In its histories. */
	struct contexts contexts;
	struct answer answers[LIFETIME_BOUNDS_MAX];
	uint16_t confidence;		/* Of CONFIDENCES. */
	uint8_t class;			/* As it was foretold. */
	uint8_t learnt;			/* Bit k: question k. */
	bool is_in_burst;
	int16_t inputs[];		/* INPUTS for each question, in INPUT_UNITs. */
};

struct lifetime {
	struct lifetime_options options;
	uint32_t question_count;
	int64_t now_s;
	struct histories histories;
	struct spreads spreads;
	struct mixer mixer;
	char *records;
	size_t record_size;
	uint64_t arrival_count, next[LIFETIME_BOUNDS_MAX];	/* The first arrival whose answer has not been waited for. */
	struct outcomes { float all, right; } outcomes[CONFIDENCES];	/* Of forecasts by their confidence; the past fades. */
	uint32_t outcome_count, cut_off;
};

uint32_t lifetime_class_in(const struct lifetime_options *options, int64_t lives_s)
{
	uint32_t class = 0;

	while (class < options->bound_count && lives_s > options->bounds_s[class])
		class++;
	return class;
}

uint32_t lifetime_class_of(const struct lifetime *lifetime, int64_t lives_s)
{
	return lifetime_class_in(&lifetime->options, lives_s);
}

size_t lifetime_class_count(const struct lifetime *lifetime)
{
	return lifetime->options.bound_count + 1;
}

static int check_options(struct lifetime_options *options, struct err *err)
{
	if (!options->bound_count) {
		options->bound_count = 3;
		memcpy(options->bounds_s, (const int64_t[]){ 900, 3600, 86400 }, 3 * sizeof(int64_t));
	}
	options->slots_log2 = options->slots_log2 ? options->slots_log2 : 18;
	options->confident_accuracy = options->confident_accuracy > 0 ? options->confident_accuracy : 0.915;
	if (options->bound_count > LIFETIME_BOUNDS_MAX)
		return err_set(err, -EINVAL, "%zu bounds of classes: give at most %d", options->bound_count, LIFETIME_BOUNDS_MAX);
	for (size_t i = 0; i < options->bound_count; i++)
		if (options->bounds_s[i] <= (i ? options->bounds_s[i - 1] : 0) || options->bounds_s[i] > BOUND_MOST_S)
			return err_set(err, -EINVAL, "bound %lld s of a class: give growing ones above zero, of at most 100 years",
				       (long long)options->bounds_s[i]);
	if (options->slots_log2 < 10 || options->slots_log2 > 24)
		return err_set(err, -EINVAL, "2^%u slots: give 10 to 24", options->slots_log2);
	if (options->confident_accuracy > 1)
		return err_set(err, -EINVAL, "a confident accuracy of %g: give at most 1", options->confident_accuracy);
	return 0;
}

static struct record *record_at(const struct lifetime *lifetime, uint64_t number)
{
	return (struct record *)(lifetime->records + number % RECORDS * lifetime->record_size);
}

int lifetime_new(const struct lifetime_options *options, struct lifetime **ret_lifetime, struct err *err)
{
	struct lifetime_options checked = *options;
	int r = check_options(&checked, err);

	if (r < 0)
		return r;
	struct lifetime *lifetime = alloc(sizeof(*lifetime));
	uint32_t questions = (uint32_t)checked.bound_count;

	lifetime->options = checked;
	lifetime->question_count = questions;
	lifetime->now_s = INT64_MIN;
	lifetime->cut_off = CONFIDENCES;
	mixer_init(&lifetime->mixer, questions, checked.slots_log2);
	/* Rounded up to what its 64-bit members need. */
	lifetime->record_size = (sizeof(struct record) + questions * INPUTS * sizeof(int16_t) + 7) & ~(size_t)7;
	lifetime->records = alloc(RECORDS * lifetime->record_size);
	lifetime->histories.all.ended_lives_s = -1;
	spreads_init(&lifetime->spreads, &lifetime->options);
	*ret_lifetime = lifetime;
	return 0;
}

void lifetime_free(struct lifetime *lifetime)
{
	if (!lifetime)
		return;
	mixer_done(&lifetime->mixer);
	free(lifetime->records);
	free(lifetime);
}

/*
 * Was the forecast right? The cut-off is the lowest confidence such that the forecasts at least as confident have been right as
 * often as is promised.
 */
static void count_outcome(struct lifetime *lifetime, const struct record *record)
{
	bool is_right = record->class == (record->lives_s < 0 ? lifetime->question_count : lifetime_class_of(lifetime, record->lives_s));
	struct outcomes *outcomes = &lifetime->outcomes[record->confidence];
	double all = 0, right = 0;

	outcomes->all++;
	outcomes->right += is_right;
	if (++lifetime->outcome_count % 64)
		return;
	lifetime->cut_off = CONFIDENCES;
	for (uint32_t i = CONFIDENCES; i-- > 0;) {
		all += lifetime->outcomes[i].all;
		right += lifetime->outcomes[i].right;
		if (lifetime->outcomes[i].all > 0 && right >= lifetime->options.confident_accuracy * all)
			lifetime->cut_off = i;
	}
	if (lifetime->outcome_count < OUTCOMES)
		return;
	lifetime->outcome_count = 0;
	for (uint32_t i = 0; i < CONFIDENCES; i++) {
		lifetime->outcomes[i].all /= 2;
		lifetime->outcomes[i].right /= 2;
	}
}

static void learn(struct lifetime *lifetime, struct record *record, uint32_t question)
{
	const int64_t *bounds = lifetime->options.bounds_s;
	bool has_ended = record->lives_s >= 0;

	if (record->learnt & (1u << question))
		return;
	record->learnt |= (uint8_t)(1u << question);
	if (question == record->class || (question + 1 == lifetime->question_count && record->class > question))
		count_outcome(lifetime, record);
	if (question && has_ended && record->lives_s <= bounds[question - 1])
		return;
	const struct lesson lesson = { .arrives_s = record->arrives_s, .is_in_burst = record->is_in_burst,
				       .is_longer = !has_ended || record->lives_s > bounds[question] };

	mixer_learn(&lifetime->mixer, question, &record->contexts, record->inputs + question * INPUTS, &record->answers[question], &lesson);
}

/* Time passes: of some arrivals it is now known that they lived longer, of others at the same age that they did not. */
static void advance(struct lifetime *lifetime, int64_t now_s)
{
	if (now_s <= lifetime->now_s)
		return;
	lifetime->now_s = now_s;
	for (uint32_t k = 0; k < lifetime->question_count; k++) {
		if (lifetime->arrival_count - lifetime->next[k] > RECORDS)
			lifetime->next[k] = lifetime->arrival_count - RECORDS;
		for (; lifetime->next[k] < lifetime->arrival_count; lifetime->next[k]++) {
			struct record *record = record_at(lifetime, lifetime->next[k]);

			if (record->arrives_s + lifetime->options.bounds_s[k] >= now_s)
				break;
			learn(lifetime, record, k);
		}
	}
}

static void judge(const struct lifetime *lifetime, struct record *record, struct lifetime_forecast *ret_forecast)
{
	double reached = 1;

	*ret_forecast = (struct lifetime_forecast){ .flavour = record->contexts.flavour };
	for (uint32_t k = 0; k < lifetime->question_count; k++) {
		double longer = mixer_answer(&lifetime->mixer, k, &record->contexts, record->inputs + k * INPUTS, &record->answers[k]);

		ret_forecast->probabilities[k] = reached * (1 - longer);
		reached *= longer;
	}
	ret_forecast->probabilities[lifetime->question_count] = reached;
	for (uint32_t c = 1; c <= lifetime->question_count; c++)
		if (ret_forecast->probabilities[c] > ret_forecast->probabilities[ret_forecast->class])
			ret_forecast->class = c;
	record->class = (uint8_t)ret_forecast->class;
	record->confidence = (uint16_t)lifetime_limit(ret_forecast->probabilities[ret_forecast->class] * CONFIDENCES, 0, CONFIDENCES - 1);
	ret_forecast->is_confident = record->confidence >= lifetime->cut_off;
}

/* What the last arrivals say. */
static void take_tallies(const struct history *history, const struct lifetime *lifetime, uint32_t question, double tallies[LENGTHS])
{
	static const uint32_t lengths[LENGTHS] = { 4, 16, RECENT };
	const int64_t *bounds = lifetime->options.bounds_s;

	for (uint32_t i = 0; i < LENGTHS; i++) {
		struct tally tally = history_tally(history, lifetime->now_s, question ? bounds[question - 1] : -1, bounds[question], lengths[i]);

		tallies[i] = 0.5 * lifetime_stretch((0.2 + tally.longer) / (0.4 + tally.known));
	}
}

static const struct history *examine(struct lifetime *lifetime, const struct lifetime_subject *subject, struct record *record)
{
	double tallies[TALLIES];

	contexts_of(&lifetime->options, &lifetime->histories, subject, lifetime->now_s, &record->contexts);
	mixer_prefetch(&lifetime->mixer, &record->contexts);
	const struct history *own = history_of(&lifetime->histories, subject, HISTORY_FLAVOUR, lifetime->now_s);

	for (uint32_t k = 0; k < lifetime->question_count; k++) {
		take_tallies(own, lifetime, k, tallies);
		take_tallies(&lifetime->histories.all, lifetime, k, tallies + LENGTHS);
		mixer_inputs(&lifetime->mixer, k, &record->contexts, tallies, record->inputs + k * INPUTS);
	}
	return own;
}

uint64_t lifetime_arrive(struct lifetime *lifetime, const struct lifetime_subject *subject, struct lifetime_forecast *ret_forecast)
{
	advance(lifetime, subject->arrives_s);
	uint64_t number = lifetime->arrival_count++;
	struct record *record = record_at(lifetime, number);

	*record = (struct record){ .arrives_s = lifetime->now_s, .lives_s = -1 };
	const struct history *own = examine(lifetime, subject, record);

	record->is_in_burst = own->count && lifetime->now_s - own->touched_s <= BURST_S;
	judge(lifetime, record, ret_forecast);
	uint64_t flavour = own->hash;

	for (uint32_t i = 0; i < HISTORY_COUNT; i++) {
		struct history *history = history_of(&lifetime->histories, subject, i, lifetime->now_s);

		record->numbers[i] = history ? history_arrive(history, flavour, lifetime->now_s) : 0;
	}
	record->number_of_all = history_arrive(&lifetime->histories.all, flavour, lifetime->now_s);
	return number;
}

void lifetime_expect(struct lifetime *lifetime, const struct lifetime_subject *subject, struct lifetime_forecast *ret_forecast)
{
	auto_free struct record *record = alloc(lifetime->record_size);

	advance(lifetime, subject->arrives_s);
	(void)examine(lifetime, subject, record);
	judge(lifetime, record, ret_forecast);
}

void lifetime_end(struct lifetime *lifetime, uint64_t number, const struct lifetime_subject *subject, int64_t now_s)
{
	struct record *record = record_at(lifetime, number);
	bool is_remembered = lifetime->arrival_count - number <= RECORDS;
	uint64_t nothing = UINT64_MAX;

	assert(number < lifetime->arrival_count);
	advance(lifetime, now_s);
	int64_t lives_s = lifetime->now_s > subject->arrives_s ? lifetime->now_s - subject->arrives_s : 0;
	uint32_t class = lifetime_class_of(lifetime, lives_s);

	for (uint32_t i = 0; i < HISTORY_COUNT; i++) {
		struct history *history = history_of(&lifetime->histories, subject, i, now_s);

		if (history)
			history_end(history, is_remembered ? record->numbers[i] : nothing, now_s, lives_s);
		if (i == HISTORY_FLAVOUR)
			spreads_add(&lifetime->spreads, history->hash % FLAVOURS, class, lives_s);
	}
	history_end(&lifetime->histories.all, is_remembered ? record->number_of_all : nothing, now_s, lives_s);
	if (!is_remembered)
		return;
	record->lives_s = lives_s;
	for (uint32_t k = 0; k < lifetime->question_count; k++)
		if (lifetime->options.bounds_s[k] > TOGETHER_S)
			learn(lifetime, record, k);
}

struct total { double mass, lives_s; };

static bool add_mass(void *argument, double lives_s, double mass)
{
	struct total *total = argument;

	total->mass += mass;
	total->lives_s += mass * lives_s;
	return true;
}

struct search { double left, lives_s; };

static bool take_mass(void *argument, double lives_s, double mass)
{
	struct search *search = argument;

	search->left -= mass;
	search->lives_s = lives_s;
	return search->left > 0;
}

static struct total total_of(const struct lifetime *lifetime, const struct spread_walk *walk)
{
	struct total total = { 0 };

	spreads_walk(&lifetime->spreads, walk, add_mass, &total);
	return total;
}

int64_t lifetime_remaining(const struct lifetime *lifetime, const struct lifetime_forecast *forecast, int64_t age_s, double quantile)
{
	const struct spread_walk walk = { &lifetime->options, forecast->probabilities, forecast->flavour, age_s };
	struct total total = total_of(lifetime, &walk);
	struct search search = { .left = quantile * total.mass };

	if (total.mass <= 0)
		return age_s;
	spreads_walk(&lifetime->spreads, &walk, take_mass, &search);
	return (int64_t)ceil(search.lives_s) - age_s;
}

int64_t lifetime_expected(const struct lifetime *lifetime, const struct lifetime_forecast *forecast, int64_t age_s)
{
	const struct spread_walk walk = { &lifetime->options, forecast->probabilities, forecast->flavour, age_s };
	struct total total = total_of(lifetime, &walk);

	return total.mass > 0 ? (int64_t)ceil(total.lives_s / total.mass) - age_s : age_s;
}

void lifetime_fill(const struct lifetime *lifetime, const struct lifetime_forecast *from, struct forecast *forecast)
{
	forecast->is_lifetime_known = true;
	forecast->lifetime_class = (uint8_t)from->class;
	forecast->confidence_milli = (uint16_t)lrint(1000 * from->probabilities[from->class]);
	forecast->lifetime_s = lifetime_expected(lifetime, from, 0);
}
