#include "base/base64.h"

#include <errno.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t size, struct str *out)
{
	const uint8_t *in = bytes;
	char *to;

	str_reserve(out, (size + 2) / 3 * 4);
	to = out->data + out->size;
	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);

		*to++ = alphabet[group >> 18];
		*to++ = alphabet[group >> 12 & 63];
		*to++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
		*to++ = left > 2 ? alphabet[group & 63] : '=';
	}
	*to = '\0';
	out->size = (size_t)(to - out->data);
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes four characters; returns how many bytes they mean, 0: they mean none. */
static size_t decode_group(const char text[4], bool is_last, uint8_t bytes[3])
{
	size_t padding = is_last ? (size_t)(text[3] == '=') + (text[2] == '=' && text[3] == '=') : 0;
	uint32_t group = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < 4 - padding ? value_of(text[i]) : 0;

		if (value < 0)
			return 0;
		group = group << 6 | (uint32_t)value;
	}
	bytes[0] = (uint8_t)(group >> 16);
	bytes[1] = (uint8_t)(group >> 8);
	bytes[2] = (uint8_t)group;
	return 3 - padding;
}

int base64_decode(const char *text, struct str *out, struct err *err)
{
	size_t length = strlen(text), begin = out->size;

	for (size_t i = 0; i < length; i += 4) {
		uint8_t bytes[3];
		size_t count = length - i < 4 ? 0 : decode_group(text + i, length - i == 4, bytes);

		if (count == 0) {
			if (out->data)
				out->data[out->size = begin] = '\0';
			return err_set(err, -EPROTO, "these bytes are not base64");
		}
		str_append_bytes(out, bytes, count);
	}
	return 0;
}
