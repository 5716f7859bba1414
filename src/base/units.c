#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { FRACTION_DIGITS_MAX = 15 };

/* Reads decimal digits; false when there are none or the number does not fit. */
static bool read_number(const char **text, uint64_t *ret_number)
{
	const char *p = *text;
	uint64_t number = 0;

	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
			return false;
	*text = p;
	*ret_number = number;
	return true;
}

/* Sizes */

static const char size_letters[] = "KMGTP";

/* The suffix as a power of two, or -1. */
static int size_shift(const char *suffix)
{
	const char *letter;

	if (*suffix == '\0' || strcasecmp(suffix, "B") == 0)
		return 0;
	letter = strchr(size_letters, toupper((unsigned char)*suffix));
	if (!letter)
		return -1;
	suffix++;
	if (*suffix && strcasecmp(suffix, "i") != 0 && strcasecmp(suffix, "B") != 0 &&
	    strcasecmp(suffix, "iB") != 0)
		return -1;
	return 10 * (int)(letter - size_letters + 1);
}

/* Reads ".25" as numerator 25 of 100; nothing to read is 0 of 1. */
static bool read_fraction(const char **text, uint64_t *ret_numerator, uint64_t *ret_denominator)
{
	const char *start;

	*ret_numerator = 0;
	*ret_denominator = 1;
	if (**text != '.')
		return true;
	start = ++*text;
	if (!read_number(text, ret_numerator) || *text - start > FRACTION_DIGITS_MAX)
		return false;
	for (const char *p = start; p < *text; p++)
		*ret_denominator *= 10;
	return true;
}

int units_parse_size(const char *text, uint64_t *ret_bytes, struct err *err)
{
	const char *rest = text;
	uint64_t whole, numerator, denominator;
	unsigned __int128 bytes;
	int shift;

	if (!read_number(&rest, &whole) || !read_fraction(&rest, &numerator, &denominator))
		goto malformed;
	shift = size_shift(rest);
	if (shift < 0 || (shift == 0 && denominator != 1))
		goto malformed;
	bytes = (unsigned __int128)whole << shift;
	bytes += ((unsigned __int128)numerator << shift) / denominator;
	if (bytes > UINT64_MAX)
		goto malformed;
	*ret_bytes = (uint64_t)bytes;
	return 0;

malformed:
	return err_set(err, -EINVAL, "'%s' is not a size below 16384P; write it like 512MiB or 1.5GiB",
		       shown(text));
}

const char *units_format_size(uint64_t bytes, char buffer[UNITS_TEXT_SIZE])
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned __int128 tenths;
	size_t unit = 0;

	while (unit + 1 < ARRAY_COUNT(names) && bytes >> (10 * (unit + 1)))
		unit++;
	tenths = (unsigned __int128)bytes * 10;
	if (tenths % ((unsigned __int128)1 << (10 * unit)) != 0 && unit > 0) {
		uint64_t smaller = bytes >> (10 * (unit - 1));

		if (smaller < 10000 && smaller << (10 * (unit - 1)) == bytes) {
			snprintf(buffer, UNITS_TEXT_SIZE, "%llu%s", (unsigned long long)smaller, names[unit - 1]);
			return buffer;
		}
		tenths += (unsigned __int128)1 << (10 * unit - 1);	/* To the nearest tenth. */
	}
	tenths >>= 10 * unit;
	if (tenths % 10)
		snprintf(buffer, UNITS_TEXT_SIZE, "%llu.%d%s", (unsigned long long)(tenths / 10),
			 (int)(tenths % 10), names[unit]);
	else
		snprintf(buffer, UNITS_TEXT_SIZE, "%llu%s", (unsigned long long)(tenths / 10), names[unit]);
	return buffer;
}

/* Durations */

static const struct { const char *name; uint64_t ms; } duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

/* The unit at the front of 'text', looking from number 'first' on; ARRAY_COUNT when there is none. */
static size_t find_duration_unit(const char *text, size_t first)
{
	size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz");
	size_t i;

	for (i = first; i < ARRAY_COUNT(duration_units); i++)
		if (strlen(duration_units[i].name) == length &&
		    memcmp(duration_units[i].name, text, length) == 0)
			break;
	return i;
}

int units_parse_duration(const char *text, int64_t *ret_ms, struct err *err)
{
	const char *rest = text;
	uint64_t total = 0;
	size_t next_unit = 0;

	do {
		uint64_t number;
		size_t unit;

		if (!read_number(&rest, &number))
			goto malformed;
		unit = find_duration_unit(rest, next_unit);
		if (unit == ARRAY_COUNT(duration_units) ||
		    __builtin_mul_overflow(number, duration_units[unit].ms, &number) ||
		    __builtin_add_overflow(total, number, &total) || total > INT64_MAX)
			goto malformed;
		rest += strlen(duration_units[unit].name);
		next_unit = unit + 1;		/* Each at most once, the largest first. */
	} while (*rest);
	*ret_ms = (int64_t)total;
	return 0;

malformed:
	return err_set(err, -EINVAL, "'%s' is not a duration; write it like 500ms, 30s, 5m, 2h, 1d or 1m30s",
		       shown(text));
}

const char *units_format_duration(int64_t ms, char buffer[UNITS_TEXT_SIZE])
{
	uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
	int length = 0;

	if (ms == 0)
		length = snprintf(buffer, UNITS_TEXT_SIZE, "0s");
	else if (ms < 0)
		length = snprintf(buffer, UNITS_TEXT_SIZE, "-");
	for (size_t i = 0; i < ARRAY_COUNT(duration_units); i++) {
		uint64_t number = left / duration_units[i].ms;

		left %= duration_units[i].ms;
		if (number)
			length += snprintf(buffer + length, UNITS_TEXT_SIZE - (size_t)length, "%llu%s",
					   (unsigned long long)number, duration_units[i].name);
	}
	return buffer;
}

/* Times */

/* Days since 1970-01-01 in the Gregorian calendar; years begin in March, so that a leap day is the last. */
static int64_t days_from_date(int64_t year, int month, int day)
{
	int64_t shifted = month <= 2 ? year - 1 : year;
	int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
	int64_t year_of_era = shifted - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
	int64_t shifted = days + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day_of_era = shifted - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int month = (int)((5 * day_of_year + 2) / 153);

	*ret_day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && is_leap);
}

/* Exactly 'count' digits with a value in [min, max]. */
static bool read_field(const char **text, int count, int min, int max, int *ret_value)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (!isdigit((unsigned char)(*text)[i]))
			return false;
		value = value * 10 + ((*text)[i] - '0');
	}
	*text += count;
	*ret_value = value;
	return value >= min && value <= max;
}

static bool read_char(const char **text, char c)
{
	if (toupper((unsigned char)**text) != c)
		return false;
	++*text;
	return true;
}

/* ".5", ".123456": milliseconds, the rest cut off. */
static bool read_milliseconds(const char **text, int *ret_ms)
{
	int weight = 100;

	*ret_ms = 0;
	if (**text != '.')
		return true;
	++*text;
	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); ++*text) {
		*ret_ms += (**text - '0') * weight;
		weight /= 10;
	}
	return true;
}

/* "Z" or "+02:00" at the end, in minutes. */
static bool read_offset(const char **text, int *ret_minutes)
{
	int sign = **text == '-' ? -1 : 1;
	int hours = 0, minutes = 0;

	if (read_char(text, 'Z')) {
		*ret_minutes = 0;
		return **text == '\0';
	}
	if (!read_char(text, '+') && !read_char(text, '-'))
		return false;
	if (!read_field(text, 2, 0, 23, &hours) || !read_char(text, ':') || !read_field(text, 2, 0, 59, &minutes))
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return **text == '\0';
}

int units_parse_time(const char *text, int64_t *ret_ms, struct err *err)
{
	const char *p = text;
	int year, month, day, hour, minute, second, ms, offset;
	int64_t minutes;

	if (!read_field(&p, 4, 0, 9999, &year) || !read_char(&p, '-') ||
	    !read_field(&p, 2, 1, 12, &month) || !read_char(&p, '-') ||
	    !read_field(&p, 2, 1, days_in_month(year, month), &day) || !read_char(&p, 'T') ||
	    !read_field(&p, 2, 0, 23, &hour) || !read_char(&p, ':') ||
	    !read_field(&p, 2, 0, 59, &minute) || !read_char(&p, ':') ||
	    !read_field(&p, 2, 0, 59, &second) || !read_milliseconds(&p, &ms) || !read_offset(&p, &offset))
		return err_set(err, -EINVAL, "'%s' is not a time; write it like 2026-11-23T10:00:00Z", shown(text));

	minutes = (days_from_date(year, month, day) * 24 + hour) * 60 + minute - offset;
	*ret_ms = (minutes * 60 + second) * 1000 + ms;
	return 0;
}

static char *put_digits(char *to, int number, int count)
{
	for (int i = count; i-- > 0; number /= 10)
		to[i] = (char)('0' + number % 10);
	return to + count;
}

/* By hand, for every object that is written has several times in it, and printf takes ten times as long. */
const char *units_format_time(int64_t ms, char buffer[UNITS_TEXT_SIZE])
{
	const int64_t day_ms = 86400000;
	int64_t days = ms / day_ms - (ms % day_ms < 0);
	int rest = (int)(ms % day_ms + (ms % day_ms < 0 ? day_ms : 0));
	int64_t year;
	int month, day;
	char *to = buffer;

	date_from_days(days, &year, &month, &day);
	if (year >= 0 && year <= 9999)
		to = put_digits(to, (int)year, 4);
	else
		to += snprintf(to, UNITS_TEXT_SIZE, "%04lld", (long long)year);
	const struct { char before; int number, count; } parts[] = {
		{ '-', month, 2 }, { '-', day, 2 }, { 'T', rest / 3600000, 2 }, { ':', rest / 60000 % 60, 2 },
		{ ':', rest / 1000 % 60, 2 }, { '.', rest % 1000, 3 },
	};
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		*to++ = parts[i].before;
		to = put_digits(to, parts[i].number, parts[i].count);
	}
	memcpy(to, "Z", sizeof("Z"));
	return buffer;
}
