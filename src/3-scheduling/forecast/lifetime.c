/*
 * Classes of lifetimes, learnt online by mixing what many contexts say.
 *
 * A class is found by a chain of questions: does it live longer than the first bound; if so, longer than the second; and so on.
 * Every question has its own learner, made as in the compressors of the PAQ family (Mahoney, "Adaptive Weighing of Context Models
 * for Lossless Data Compression", 2005):
 *
 *   contexts      hashes of coarse facts about an arrival (lifetime_history.c). A slot per context keeps the share of its
 *                 earlier arrivals that lived longer: a slow one over all of them, a fast one over the last few.
 *   mixing        the logarithms of their odds are weighted and added. The weights are learnt by gradient descent on the
 *                 coding cost; several sets of weights, chosen by what is going on, are averaged.
 *   correction    of the result, by what came true when the result was alike.
 *
 * Clouds start instances in bursts which share a fate: a hundred of them are closer to one observation than to a hundred. So
 * what follows another closely counts only in part, in slots (BURST_COUNT) and in weights (BURST_STEP); without that, the last burst
 * would be all that is remembered.
 *
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
	LENGTHS = 3, BIAS = 1,
	INPUTS = BIAS + 2 * LENGTHS + 2 * CONTEXTS,
	LEVELS = 33,			/* Of a correction: logarithms of odds from -8 to 8. */
	CONFIDENCES = 1000,
	OUTCOMES = 1 << 13,
	TOGETHER_S = 3600,
	BURST_S = 60,
};

static const double
	BURST_COUNT = 0.1, BURST_STEP = 0.08, STEP = 1e-3, BIAS_STEP = 0.03, WEIGHT = 0.02, CORRECTION_STEP = 0.01,
	COUNT_MOST = 200, FAST = 0.4;
static const float INPUT_UNIT = 1.0f / 2048;

struct slot {
	float slow, fast, count;
	uint32_t seen_s;		/* Lowest bits. */
	uint32_t tag;
};

struct record {
	int64_t arrives_s, lives_s;	/* lives_s -1: not known. */
	uint64_t numbers[HISTORY_COUNT], number_of_all;	/* In its histories. */
	struct contexts contexts;
	float mixed[LIFETIME_BOUNDS_MAX][SETS];
	uint8_t level[LIFETIME_BOUNDS_MAX];
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
	struct slot *slots;		/* A context's slots for all questions lie together. */
	float (*weights)[SETS][SET_SIZE][INPUTS];
	float corrections[LIFETIME_BOUNDS_MAX][FLAVOURS + 10][LEVELS];
	char *records;
	size_t record_size;
	uint64_t arrival_count, next[LIFETIME_BOUNDS_MAX];	/* The first arrival whose answer has not been waited for. */
	struct outcomes { float all, right; } outcomes[CONFIDENCES];	/* Of forecasts by their confidence; the past fades. */
	uint32_t outcome_count, cut_off;
};

static double stretch(double p)
{
	return log(p / (1 - p));
}

static double squash(double x)
{
	return 1 / (1 + exp(-x));
}

static double limit(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

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
		if (options->bounds_s[i] <= (i ? options->bounds_s[i - 1] : 0))
			return err_set(err, -EINVAL, "bound %lld s of a class: give growing ones above zero", (long long)options->bounds_s[i]);
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
	float *weights;

	lifetime->options = checked;
	lifetime->question_count = questions;
	lifetime->now_s = INT64_MIN;
	lifetime->cut_off = CONFIDENCES;
	lifetime->slots = alloc(((size_t)questions << checked.slots_log2) * sizeof(*lifetime->slots));
	lifetime->weights = alloc(questions * sizeof(*lifetime->weights));
	weights = &lifetime->weights[0][0][0][0];
	for (size_t i = 0; i < questions * sizeof(*lifetime->weights) / sizeof(float); i++)
		weights[i] = (float)WEIGHT;
	for (uint32_t k = 0; k < questions; k++)
		for (uint32_t i = 0; i < FLAVOURS + 10; i++)
			for (int level = 0; level < LEVELS; level++)
				lifetime->corrections[k][i][level] = (float)squash(0.5 * (level - 16));
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
	free(lifetime->slots);
	free(lifetime->weights);
	free(lifetime->records);
	free(lifetime);
}

static struct slot *slots_of(const struct lifetime *lifetime, uint64_t hash)
{
	return &lifetime->slots[((hash >> 20) & ((1u << lifetime->options.slots_log2) - 1)) * lifetime->question_count];
}

static int16_t to_units(double x)
{
	return (int16_t)lrint(limit(x, -15, 15) / (double)INPUT_UNIT);
}

/* What the last arrivals say, of the flavour and of all. */
static void input_tallies(const struct history *history, const struct lifetime *lifetime, uint32_t question, int16_t *inputs)
{
	static const uint32_t lengths[LENGTHS] = { 4, 16, RECENT };
	const int64_t *bounds = lifetime->options.bounds_s;

	for (uint32_t i = 0; i < LENGTHS; i++) {
		struct tally tally = history_tally(history, lifetime->now_s, question ? bounds[question - 1] : -1, bounds[question], lengths[i]);

		inputs[i] = to_units(0.5 * stretch((0.2 + tally.longer) / (0.4 + tally.known)));
	}
}

static void fill_inputs(const struct lifetime *lifetime, const struct history *own, uint32_t question, const struct contexts *contexts, int16_t *inputs)
{
	inputs[0] = to_units(0.3);
	input_tallies(own, lifetime, question, inputs + BIAS);
	input_tallies(&lifetime->histories.all, lifetime, question, inputs + BIAS + LENGTHS);
	inputs += BIAS + 2 * LENGTHS;
	for (uint32_t i = 0; i < CONTEXTS; i++, inputs += 2) {
		const struct slot *slot = slots_of(lifetime, contexts->hashes[i]) + question;

		inputs[0] = inputs[1] = 0;
		if (!contexts->hashes[i] || slot->tag != (uint32_t)contexts->hashes[i] || slot->count <= 0)
			continue;
		double trust = slot->count / (slot->count + 0.5);

		inputs[0] = to_units(trust * stretch(slot->slow));
		inputs[1] = to_units(0.5 * trust * stretch(slot->fast));
	}
}

static float *weights_of(const struct lifetime *lifetime, uint32_t question, uint32_t set, const struct record *record)
{
	return lifetime->weights[question][set][record->contexts.sets[set]];
}

/* The probability that it lives longer than the question's bound, if longer than the bound before. */
static double answer(const struct lifetime *lifetime, struct record *record, uint32_t question)
{
	const int16_t *inputs = record->inputs + question * INPUTS;
	double sum = 0;

	for (uint32_t set = 0; set < SETS; set++) {
		const float *weights = weights_of(lifetime, question, set, record);
		float dot = 0;

		for (uint32_t i = 0; i < INPUTS; i++)
			dot += weights[i] * (float)inputs[i];
		double logit = limit(dot * INPUT_UNIT, -8, 8);

		record->mixed[question][set] = (float)squash(logit);
		sum += logit;
	}
	double mean = sum / SETS, place = limit(2 * mean + 16, 0, LEVELS - 1.001), p = 0;
	uint32_t level = (uint32_t)place;

	for (uint32_t i = 0; i < 2; i++) {
		const float *levels = lifetime->corrections[question][i ? FLAVOURS + record->contexts.rate : record->contexts.flavour] + level;

		p += 0.5 * (levels[0] + (levels[1] - levels[0]) * (place - level));
	}
	record->level[question] = (uint8_t)lrint(place);
	return 0.5 * (p + squash(mean));
}

static void learn_slot(struct slot *slot, uint32_t tag, int64_t arrives_s, double longer)
{
	if (slot->tag != tag) {
		/* What is seen often survives what is seen once. */
		slot->count /= 2;
		if (slot->count >= 0.5f)
			return;
		*slot = (struct slot){ .slow = 0.5f, .fast = 0.5f, .tag = tag };
	}
	double weight = slot->count > 0 && (uint32_t)arrives_s - slot->seen_s <= BURST_S ? BURST_COUNT : 1;
	double count = limit(slot->count + weight, 0, COUNT_MOST), part = 1 / (count + 0.6);

	slot->count = (float)count;
	slot->seen_s = (uint32_t)arrives_s;
	slot->slow = (float)limit(slot->slow + (longer - slot->slow) * fmin(1, weight * part), 0.001, 0.999);
	slot->fast = (float)limit(slot->fast + (longer - slot->fast) * fmin(1, weight * fmax(FAST, part)), 0.003, 0.997);
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
	const int16_t *inputs = record->inputs + question * INPUTS;
	bool has_ended = record->lives_s >= 0;
	double longer = !has_ended || record->lives_s > bounds[question];

	if (record->learnt & (1u << question))
		return;
	record->learnt |= (uint8_t)(1u << question);
	if (question == record->class || (question + 1 == lifetime->question_count && record->class > question))
		count_outcome(lifetime, record);
	if (question && has_ended && record->lives_s <= bounds[question - 1])
		return;
	for (uint32_t i = 0; i < 2; i++) {
		float *level = &lifetime->corrections[question][i ? FLAVOURS + record->contexts.rate : record->contexts.flavour][record->level[question]];

		*level += (float)((longer - *level) * CORRECTION_STEP);
	}
	for (uint32_t set = 0; set < SETS; set++) {
		float *weights = weights_of(lifetime, question, set, record);
		float step = (float)((longer - record->mixed[question][set]) * (record->is_in_burst ? BURST_STEP : 1)) * INPUT_UNIT;

		weights[0] += step * (float)BIAS_STEP * (float)inputs[0];
		for (uint32_t i = BIAS; i < INPUTS; i++)
			weights[i] += step * (float)STEP * (float)inputs[i];
	}
	for (uint32_t i = 0; i < CONTEXTS; i++)
		if (record->contexts.hashes[i])
			learn_slot(slots_of(lifetime, record->contexts.hashes[i]) + question, (uint32_t)record->contexts.hashes[i], record->arrives_s, longer);
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
		double longer = answer(lifetime, record, k);

		ret_forecast->probabilities[k] = reached * (1 - longer);
		reached *= longer;
	}
	ret_forecast->probabilities[lifetime->question_count] = reached;
	for (uint32_t c = 1; c <= lifetime->question_count; c++)
		if (ret_forecast->probabilities[c] > ret_forecast->probabilities[ret_forecast->class])
			ret_forecast->class = c;
	record->class = (uint8_t)ret_forecast->class;
	record->confidence = (uint16_t)limit(ret_forecast->probabilities[ret_forecast->class] * CONFIDENCES, 0, CONFIDENCES - 1);
	ret_forecast->is_confident = record->confidence >= lifetime->cut_off;
}

static const struct history *examine(struct lifetime *lifetime, const struct lifetime_subject *subject, struct record *record)
{
	contexts_of(&lifetime->options, &lifetime->histories, subject, lifetime->now_s, &record->contexts);
	for (uint32_t i = 0; i < CONTEXTS; i++)
		if (record->contexts.hashes[i])
			__builtin_prefetch(slots_of(lifetime, record->contexts.hashes[i]));
	const struct history *own = history_of(&lifetime->histories, subject, HISTORY_FLAVOUR, lifetime->now_s);

	for (uint32_t k = 0; k < lifetime->question_count; k++)
		fill_inputs(lifetime, own, k, &record->contexts, record->inputs + k * INPUTS);
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
