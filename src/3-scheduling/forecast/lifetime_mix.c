/*
 * The learner behind lifetime.h: a mix of what many contexts say, as in the compressors of the PAQ family
 * (Mahoney, "Adaptive Weighing of Context Models for Lossless Data Compression", 2005).
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
 */
#include "3-scheduling/forecast/lifetime_private.h"

#include <math.h>

#include "base/mem.h"

enum { BURST_S = 60 };

/* Chosen on the first half of the trace: docs/decisions/0013-forecasts.md. */
static const double
	BURST_COUNT = 0.1, BURST_STEP = 0.08, STEP = 1e-3, BIAS_STEP = 0.03, WEIGHT = 0.02, CORRECTION_STEP = 0.01,
	COUNT_MOST = 200, FAST = 0.4;

struct slot {
	float slow, fast, count;
	uint32_t seen_s;		/* Lowest bits. */
	uint32_t tag;
};

double lifetime_stretch(double p)
{
	return log(p / (1 - p));
}

static double squash(double x)
{
	return 1 / (1 + exp(-x));
}

void mixer_init(struct mixer *mixer, uint32_t question_count, uint32_t slots_log2)
{
	*mixer = (struct mixer){
		.question_count = question_count,
		.slots_log2 = slots_log2,
		.slots = alloc(((size_t)question_count << slots_log2) * sizeof(*mixer->slots)),
		.weights = alloc(question_count * sizeof(*mixer->weights)),
	};
	for (uint32_t k = 0; k < question_count; k++) {
		for (uint32_t set = 0; set < SETS; set++)
			for (uint32_t i = 0; i < SET_SIZE * INPUTS; i++)
				mixer->weights[k][set][i / INPUTS][i % INPUTS] = (float)WEIGHT;
		for (uint32_t i = 0; i < FLAVOURS + RATE_LEVELS; i++)
			for (int level = 0; level < LEVELS; level++)
				mixer->corrections[k][i][level] = (float)squash(0.5 * (level - 16));
	}
}

void mixer_done(struct mixer *mixer)
{
	free(mixer->slots);
	free(mixer->weights);
}

static struct slot *slots_of(const struct mixer *mixer, uint64_t hash)
{
	return &mixer->slots[((hash >> 20) & ((1u << mixer->slots_log2) - 1)) * mixer->question_count];
}

void mixer_prefetch(const struct mixer *mixer, const struct contexts *contexts)
{
	for (uint32_t i = 0; i < CONTEXTS; i++)
		if (contexts->hashes[i])
			__builtin_prefetch(slots_of(mixer, contexts->hashes[i]));
}

static int16_t to_units(double x)
{
	return (int16_t)lrint(lifetime_limit(x, -15, 15) / (double)INPUT_UNIT);
}

void mixer_inputs(const struct mixer *mixer, uint32_t question, const struct contexts *contexts, const double tallies[TALLIES], int16_t *inputs)
{
	*inputs++ = to_units(0.3);
	for (uint32_t i = 0; i < TALLIES; i++)
		*inputs++ = to_units(tallies[i]);
	for (uint32_t i = 0; i < CONTEXTS; i++, inputs += 2) {
		const struct slot *slot = slots_of(mixer, contexts->hashes[i]) + question;

		inputs[0] = inputs[1] = 0;
		if (!contexts->hashes[i] || slot->tag != (uint32_t)contexts->hashes[i] || slot->count <= 0)
			continue;
		double trust = slot->count / (slot->count + 0.5);

		inputs[0] = to_units(trust * lifetime_stretch(slot->slow));
		inputs[1] = to_units(0.5 * trust * lifetime_stretch(slot->fast));
	}
}

/* The two corrections: of the flavour, and of how fast it arrives. */
static uint32_t correction_of(const struct contexts *contexts, uint32_t i)
{
	return i ? FLAVOURS + contexts->rate : contexts->flavour;
}

double mixer_answer(const struct mixer *mixer, uint32_t question, const struct contexts *contexts, const int16_t *inputs, struct answer *ret_answer)
{
	double sum = 0, p = 0;

	for (uint32_t set = 0; set < SETS; set++) {
		const float *weights = mixer->weights[question][set][contexts->sets[set]];
		float dot = 0;

		for (uint32_t i = 0; i < INPUTS; i++)
			dot += weights[i] * (float)inputs[i];
		double logit = lifetime_limit((double)(dot * INPUT_UNIT), -8, 8);

		ret_answer->of_set[set] = (float)squash(logit);
		sum += logit;
	}
	double mean = sum / SETS, place = lifetime_limit(2 * mean + 16, 0, LEVELS - 1.001);
	uint32_t level = (uint32_t)place;

	for (uint32_t i = 0; i < 2; i++) {
		const float *levels = mixer->corrections[question][correction_of(contexts, i)] + level;

		p += 0.5 * (levels[0] + (levels[1] - levels[0]) * (place - level));
	}
	ret_answer->level = (uint32_t)lrint(place);
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
	double count = fmin(slot->count + weight, COUNT_MOST), part = 1 / (count + 0.6);

	slot->count = (float)count;
	slot->seen_s = (uint32_t)arrives_s;
	slot->slow = (float)lifetime_limit(slot->slow + (longer - slot->slow) * fmin(1, weight * part), 0.001, 0.999);
	slot->fast = (float)lifetime_limit(slot->fast + (longer - slot->fast) * fmin(1, weight * fmax(FAST, part)), 0.003, 0.997);
}

void mixer_learn(struct mixer *mixer, uint32_t question, const struct contexts *contexts, const int16_t *inputs, const struct answer *answer,
		 const struct lesson *lesson)
{
	double longer = lesson->is_longer;

	for (uint32_t i = 0; i < 2; i++) {
		float *level = &mixer->corrections[question][correction_of(contexts, i)][answer->level];

		*level += (float)((longer - *level) * CORRECTION_STEP);
	}
	for (uint32_t set = 0; set < SETS; set++) {
		float *weights = mixer->weights[question][set][contexts->sets[set]];
		float step = (float)((longer - answer->of_set[set]) * (lesson->is_in_burst ? BURST_STEP : 1)) * INPUT_UNIT;

		weights[0] += step * (float)BIAS_STEP * (float)inputs[0];
		for (uint32_t i = BIAS; i < INPUTS; i++)
			weights[i] += step * (float)STEP * (float)inputs[i];
	}
	for (uint32_t i = 0; i < CONTEXTS; i++)
		if (contexts->hashes[i])
			learn_slot(slots_of(mixer, contexts->hashes[i]) + question, (uint32_t)contexts->hashes[i], lesson->arrives_s, longer);
}
