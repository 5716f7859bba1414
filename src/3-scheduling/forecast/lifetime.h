/*
 * lifetime.h - how long will this instance live? Learnt online, only from what has happened.
 *
 * Lifetimes fall into classes between boundaries; the default ones are those of Resource Central (Cortez et al.,
 * SOSP'17): up to 15 minutes, up to an hour, up to a day, longer. An arrival gets a probability per class and, with
 * lifetime_remaining(), quantiles of the time it still has to run. See lifetime.c for how.
 *
 * The caller tells of arrivals and ends as they happen. Nothing of an instance but its arrival, and that it still runs,
 * is known before lifetime_end(): an answer never depends on what comes later.
 *
 * Units:   seconds of any clock, never going back: an earlier time counts as the latest one. cpu thousandths of a core, memory MiB.
 *          Keys are opaque; 0: absent.
 * Memory:  fixed when the model is made: about 40 MB by default; what was seen longest ago gives way.
 * Limits:  something is learnt of the last 16,384 arrivals only. Where more come within the longest bound, those that live
 *          longer than it are forgotten before it is known, and the last class is foretold too seldom.
 * Errors:  none but in lifetime_new(). Threads: a model belongs to one thread.
 */
#ifndef SCHEDULING_LIFETIME_H
#define SCHEDULING_LIFETIME_H

#include <stddef.h>

#include "3-scheduling/forecast/forecast.h"
#include "base/err.h"

enum { LIFETIME_CLASSES_MAX = 6, LIFETIME_BOUNDS_MAX = LIFETIME_CLASSES_MAX - 1 };

struct lifetime_options {		/* { 0 } means the defaults. */
	int64_t bounds_s[LIFETIME_BOUNDS_MAX];	/* Growing; class c ends at bounds_s[c], which belongs to it. At most 100 years. */
	size_t bound_count;
	uint32_t slots_log2;		/* Of memory for what was seen together: 10 to 24. */
	double confident_accuracy;	/* Forecasts are called confident if those so far were right so often: 0.915. */
};

struct lifetime_subject {
	uint64_t keys[FORECAST_KEYS];
	int32_t cpu_m, memory_mib;
	int64_t arrives_s;
};

struct lifetime_forecast {
	double probabilities[LIFETIME_CLASSES_MAX];	/* Their sum is 1. */
	uint32_t class;			/* The most probable; its probability is the confidence. */
	bool is_confident;		/* By what became of earlier forecasts, see confident_accuracy. */
	uint32_t flavour;		/* For lifetime_remaining(). */
};

struct lifetime;

int lifetime_new(const struct lifetime_options *options, struct lifetime **ret_lifetime, struct err *err);
void lifetime_free(struct lifetime *lifetime);
static inline void lifetime_freep(struct lifetime **lifetime) { lifetime_free(*lifetime); }
#define auto_lifetime __attribute__((cleanup(lifetime_freep)))

size_t lifetime_class_count(const struct lifetime *lifetime);
uint32_t lifetime_class_of(const struct lifetime *lifetime, int64_t lives_s);

/* An instance arrives: what is expected of it, and the number by which its end is told. */
uint64_t lifetime_arrive(struct lifetime *lifetime, const struct lifetime_subject *subject, struct lifetime_forecast *ret_forecast);
/* The same answer without an arrival: nothing is learnt but that time has passed. */
void lifetime_expect(struct lifetime *lifetime, const struct lifetime_subject *subject, struct lifetime_forecast *ret_forecast);
/* It has ended; 'subject' as at its arrival. */
void lifetime_end(struct lifetime *lifetime, uint64_t number, const struct lifetime_subject *subject, int64_t now_s);

/* With probability 'quantile' it runs no longer than this from now on, having run 'age_s' already. */
int64_t lifetime_remaining(const struct lifetime *lifetime, const struct lifetime_forecast *forecast, int64_t age_s, double quantile);
/* The mean of what it still runs. */
int64_t lifetime_expected(const struct lifetime *lifetime, const struct lifetime_forecast *forecast, int64_t age_s);
void lifetime_fill(const struct lifetime *lifetime, const struct lifetime_forecast *from, struct forecast *forecast);

#endif
