/*
 * What instances of one flavour, image, project or label did lately, and the contexts that follow.
 *
 * A context is a hash of a few coarse facts. Those of an arrival are looked up in what came of earlier arrivals with the same
 * facts. Clouds are run by programs, so much is told by the clock (a job that starts every hour at 20 past), by what arrived just
 * before, and by whether that still runs. Which facts: chosen on the first half of the trace, see docs/decisions/0013-forecasts.md.
 */
#include "3-scheduling/forecast/lifetime_private.h"

#include <math.h>
#include <string.h>

enum { BATCH_PAUSE_S = 300, PROBES = 8, DAY_S = 86400, HOUR_S = 3600 };

static const double rate_s[RATES] = { 10, 60, 600, 3600 };

uint64_t lifetime_hash(uint64_t hash, uint64_t value)
{
	uint64_t x = hash * 0x9E3779B97F4A7C15u ^ (value + 0x7F4A7C15u + (hash << 6) + (hash >> 2));

	x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
	return x ^ (x >> 29);
}

static uint64_t hash_all(const int64_t *values, size_t count)
{
	uint64_t hash = 1469598103;

	for (size_t i = 0; i < count; i++)
		hash = lifetime_hash(hash, (uint64_t)values[i]);
	return hash ? hash : 1;
}
#define HASH(...) hash_all((const int64_t[]){ __VA_ARGS__ }, sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

static uint64_t flavour_of(const struct lifetime_subject *subject)
{
	return HASH(subject->cpu_m, subject->memory_mib);
}

struct history *history_of(struct histories *histories, const struct lifetime_subject *subject, uint32_t which, int64_t now_s)
{
	struct history *oldest = NULL;
	uint64_t hash = flavour_of(subject);

	if (which >= HISTORY_KEYS) {
		uint64_t key = subject->keys[which - HISTORY_KEYS];

		if (!key)
			return NULL;
		hash = HASH(which, (int64_t)key);
	}
	for (uint32_t i = 0; i < PROBES; i++) {
		struct history *history = &histories->of[(hash + i) & (HISTORIES - 1)];

		if (history->hash == hash)
			return history;
		if (!oldest || (oldest->hash && (!history->hash || history->touched_s < oldest->touched_s)))
			oldest = history;
	}
	*oldest = (struct history){ .hash = hash, .touched_s = now_s, .ended_lives_s = -1 };
	return oldest;
}

/* The k-th last arrival; null when it is not remembered. */
static const struct recent *recent_at(const struct history *history, uint32_t k)
{
	return k < history->count && k < RECENT ? &history->recent[(history->count - 1 - k) % RECENT] : NULL;
}

static uint32_t in_second(const struct history *history, int64_t now_s)
{
	return history->count && history->touched_s == now_s ? history->in_second + 1 : 0;
}

static uint32_t in_batch(const struct history *history, int64_t now_s)
{
	return history->count && now_s - history->touched_s <= BATCH_PAUSE_S ? history->in_batch + 1 : 0;
}

static double rate(const struct history *history, uint32_t i, int64_t now_s)
{
	return history->rates[i] * exp(-(double)(now_s - history->touched_s) / rate_s[i]);
}

uint64_t history_arrive(struct history *history, uint64_t flavour, int64_t now_s)
{
	history->in_second = in_second(history, now_s);
	history->in_batch = in_batch(history, now_s);
	for (uint32_t i = 0; i < RATES; i++)
		history->rates[i] = rate(history, i, now_s) + 1;
	history->touched_s = now_s;
	history->alive_count++;
	history->recent[history->count % RECENT] = (struct recent){ now_s, -1, flavour };
	return history->count++;
}

void history_end(struct history *history, uint64_t number, int64_t now_s, int64_t lives_s)
{
	struct recent *recent = &history->recent[number % RECENT];

	if (number < history->count && history->count - number <= RECENT)
		recent->lives_s = lives_s;
	history->alive_count -= history->alive_count > 0;
	history->ended_s = now_s;
	history->ended_lives_s = lives_s;
}

struct tally history_tally(const struct history *history, int64_t now_s, int64_t over_s, int64_t bound_s, uint32_t most)
{
	struct tally tally = { 0 };
	const struct recent *recent;

	for (uint32_t k = 0; tally.known < most && (recent = recent_at(history, k)) != NULL; k++) {
		bool has_ended = recent->lives_s >= 0;
		int64_t lived_s = has_ended ? recent->lives_s : now_s - recent->arrives_s;

		if (lived_s <= over_s || (!has_ended && lived_s <= bound_s))
			continue;
		tally.known++;
		tally.longer += lived_s > bound_s;
	}
	return tally;
}

/* Logarithms as whole numbers: two per doubling, and one. */
static int64_t halves(double x)
{
	return x < 1 ? 0 : (int64_t)(2 * log2(x)) + 1;
}

static int64_t doublings(double x)
{
	return x < 1 ? 0 : (int64_t)log2(x) + 1;
}

static int64_t age(const struct recent *recent, int64_t now_s)
{
	return recent ? doublings((double)(now_s - recent->arrives_s)) : 99;
}

/* How long it lived, or how long it has been running. */
static int64_t fine_state(const struct recent *recent, int64_t now_s)
{
	if (!recent)
		return 99;
	return recent->lives_s >= 0 ? halves((double)recent->lives_s) + 1 : 100 + age(recent, now_s);
}

/* 0 .. 5: its class, 6 .. 10: it runs, 11: there is none. */
static int64_t state(const struct lifetime_options *options, const struct recent *recent, int64_t now_s)
{
	if (!recent)
		return 11;
	if (recent->lives_s >= 0)
		return lifetime_class_in(options, recent->lives_s);
	int64_t age_s = now_s - recent->arrives_s;

	return 6 + (age_s > 60) + (age_s > 900) + (age_s > HOUR_S) + (age_s > DAY_S);
}

static int64_t flavour_at(const struct history *history, uint32_t k)
{
	const struct recent *recent = recent_at(history, k);

	return recent ? (int64_t)recent->flavour : 0;
}

/* Eighths of the last few that lived longer than the first bound, and than the second. */
static int64_t share(const struct lifetime_options *options, const struct history *history, int64_t now_s, uint32_t most)
{
	int64_t shares = 0;

	for (size_t i = 0; i < 2; i++) {
		int64_t bound_s = options->bounds_s[i < options->bound_count ? i : options->bound_count - 1];
		struct tally tally = history_tally(history, now_s, -1, bound_s, most);

		shares = 8 * shares + (tally.known ? (int64_t)(6.99 * tally.longer / tally.known) : 7);
	}
	return shares;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* What the clock, the flavour's history and that of all tell. */
static void contexts_of_all(const struct lifetime_options *options, const struct history *own, const struct history *all, int64_t flavour,
			    int64_t now_s, struct contexts *contexts)
{
	const struct recent *last = recent_at(own, 0), *second = recent_at(own, 1), *any = recent_at(all, 0);
	int64_t s1 = state(options, last, now_s), s2 = state(options, second, now_s), s3 = state(options, recent_at(own, 2), now_s);
	int64_t age1 = age(last, now_s), age2 = age(second, now_s), age_any = age(any, now_s);
	int64_t any_flavour = flavour_at(all, 0);
	int64_t rates[RATES], hour = now_s % HOUR_S, day = now_s % DAY_S, same = in_second(own, now_s);
	int64_t all_minute = doublings(2 * rate(all, 1, now_s)), all_minutes = doublings(2 * rate(all, 2, now_s));
	int64_t ended = own->ended_lives_s < 0 ? 0 : halves((double)own->ended_lives_s) + 1;
	int64_t ended_age = own->ended_lives_s < 0 ? 0 : doublings((double)(now_s - own->ended_s)) + 1;
	int64_t ended_class = own->ended_lives_s < 0 ? 99 : lifetime_class_in(options, own->ended_lives_s);

	for (uint32_t i = 0; i < RATES; i++)
		rates[i] = i + 1 < RATES ? doublings(2 * rate(own, i, now_s)) : halves(2 * rate(own, i, now_s));
	const uint64_t hashes[CONTEXTS_OF_ALL] = {
		HASH(1, flavour),
		HASH(2, flavour, day / 600),
		HASH(3, flavour, hour / 2),
		HASH(4, flavour, hour / 5),
		HASH(5, flavour, hour / 15),
		HASH(6, hour / 15),
		HASH(7, flavour, now_s % 60),
		HASH(8, flavour, now_s % 300 / 3),
		HASH(9, flavour, now_s % 600 / 5),
		HASH(10, flavour, now_s % 1800 / 10),
		HASH(11, flavour, now_s % 7200 / 15),
		HASH(12, flavour, hour / 15, s1),
		HASH(13, flavour, hour / 30, least(same, 5)),
		HASH(14, flavour, least(same, 64), day / HOUR_S),
		HASH(15, flavour, halves(in_batch(own, now_s)), day / 1800),
		HASH(16, flavour, s1, s2, s3, age1),
		HASH(17, flavour, age1, age2),
		HASH(18, flavour, fine_state(last, now_s), fine_state(second, now_s)),
		HASH(19, flavour, rates[0], rates[1], rates[2]),
		HASH(20, flavour, rates[1], rates[3]),
		HASH(21, flavour, all_minute, all_minutes, day / 7200),
		HASH(22, flavour, last ? halves((double)(now_s - last->arrives_s)) : 99, any_flavour, age_any),
		HASH(23, flavour, ended_age, ended),
		HASH(24, flavour, halves(own->alive_count), ended_class),
		HASH(25, flavour, share(options, own, now_s, 8), day / 7200),
		HASH(26, flavour, share(options, own, now_s, 4), rates[0], s1),
		HASH(27, flavour, day / HOUR_S),
		HASH(28, flavour, day / 60),
		HASH(29, flavour, hour / 15, any_flavour, age_any / 2),
		HASH(30, flavour, fine_state(any, now_s), any_flavour),
		HASH(31, flavour, any_flavour, flavour_at(all, 1), flavour_at(all, 2)),
	};

	memcpy(contexts->hashes, hashes, sizeof(hashes));
	contexts->flavour = (uint8_t)((uint64_t)flavour % FLAVOURS);
	contexts->rate = (uint8_t)least(9, rates[1]);
	contexts->sets[0] = 0;
	contexts->sets[1] = contexts->flavour;
	contexts->sets[2] = (uint8_t)(10 * least(9, rates[2]) + least(9, age1 / 2));
	contexts->sets[3] = (uint8_t)(10 * s1 + least(9, age1 / 2));
}

static void contexts_of_key(const struct lifetime_options *options, const struct history *history, uint64_t key, uint64_t flavour, int64_t now_s,
			    uint64_t hashes[CONTEXTS_OF_KEY])
{
	int64_t hash = (int64_t)key;

	hashes[0] = HASH(41, hash);
	hashes[1] = HASH(42, hash, (int64_t)flavour);
	hashes[2] = HASH(43, hash, state(options, recent_at(history, 0), now_s), state(options, recent_at(history, 1), now_s),
			 age(recent_at(history, 0), now_s));
	hashes[3] = HASH(44, hash, share(options, history, now_s, 8));
}

void contexts_of(const struct lifetime_options *options, struct histories *histories, const struct lifetime_subject *subject, int64_t now_s,
		 struct contexts *ret_contexts)
{
	uint64_t flavour = flavour_of(subject);

	*ret_contexts = (struct contexts){ 0 };
	contexts_of_all(options, history_of(histories, subject, HISTORY_FLAVOUR, now_s), &histories->all, (int64_t)flavour, now_s, ret_contexts);
	for (uint32_t k = 0; k < FORECAST_KEYS; k++) {
		const struct history *history = history_of(histories, subject, HISTORY_KEYS + k, now_s);

		if (history)
			contexts_of_key(options, history, history->hash, flavour, now_s,
					&ret_contexts->hashes[CONTEXTS_OF_ALL + k * CONTEXTS_OF_KEY]);
	}
}
