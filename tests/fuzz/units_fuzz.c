/*
 * Sizes, durations and times from outside: whatever is accepted must survive
 * being written and read again, and every refusal is one printable line.
 */
#include "base/units.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_message(const struct err *err)
{
	check(err->code < 0 && err->msg[0] && !strchr(err->msg, '\n') && text_is_utf8(err->msg, strlen(err->msg)));
}

static void check_size(const char *text)
{
	char buffer[UNITS_TEXT_SIZE];
	uint64_t bytes, again;
	struct err err;

	if (units_parse_size(text, &bytes, &err) < 0) {
		check_message(&err);
		return;
	}
	/* The written form may be rounded, never by more than a twentieth, and only the maximum rounds out of range. */
	units_format_size(bytes, buffer);
	if (units_parse_size(buffer, &again, &err) == 0)
		check((again > bytes ? again - bytes : bytes - again) <= bytes / 20 + 1);
	else
		check(bytes > UINT64_MAX - UINT64_MAX / 20);
}

static void check_duration(const char *text)
{
	char buffer[UNITS_TEXT_SIZE];
	int64_t ms, again;
	struct err err;

	if (units_parse_duration(text, &ms, &err) < 0)
		check_message(&err);
	else
		check(ms >= 0 && units_parse_duration(units_format_duration(ms, buffer), &again, &err) == 0 &&
		      again == ms);
}

static void check_time(const char *text)
{
	const int64_t year_0_ms = -62167219200000, year_10000_ms = 253402300800000;
	char buffer[UNITS_TEXT_SIZE];
	int64_t ms, again;
	struct err err;

	if (units_parse_time(text, &ms, &err) < 0)
		check_message(&err);
	else if (ms >= year_0_ms && ms < year_10000_ms)		/* An offset may lead out of the range. */
		check(units_parse_time(units_format_time(ms, buffer), &again, &err) == 0 && again == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_free char *text = text_copy_length((const char *)bytes, size);

	check_size(text);
	check_duration(text);
	check_time(text);
	return 0;
}
