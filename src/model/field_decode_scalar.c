/*
 * field_decode_scalar.c - scalars, their ranges, and the words for what is wrong with them.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "model/field_decode.h"

static const int64_t year_0_ms = -62167219200000, year_10000_ms = 253402300800000;

typedef int decode_fn(const struct decoder *decoder, const struct field *field, const struct json *json,
		      const struct place *place, void *value);

static void append_place(const struct place *place, struct str *out)
{
	if (place->parent)
		append_place(place->parent, out);
	if (!place->name)
		str_printf(out, "[%zu]", place->index);
	else
		str_printf(out, "%s%s", out->size ? "." : "", shown(place->name));
}

int decode_fail(const struct decoder *decoder, const struct place *place)
{
	auto_str struct str text = { 0 };

	append_place(place, &text);
	decoder->err->code = -EINVAL;
	return text.size ? err_prefix(decoder->err, "%s", text.data) : -EINVAL;
}

static void append_choices(const struct field *field, struct str *out)
{
	for (size_t i = 0; field->choices[i]; i++)
		str_printf(out, "%s%s", i ? ", " : "", field->choices[i]);
}

static void append_expected(const struct field *field, struct str *out)
{
	static const char *const texts[] = {
		[FIELD_BOOL] = "true or false",
		[FIELD_INT] = "a whole number",
		[FIELD_SIZE] = "a size such as 512MiB",
		[FIELD_DURATION] = "a duration such as 30s",
		[FIELD_TIME] = "a time such as \"2026-11-23T10:00:00Z\"",
		[FIELD_DOUBLE] = "a number",
		[FIELD_STRING] = "a string",
		[FIELD_ENUM] = "one of ",
		[FIELD_OBJECT] = "an object",
		[FIELD_LIST] = "a list of objects",
		[FIELD_STRINGS] = "a list of strings",
		[FIELD_MAP] = "an object of strings",
	};

	str_append(out, texts[field->type]);
	if (field->type == FIELD_ENUM)
		append_choices(field, out);
}

/* "the number 1.5", "the string 'two'", "a list" */
static void append_actual(const struct json *json, struct str *out)
{
	switch (json_type(json)) {
	case JSON_BOOL: str_append(out, json_bool(json, false) ? "true" : "false"); break;
	case JSON_STRING: str_printf(out, "the string '%s'", shown(json_string(json, ""))); break;
	case JSON_INT:
	case JSON_UINT:
	case JSON_DOUBLE:
		str_append(out, "the number ");
		json_write_value(&(struct json_writer){ .out = out }, NULL, json);
		break;
	default: str_append(out, json_type_name(json_type(json))); break;
	}
}

int decode_fail_expected(const struct decoder *decoder, const char *expected, const struct json *json,
			 const struct place *place)
{
	auto_str struct str actual = { 0 };

	append_actual(json, &actual);
	err_set(decoder->err, -EINVAL, "must be %s, not %s", expected, actual.data);
	return decode_fail(decoder, place);
}

int decode_fail_type(const struct decoder *decoder, const struct field *field, const struct json *json,
		     const struct place *place)
{
	auto_str struct str expected = { 0 };

	append_expected(field, &expected);
	return decode_fail_expected(decoder, expected.data, json, place);
}

/* 'problem': "0 is too small" */
static int fail_range(const struct decoder *decoder, const struct field *field, const char *problem,
		      const struct place *place)
{
	auto_str struct str range = { 0 };

	field_range_text(field, &range);
	err_set(decoder->err, -EINVAL, "%s: use %s", problem, range.data);
	return decode_fail(decoder, place);
}

/* -1: below the range, 1: above, 0: within. What is stored already was within when it was stored. */
static int compare_range(const struct decoder *decoder, const struct field *field, int64_t number)
{
	struct field_range range = field_range(field);

	if (decoder->mode == FIELD_STORED)
		return 0;
	return range.has_min && number < range.min ? -1 : range.has_max && number > range.max;
}

/* 'side' as from compare_range(). */
static int check_side(const struct decoder *decoder, const struct field *field, int side, const struct json *json,
		      const struct place *place)
{
	auto_str struct str problem = { 0 };

	if (!side)
		return 0;
	if (json_type(json) == JSON_STRING)
		str_append(&problem, shown(json_string(json, "")));
	else
		json_write_value(&(struct json_writer){ .out = &problem }, NULL, json);
	str_append(&problem, side < 0 ? " is too small" : " is too large");
	return fail_range(decoder, field, problem.data, place);
}

static int check_number(const struct decoder *decoder, const struct field *field, int64_t number,
			const struct json *json, const struct place *place)
{
	return check_side(decoder, field, compare_range(decoder, field, number), json, place);
}

int decode_check_count(const struct decoder *decoder, const struct field *field, size_t count,
		       const struct place *place)
{
	int side = compare_range(decoder, field, (int64_t)count);
	auto_str struct str problem = { 0 };

	if (!side)
		return 0;
	str_printf(&problem, "%zu %s too %s", count, count == 1 ? "element is" : "elements are", side < 0 ? "few" : "many");
	return fail_range(decoder, field, problem.data, place);
}

int decode_check_length(const struct decoder *decoder, const char *text, size_t min, size_t max,
			const struct place *place)
{
	size_t length = strlen(text);

	if (decoder->mode == FIELD_STORED || (length >= min && length <= max))
		return 0;
	if (min)
		err_set(decoder->err, -EINVAL, "'%s' is too %s (%zu bytes): use %zu to %zu", shown(text),
			length < min ? "short" : "long", length, min, max);
	else
		err_set(decoder->err, -EINVAL, "'%s' is too long (%zu bytes): use at most %zu", shown(text), length, max);
	return decode_fail(decoder, place);
}

int decode_check(const struct decoder *decoder, const struct field *field, const void *value,
		       const struct place *place)
{
	if (!field->check || decoder->mode == FIELD_STORED || field->check(value, decoder->err) == 0)
		return 0;
	return decode_fail(decoder, place);
}

/* Scalars. */

static int decode_bool(const struct decoder *decoder, const struct field *field, const struct json *json,
		       const struct place *place, void *value)
{
	if (json_type(json) != JSON_BOOL)
		return decode_fail_type(decoder, field, json, place);
	*(bool *)value = json_bool(json, false);
	return 0;
}

static int decode_int(const struct decoder *decoder, const struct field *field, const struct json *json,
		      const struct place *place, void *value)
{
	if (json_type(json) == JSON_UINT) {
		err_set(decoder->err, -EINVAL, "%" PRIu64 " is too large: use at most %" PRId64, json_uint(json, 0), INT64_MAX);
		return decode_fail(decoder, place);
	}
	if (json_type(json) != JSON_INT)
		return decode_fail_type(decoder, field, json, place);
	*(int64_t *)value = json_int(json, 0);
	return check_number(decoder, field, *(int64_t *)value, json, place);
}

static int decode_size(const struct decoder *decoder, const struct field *field, const struct json *json,
		       const struct place *place, void *value)
{
	enum json_type type = json_type(json);
	uint64_t *bytes = value;

	if (type == JSON_STRING) {
		if (units_parse_size(json_string(json, ""), bytes, decoder->err) < 0)
			return decode_fail(decoder, place);
	} else if (type == JSON_UINT || (type == JSON_INT && json_int(json, 0) >= 0)) {
		*bytes = json_uint(json, 0);
	} else {
		return decode_fail_type(decoder, field, json, place);
	}
	return check_number(decoder, field, *bytes > INT64_MAX ? INT64_MAX : (int64_t)*bytes, json, place);
}

static int decode_duration(const struct decoder *decoder, const struct field *field, const struct json *json,
			   const struct place *place, void *value)
{
	int64_t *ms = value;

	if (json_type(json) == JSON_STRING) {
		if (units_parse_duration(json_string(json, ""), ms, decoder->err) < 0)
			return decode_fail(decoder, place);
	} else if (json_type(json) == JSON_INT) {
		*ms = json_int(json, 0);
	} else {
		return decode_fail_type(decoder, field, json, place);
	}
	return check_number(decoder, field, *ms, json, place);
}

static int decode_time(const struct decoder *decoder, const struct field *field, const struct json *json,
		       const struct place *place, void *value)
{
	if (json_type(json) != JSON_STRING)
		return decode_fail_type(decoder, field, json, place);
	if (units_parse_time(json_string(json, ""), value, decoder->err) < 0)
		return decode_fail(decoder, place);
	/* An offset from UTC can lead out of the four digits that a year has. */
	if (*(int64_t *)value < year_0_ms || *(int64_t *)value >= year_10000_ms) {
		err_set(decoder->err, -EINVAL, "'%s' is outside the years 0000 to 9999 in UTC", shown(json_string(json, "")));
		return decode_fail(decoder, place);
	}
	return 0;
}

static int decode_double(const struct decoder *decoder, const struct field *field, const struct json *json,
			 const struct place *place, void *value)
{
	const struct field_range range = field_range(field);
	enum json_type type = json_type(json);
	double number = json_double(json, 0);
	int side = 0;

	if (type != JSON_DOUBLE && type != JSON_INT && type != JSON_UINT)
		return decode_fail_type(decoder, field, json, place);
	*(double *)value = number;
	if (decoder->mode != FIELD_STORED)
		side = range.has_min && number < (double)range.min ? -1 : range.has_max && number > (double)range.max;
	return check_side(decoder, field, side, json, place);
}

static int decode_enum(const struct decoder *decoder, const struct field *field, const struct json *json,
		       const struct place *place, void *value)
{
	const char *name = json_string(json, NULL);

	for (int i = 0; name && field->choices[i]; i++) {
		if (strcmp(field->choices[i], name) == 0) {
			*(int *)value = i;
			return 0;
		}
	}
	return decode_fail_type(decoder, field, json, place);
}

/* "" is unset: see field.h. */
static int decode_string(const struct decoder *decoder, const struct field *field, const struct json *json,
			 const struct place *place, void *value)
{
	const struct field_range range = field_range(field);
	const char *text = json_string(json, NULL);
	int r;

	if (!text)
		return decode_fail_type(decoder, field, json, place);
	r = decode_check_length(decoder, text, range.has_min ? (size_t)range.min : 0, (size_t)range.max, place);
	if (r == 0 && *text)
		r = decode_check(decoder, field, text, place);
	if (r == 0)
		text_replace(value, *text ? text : NULL);
	return r;
}

int decode_scalar(const struct decoder *decoder, const struct field *field, const struct json *json,
		  const struct place *place, void *value)
{
	static decode_fn *const functions[] = {
		[FIELD_BOOL] = decode_bool,
		[FIELD_INT] = decode_int,
		[FIELD_SIZE] = decode_size,
		[FIELD_DURATION] = decode_duration,
		[FIELD_TIME] = decode_time,
		[FIELD_DOUBLE] = decode_double,
		[FIELD_STRING] = decode_string,
		[FIELD_ENUM] = decode_enum,
	};

	return functions[field->type](decoder, field, json, place, value);
}
