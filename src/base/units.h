/*
 * units.h - sizes, durations and times as people write them.
 *
 * Sizes: "512", "512MiB", "2G", "1.5GiB". K M G T P (and Ki, KiB, KB, ...) are
 * all powers of 1024, as in QEMU; case does not matter. Durations: "500ms",
 * "30s", "5m", "2h", "1d", and together as "1m30s". Times: RFC 3339, written in
 * UTC, "2026-11-23T10:00:00.000Z"; other offsets are read too.
 *
 * Errors:  -EINVAL (not of that form), -ERANGE is mapped to -EINVAL too; the
 *          message names the value and shows an example.
 * Threads: any.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>

#include "base/err.h"

enum { UNITS_TEXT_SIZE = 64 };		/* Every formatted value fits. */

int units_parse_size(const char *text, uint64_t *ret_bytes, struct err *err);
int units_parse_duration(const char *text, int64_t *ret_ms, struct err *err);
int units_parse_time(const char *text, int64_t *ret_ms, struct err *err);

/* "512MiB", "1.5GiB", "1025MiB": exact where four digits are enough for that, else one decimal. */
const char *units_format_size(uint64_t bytes, char buffer[UNITS_TEXT_SIZE]);
const char *units_format_duration(int64_t ms, char buffer[UNITS_TEXT_SIZE]);	/* 90,000 is "1m30s" */
const char *units_format_time(int64_t ms, char buffer[UNITS_TEXT_SIZE]);

#endif
