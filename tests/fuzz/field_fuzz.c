/*
 * What a person's JSON makes of an object must survive the store: encoded and decoded again it
 * is equal, and sent back as a patch it changes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/field.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct part { char *name, *uid; uint64_t size; bool fast; };
struct inner { char *image; int mode; int64_t wait; };
struct thing {
	char *name, *uid, *notes, *secret;
	bool on;
	int64_t count, wait, born;
	uint64_t size;
	double load;
	int mode;
	struct inner inner;
	struct field_list parts, tags, labels;
};

static const char *const modes[] = { "a", "b", NULL };

static int short_check(const void *value, struct err *err)
{
	return strlen(value) < 20 ? 0 : err_set(err, -EINVAL, "'%s' is long: make it short", shown((const char *)value));
}

FIELD_TABLE(thing_part_table, part, "A part.",
	FIELD(STRING, part, name, .flags = FIELD_REQUIRED, .doc = "Name."),
	FIELD(STRING, part, uid, .flags = FIELD_READ_ONLY, .doc = "Uid."),
	FIELD(SIZE, part, size, .fallback = "1KiB", .doc = "Size."),
	FIELD(BOOL, part, fast, .flags = FIELD_OMIT_EMPTY, .doc = "Fast."),
);

FIELD_TABLE(thing_inner_table, inner, "Inner.",
	FIELD(STRING, inner, image, .fallback = "tiny", .doc = "Image."),
	FIELD(ENUM, inner, mode, .choices = modes, .flags = FIELD_OMIT_EMPTY, .doc = "Mode."),
	FIELD(DURATION, inner, wait, .flags = FIELD_OMIT_EMPTY, .doc = "Wait."),
);

FIELD_TABLE(thing_table, thing, "A thing.",
	FIELD(STRING, thing, name, .min = 1, .max = 30, .check = short_check, .doc = "Name."),
	FIELD(STRING, thing, uid, .flags = FIELD_READ_ONLY, .doc = "Uid."),
	FIELD(STRING, thing, notes, .flags = FIELD_OMIT_EMPTY, .doc = "Notes."),
	FIELD(STRING, thing, secret, .flags = FIELD_SECRET, .doc = "Secret."),
	FIELD(BOOL, thing, on, .fallback = "true", .doc = "On."),
	FIELD(INT, thing, count, .fallback = "3", .min = -100, .max = 100, .doc = "Count."),
	FIELD(DURATION, thing, wait, .fallback = "30s", .doc = "Wait."),
	FIELD(TIME, thing, born, .flags = FIELD_OMIT_EMPTY, .doc = "Born."),
	FIELD(SIZE, thing, size, .flags = FIELD_OMIT_EMPTY, .doc = "Size."),
	FIELD(DOUBLE, thing, load, .flags = FIELD_OMIT_EMPTY, .doc = "Load."),
	FIELD(ENUM, thing, mode, .choices = modes, .fallback = "b", .doc = "Mode."),
	FIELD(OBJECT, thing, inner, .table = &thing_inner_table, .flags = FIELD_OMIT_EMPTY | FIELD_FIXED, .doc = "Inner."),
	FIELD(LIST, thing, parts, .table = &thing_part_table, .max = 4, .doc = "Parts."),
	FIELD(STRINGS, thing, tags, .max = 4, .flags = FIELD_OMIT_EMPTY, .check = short_check, .doc = "Tags."),
	FIELD(MAP, thing, labels, .flags = FIELD_OMIT_EMPTY, .doc = "Labels."),
);

static void thing_done(struct thing *thing)
{
	field_done(&thing_table, thing);
}
#define auto_thing __attribute__((cleanup(thing_done)))

static int decode(const char *text, size_t size, enum field_mode mode, struct thing *thing, struct err *err)
{
	auto_json struct json *json = NULL;

	if (json_parse(text, size, &json, err) < 0)
		return err->code;
	return field_decode(&thing_table, json, mode, "", thing, err);
}

static void no_difference(void *data, const char *place, const char *from, const char *to)
{
	(void)data;
	(void)place;
	(void)from;
	(void)to;
	abort();
}

static void check_kept(const struct thing *thing)
{
	auto_thing struct thing stored = { 0 }, patched = { 0 };
	auto_str struct str text = { 0 };
	struct err err;

	field_encode(&thing_table, thing, &(struct json_writer){ .out = &text }, NULL);
	field_defaults(&thing_table, &stored);
	if (decode(text.data, text.size, FIELD_STORED, &stored, &err) < 0 || !field_equal(&thing_table, thing, &stored))
		abort();
	field_diff(&thing_table, "", thing, &stored, no_difference, NULL);

	field_copy(&thing_table, thing, &patched);
	str_clear(&text);
	field_encode_public(&thing_table, thing, &(struct json_writer){ .out = &text }, NULL);
	if (decode(text.data, text.size, FIELD_PATCH, &patched, &err) < 0 || !field_equal(&thing_table, thing, &patched))
		abort();
}

/* Creates the thing from the first line and changes it by the rest. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_thing struct thing thing = { 0 }, changed = { 0 };
	const char *text = (const char *)data, *line_end = size ? memchr(text, '\n', size) : NULL;
	size_t length = line_end ? (size_t)(line_end - text) : size;
	struct err err = { 0 };

	field_defaults(&thing_table, &thing);
	if (decode(text, length, FIELD_CREATE, &thing, &err) < 0) {
		if (err.code != -EINVAL || !err.msg[0] || strchr(err.msg, '\n'))
			abort();
		return 0;
	}
	check_kept(&thing);
	field_copy(&thing_table, &thing, &changed);
	if (line_end && decode(line_end, size - length, FIELD_PATCH, &changed, &err) == 0)
		check_kept(&changed);
	return 0;
}
