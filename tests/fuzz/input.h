/* input.h - fuzz targets that read their input byte by byte, as a list of operations. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct input { const uint8_t *bytes; size_t size; };

static inline void check(bool is_true)
{
	if (!is_true)
		abort();
}

/* 0 where there is no more. */
static inline uint8_t byte(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->bytes++;
}

/* Small numbers, times 'scale', with extremes among them. */
static inline int32_t number(struct input *input, int32_t scale)
{
	uint8_t value = byte(input);

	switch (value) {
	case 255: return INT32_MAX;
	case 254: return -1;
	case 253: return INT32_MIN;
	default: return value * scale;
	}
}

#endif
