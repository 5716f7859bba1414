#include "base/rng.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

/* SplitMix64 (Steele, Lea, Flood 2014) spreads one number over the whole state. */
static uint64_t splitmix_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void rng_init(struct rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		rng->state[i] = splitmix_next(&seed);
}

void rng_init_random(struct rng *rng)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		abort();
	rng_init(rng, seed);
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	uint64_t excess, number;

	assert(bound > 0);

	/* 2^64 mod bound: the lowest numbers that would make small results too likely. */
	excess = -bound % bound;
	do
		number = rng_next(rng);
	while (number < excess);
	return number % bound;
}

void rng_uuid(struct rng *rng, char text[37])
{
	uint64_t high = (rng_next(rng) & 0xffffffffffff0fff) | 0x4000;			/* Version 4. */
	uint64_t low = (rng_next(rng) & 0x3fffffffffffffff) | 0x8000000000000000;	/* RFC variant. */

	snprintf(text, 37, "%08x-%04x-%04x-%04x-%012llx",
		 (unsigned)(high >> 32), (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xffff,
		 (unsigned)(low >> 48), (unsigned long long)(low & 0xffffffffffff));
}
