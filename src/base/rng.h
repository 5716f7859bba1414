/*
 * rng.h - chance as a parameter: xoshiro256** (Blackman, Vigna 2018).
 *
 * Seeded from the kernel in the daemon, from a number in simulation. Not for
 * secrets: those come from getrandom(2).
 *
 * Threads: one at a time per rng.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng { uint64_t state[4]; };

void rng_init(struct rng *rng, uint64_t seed);
void rng_init_random(struct rng *rng);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound);	/* 0 .. bound-1, unbiased. */

/* A random UUID version 4 (RFC 9562) as 36 characters and a zero. */
void rng_uuid(struct rng *rng, char text[37]);

#endif
