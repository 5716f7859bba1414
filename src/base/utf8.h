/*
 * utf8.h - one UTF-8 sequence at a time (RFC 3629); whole texts: text_is_utf8().
 *
 * Threads: any.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

#include "base/str.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd"		/* U+FFFD */

/* Bytes of the well-formed sequence at the front of the 'size' bytes, 0 when there is none (or a zero byte). */
static inline size_t utf8_length(const char *bytes, size_t size)
{
	unsigned char first = size ? (unsigned char)bytes[0] : 0;
	size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	return length <= size && text_is_utf8(bytes, length) ? length : 0;
}

#endif
