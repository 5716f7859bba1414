/* lifetime_private.h - shared by the files of lifetime.h: what is remembered, and what an arrival is compared with. */
#ifndef SCHEDULING_LIFETIME_PRIVATE_H
#define SCHEDULING_LIFETIME_PRIVATE_H

#include "3-scheduling/forecast/lifetime.h"

enum {
	RECENT = 64,			/* Arrivals a history remembers; a power of two. */
	HISTORIES = 2048,		/* Of flavours and keys; a power of two. */
	FLAVOURS = 64,			/* Groups of flavours, by hash; a power of two. */
	RATES = 4,
	CONTEXTS_OF_ALL = 31, CONTEXTS_OF_KEY = 4,
	CONTEXTS = CONTEXTS_OF_ALL + FORECAST_KEYS * CONTEXTS_OF_KEY,
	SETS = 4,			/* Of weights... */
	SET_SIZE = 120,			/* ... of which a set has so many, chosen by what is going on. */
};

struct recent {
	int64_t arrives_s, lives_s;	/* lives_s -1: it still runs. */
	uint64_t flavour;
};

/* What happened lately to instances that have something in common. */
struct history {
	uint64_t hash;			/* 0: free. */
	struct recent recent[RECENT];	/* Arrival number n is at n % RECENT. */
	uint64_t count;			/* Of arrivals; the next one's number. */
	uint32_t alive_count;
	double rates[RATES];		/* Arrivals, decayed; at touched_s. */
	int64_t touched_s;		/* The last arrival. */
	uint32_t in_second, in_batch;	/* Arrivals before it in the same second; without a long pause. */
	int64_t ended_s, ended_lives_s;	/* The last that ended; -1: none yet. */
};

struct histories {
	struct history all;
	struct history of[HISTORIES];
};

/* What an arrival is compared with: hashes of things that were so at earlier arrivals too, and a few numbers. */
struct contexts {
	uint64_t hashes[CONTEXTS];	/* 0: says nothing, as a key is absent. */
	uint8_t sets[SETS];
	uint8_t flavour, rate;
};

enum { HISTORY_FLAVOUR, HISTORY_KEYS, HISTORY_COUNT = HISTORY_KEYS + FORECAST_KEYS };

uint64_t lifetime_hash(uint64_t hash, uint64_t value);
/* The history of the subject's flavour or of one of its keys; null when it has no such key. */
struct history *history_of(struct histories *histories, const struct lifetime_subject *subject, uint32_t which, int64_t now_s);
/* Returns the arrival's number. */
uint64_t history_arrive(struct history *history, uint64_t flavour, int64_t now_s);
void history_end(struct history *history, uint64_t number, int64_t now_s, int64_t lives_s);
/*
 * Of the last arrivals that lived longer than 'over_s' and of which it is known by now whether they lived longer than 'bound_s' too:
 * how many there are, and how many did. 'most' of them at most.
 */
struct tally { uint32_t known, longer; };
struct tally history_tally(const struct history *history, int64_t now_s, int64_t over_s, int64_t bound_s, uint32_t most);
/* Of an arrival that is not yet in its histories. */
void contexts_of(const struct lifetime_options *options, struct histories *histories, const struct lifetime_subject *subject, int64_t now_s,
		 struct contexts *ret_contexts);
uint32_t lifetime_class_in(const struct lifetime_options *options, int64_t lives_s);

/* The learner of all questions "does it live longer than this bound?": lifetime_mix.c. */
enum {
	TALLIES = 6,			/* Inputs that say how the last arrivals fared. */
	BIAS = 1,
	INPUTS = BIAS + TALLIES + 2 * CONTEXTS,
	LEVELS = 33,			/* Of a correction: logarithms of odds from -8 to 8. */
	RATE_LEVELS = 10,
};
#define INPUT_UNIT (1.0f / 2048)

struct mixer {
	uint32_t question_count, slots_log2;
	struct slot *slots;		/* A context's slots for all questions lie together. */
	float (*weights)[SETS][SET_SIZE][INPUTS];
	float corrections[LIFETIME_BOUNDS_MAX][FLAVOURS + RATE_LEVELS][LEVELS];
};

/* How an answer came about: what has to be kept to learn from the truth. */
struct answer {
	float of_set[SETS];
	uint32_t level;
};

void mixer_init(struct mixer *mixer, uint32_t question_count, uint32_t slots_log2);
void mixer_done(struct mixer *mixer);
/* The slots will be read soon. */
void mixer_prefetch(const struct mixer *mixer, const struct contexts *contexts);
/* Fills 'inputs', INPUTS of them in INPUT_UNITs, from logarithms of odds and from what the contexts' slots say. */
void mixer_inputs(const struct mixer *mixer, uint32_t question, const struct contexts *contexts, const double tallies[TALLIES], int16_t *inputs);
/* The probability of "longer". */
double mixer_answer(const struct mixer *mixer, uint32_t question, const struct contexts *contexts, const int16_t *inputs, struct answer *ret_answer);
struct lesson { int64_t arrives_s; bool is_in_burst, is_longer; };
void mixer_learn(struct mixer *mixer, uint32_t question, const struct contexts *contexts, const int16_t *inputs, const struct answer *answer,
		 const struct lesson *lesson);

double lifetime_stretch(double p);	/* The logarithm of the odds. */
static inline double lifetime_limit(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

/* How lifetimes spread within the classes, by groups of flavours; the last group is all of them. */
enum { SPREAD_BUCKETS = 4 * 28 };	/* Four per doubling, from a second to eight years. */
struct spreads { float counts[FLAVOURS + 1][LIFETIME_CLASSES_MAX][SPREAD_BUCKETS]; };

void spreads_init(struct spreads *spreads, const struct lifetime_options *options);
void spreads_add(struct spreads *spreads, uint32_t flavour, uint32_t class, int64_t lives_s);
/* The spread of an instance of that age, handed over from the shortest lifetime on until 'visit' returns false. */
struct spread_walk { const struct lifetime_options *options; const double *probabilities; uint32_t flavour; int64_t age_s; };
void spreads_walk(const struct spreads *spreads, const struct spread_walk *walk, bool (*visit)(void *argument, double lives_s, double mass),
		  void *argument);

#endif
