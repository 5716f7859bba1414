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

/* How lifetimes spread within the classes, by groups of flavours; the last group is all of them. */
enum { SPREAD_BUCKETS = 4 * 28 };	/* Four per doubling, from a second to eight years. */
struct spreads { float counts[FLAVOURS + 1][LIFETIME_CLASSES_MAX][SPREAD_BUCKETS]; };

void spreads_init(struct spreads *spreads, const struct lifetime_options *options);
void spreads_add(struct spreads *spreads, uint32_t flavour, uint32_t class, int64_t lives_s);
/* The spread of an instance of that age, handed over from the shortest lifetime on until 'visit' returns false. */
struct spread_walk { const struct lifetime_options *options; const double *probabilities; uint32_t flavour; int64_t age_s; };
void spreads_walk(const struct spreads *spreads, const struct spread_walk *walk, bool (*visit)(void *argument, double lives_s, double mass), void *argument);

#endif
