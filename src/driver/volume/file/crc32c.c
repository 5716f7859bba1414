#include "driver/volume/file/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78U		/* Reflected */

static uint32_t by_bits(uint32_t state, const unsigned char *bytes, size_t size)
{
	while (size--) {
		state ^= *bytes++;
		for (int bit = 0; bit < 8; bit++)
			state = state >> 1 ^ (state & 1 ? POLYNOMIAL : 0);
	}
	return state;
}

#ifdef __x86_64__

__attribute__((target("sse4.2"))) static uint32_t by_cpu(uint32_t state, const unsigned char *bytes, size_t size)
{
	uint64_t wide = state;

	for (; size >= 8; size -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	return by_bits((uint32_t)wide, bytes, size);
}

#endif

/* The table is made on the spot: no state to keep, and it costs little beside a large buffer. */
static uint32_t by_table(uint32_t state, const unsigned char *bytes, size_t size)
{
	uint32_t table[256];

	for (unsigned i = 0; i < 256; i++) {
		unsigned char byte = (unsigned char)i;

		table[i] = by_bits(0, &byte, 1);
	}
	while (size--)
		state = state >> 8 ^ table[(state ^ *bytes++) & 0xff];
	return state;
}

uint32_t crc32c_raw(uint32_t state, const void *bytes, size_t size)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return by_cpu(state, bytes, size);
#endif
	return size < 256 ? by_bits(state, bytes, size) : by_table(state, bytes, size);
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
	return ~crc32c_raw(~crc, bytes, size);
}
