/*
 * Join tokens: what is accepted survives being written and read again, every refusal is one printable line.
 *
 * Nearly all random texts fail at the checksum, so the input is also taken as the bytes behind a right one.
 */
#include "4-service/pki/join_token.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void try_text(const char *text)
{
	auto_str struct str written = { 0 }, again_written = { 0 };
	struct join_token token, again;
	struct err err = { 0 };

	if (join_token_parse(text, &token, &err) < 0) {
		check(err.code < 0 && err.msg[0] && !strchr(err.msg, '\n') && text_is_utf8(err.msg, strlen(err.msg)));
		return;
	}
	join_token_write(&token, &written);
	check(join_token_parse(written.data, &again, &err) == 0);
	join_token_write(&again, &again_written);
	check(strcmp(written.data, again_written.data) == 0);
	join_token_done(&token);
	join_token_done(&again);
}

static void try_behind_checksum(const uint8_t *bytes, size_t size)
{
	auto_str struct str token = { 0 }, text = { 0 };
	auto_sha256 struct sha256 sha256 = { 0 };
	char digest[SHA256_TEXT_SIZE];

	sha256_init(&sha256);
	sha256_update(&sha256, bytes, size);
	sha256_finish(&sha256, digest);
	str_append_bytes(&token, bytes, 1);
	for (int i = 0; i < 4; i++)
		str_append_char(&token, (char)strtoul((char[]){ digest[2 * i], digest[2 * i + 1], 0 }, NULL, 16));
	str_append_bytes(&token, bytes + 1, size - 1);
	base64_encode(token.data, token.size, &text);
	text.data[strcspn(text.data, "=")] = '\0';
	for (char *c = text.data; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	try_text(text.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_free char *text = text_copy_length((const char *)bytes, size);

	try_text(text);
	if (size)
		try_behind_checksum(bytes, size);
	return 0;
}
