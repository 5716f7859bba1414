#include "model/field.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"

/* A noun with a field of every type and every flag. */

struct probe_disk {
	char *name;
	char *uid;
	int64_t slot;
	uint64_t size;
};

struct probe_source {
	char *image;
	bool verify;
};

struct probe {
	char *name;
	char *uid;
	bool enabled;
	int64_t cpus;
	int64_t serial;
	uint64_t memory;
	uint64_t quota;
	int64_t timeout;
	int64_t born;
	double load;
	int mode;
	char *notes;
	char *token;
	struct probe_source source;
	struct field_list disks;
	struct field_list tags;
	struct field_list labels;
};

static const char *const mode_names[] = { "auto", "fast", "safe", NULL };

static int lower_check(const void *value, struct err *err)
{
	const char *text = value;

	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			return err_set(err, -EINVAL, "'%s' has capital letters: use small ones", shown((const char *)value));
	return 0;
}

static int disk_check(const void *value, struct err *err)
{
	const struct probe_disk *disk = value;

	if (disk->slot == 13)
		return err_set(err, -EINVAL, "slot 13 is never free: use another");
	return 0;
}

FIELD_TABLE(probe_disk_table, probe_disk, "A disk.",
	FIELD(STRING, probe_disk, name, .flags = FIELD_REQUIRED, .doc = "Its name."),
	FIELD(STRING, probe_disk, uid, .flags = FIELD_READ_ONLY, .doc = "Its uid."),
	FIELD(INT, probe_disk, slot, .flags = FIELD_OMIT_EMPTY, .doc = "Its slot."),
	FIELD(SIZE, probe_disk, size, .fallback = "1GiB", .doc = "Its size."),
);

FIELD_TABLE(probe_source_table, probe_source, "Where it comes from.",
	FIELD(STRING, probe_source, image, .flags = FIELD_REQUIRED, .doc = "Name of the image."),
	FIELD(BOOL, probe_source, verify, .flags = FIELD_OMIT_EMPTY, .doc = "Check it."),
);

FIELD_TABLE(probe_table, probe, "What a probe should be.",
	FIELD(STRING, probe, name, .flags = FIELD_REQUIRED, .min = 2, .max = 8, .check = lower_check, .doc = "Its name."),
	FIELD(STRING, probe, uid, .flags = FIELD_READ_ONLY, .doc = "Its uid."),
	FIELD(BOOL, probe, enabled, .fallback = "true", .doc = "It works."),
	FIELD(INT, probe, cpus, .fallback = "1", .min = 1, .max = 512, .doc = "Virtual CPUs."),
	FIELD(INT, probe, serial, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "Counts."),
	FIELD(SIZE, probe, memory, .fallback = "256MiB", .min = 16 << 20, .max = (int64_t)1 << 40, .unit = "bytes", .doc = "Memory."),
	FIELD(SIZE, probe, quota, .flags = FIELD_OMIT_EMPTY, .doc = "No range."),
	FIELD(DURATION, probe, timeout, .fallback = "30s", .max = 3600000, .unit = "ms", .doc = "Patience."),
	FIELD(TIME, probe, born, .doc = "When."),
	FIELD(DOUBLE, probe, load, .flags = FIELD_OMIT_EMPTY, .min = -1, .max = 100, .doc = "Load."),
	FIELD(ENUM, probe, mode, .choices = mode_names, .fallback = "auto", .doc = "How."),
	FIELD(STRING, probe, notes, .flags = FIELD_OMIT_EMPTY, .doc = "Free text."),
	FIELD(STRING, probe, token, .flags = FIELD_SECRET, .doc = "Password."),
	FIELD(OBJECT, probe, source, .table = &probe_source_table, .flags = FIELD_OMIT_EMPTY | FIELD_FIXED, .doc = "Source."),
	FIELD(LIST, probe, disks, .table = &probe_disk_table, .max = 3, .flags = FIELD_OMIT_EMPTY, .check = disk_check, .doc = "Disks."),
	FIELD(STRINGS, probe, tags, .max = 3, .flags = FIELD_OMIT_EMPTY, .check = lower_check, .doc = "Tags."),
	FIELD(MAP, probe, labels, .max = 3, .flags = FIELD_OMIT_EMPTY, .doc = "Labels."),
);

static void probe_done(struct probe *probe)
{
	field_done(&probe_table, probe);
}
#define auto_probe __attribute__((cleanup(probe_done)))

static int decode(struct probe *probe, enum field_mode mode, const char *text, struct err *err)
{
	auto_json struct json *json = NULL;

	*err = (struct err){ 0 };
	if (json_parse(text, strlen(text), &json, err) < 0)
		fail_msg("%s: %s", text, err->msg);
	return field_decode(&probe_table, json, mode, "spec", probe, err);
}

static void decode_well(struct probe *probe, enum field_mode mode, const char *text)
{
	struct err err;

	if (mode != FIELD_PATCH)
		field_defaults(&probe_table, probe);
	if (decode(probe, mode, text, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
}

/* 'probe' stays as it was: the attempt is made on a copy. */
static void expect_patch_error(const struct probe *probe, const char *text, const char *message)
{
	auto_probe struct probe copy = { 0 };
	struct err err;

	field_copy(&probe_table, probe, &copy);
	assert_int_equal(decode(&copy, FIELD_PATCH, text, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.msg, message);
}

static void expect_error(const char *text, const char *message)
{
	auto_probe struct probe probe = { 0 };
	struct err err;

	field_defaults(&probe_table, &probe);
	assert_int_equal(decode(&probe, FIELD_CREATE, text, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.msg, message);
}

static void expect_encoded(const struct probe *probe, const char *text)
{
	auto_str struct str out = { 0 };

	field_encode(&probe_table, probe, &(struct json_writer){ .out = &out }, NULL);
	assert_string_equal(out.data, text);
}

static const char full_text[] =
	"{\"name\":\"web\",\"enabled\":false,\"cpus\":4,\"memory\":536870912,\"quota\":18446744073709551615,"
	"\"timeout\":90000,\"born\":\"2026-11-23T10:00:00.000Z\",\"load\":0.5,\"mode\":\"safe\",\"notes\":\"a \\\"b\\\"\","
	"\"token\":\"secret\",\"source\":{\"image\":\"tiny\",\"verify\":true},"
	"\"disks\":[{\"name\":\"a\",\"slot\":2,\"size\":1024},{\"name\":\"b\",\"size\":1073741824}],"
	"\"tags\":[\"x\",\"y\"],\"labels\":{\"app\":\"web\",\"tier\":\"front\"}}";

/* The same in the words of a person, in another order. */
static const char human_text[] =
	"{\"labels\":{\"tier\":\"front\",\"app\":\"web\"},\"tags\":[\"x\",\"y\"],\"memory\":\"512MiB\",\"timeout\":\"1m30s\","
	"\"disks\":[{\"slot\":2,\"name\":\"a\",\"size\":\"1KiB\"},{\"name\":\"b\"}],\"source\":{\"verify\":true,\"image\":\"tiny\"},"
	"\"token\":\"secret\",\"notes\":\"a \\\"b\\\"\",\"mode\":\"safe\",\"load\":0.5,\"born\":\"2026-11-23T10:00:00Z\","
	"\"quota\":18446744073709551615,\"cpus\":4,\"enabled\":false,\"name\":\"web\"}";

static void test_defaults(void **state)
{
	auto_probe struct probe probe = { 0 };

	(void)state;
	field_defaults(&probe_table, &probe);
	assert_true(probe.enabled);
	assert_int_equal(probe.cpus, 1);
	assert_int_equal(probe.memory, 256 << 20);
	assert_int_equal(probe.timeout, 30000);
	assert_null(probe.name);
	expect_encoded(&probe, "{\"enabled\":true,\"cpus\":1,\"memory\":268435456,\"timeout\":30000,\"mode\":\"auto\"}");
}

static void test_every_type_is_read_and_written(void **state)
{
	auto_probe struct probe probe = { 0 };

	(void)state;
	decode_well(&probe, FIELD_CREATE, human_text);
	assert_int_equal(probe.memory, 512 << 20);
	assert_int_equal(probe.timeout, 90000);
	assert_int_equal(probe.born, 1795428000000);
	assert_int_equal(probe.mode, 2);
	assert_int_equal(probe.disks.count, 2);
	assert_int_equal(field_list_at(&probe.disks, struct probe_disk, 1)->size, 1 << 30);
	assert_string_equal(*field_list_at(&probe.tags, char *, 1), "y");
	assert_string_equal(field_map_get(&probe.labels, "app"), "web");
	assert_null(field_map_get(&probe.labels, "none"));
	expect_encoded(&probe, full_text);
}

static void test_what_is_stored_reads_back_the_same(void **state)
{
	static const char *const texts[] = {
		full_text,
		"{\"enabled\":false,\"cpus\":0,\"memory\":0,\"timeout\":0,\"mode\":\"auto\"}",
		"{\"name\":\"OUT OF RANGE AND UNCHECKED\",\"uid\":\"u\",\"enabled\":true,\"cpus\":100000,\"serial\":7,"
		"\"memory\":1,\"timeout\":1,\"mode\":\"fast\",\"disks\":[{\"name\":\"d\",\"uid\":\"u\",\"slot\":13,\"size\":0}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		auto_probe struct probe probe = { 0 }, copy = { 0 };

		decode_well(&probe, FIELD_STORED, texts[i]);
		expect_encoded(&probe, texts[i]);
		field_copy(&probe_table, &probe, &copy);
		assert_true(field_equal(&probe_table, &probe, &copy));
		expect_encoded(&copy, texts[i]);
	}
}

static void test_equality_sees_every_field(void **state)
{
	static const char *const changes[] = {
		"{\"name\":\"other\"}", "{\"enabled\":true}", "{\"cpus\":5}", "{\"memory\":\"1GiB\"}", "{\"timeout\":\"1s\"}",
		"{\"born\":null}", "{\"load\":0.25}", "{\"mode\":\"fast\"}", "{\"notes\":null}", "{\"token\":\"x\"}",
		"{\"disks\":[]}", "{\"disks\":[{\"name\":\"a\",\"slot\":2,\"size\":1024},{\"name\":\"c\"}]}", "{\"tags\":[\"x\"]}",
		"{\"tags\":[\"x\",\"z\"]}", "{\"labels\":{\"app\":\"db\"}}", "{\"labels\":{\"app\":null}}",
	};
	auto_probe struct probe probe = { 0 };

	(void)state;
	decode_well(&probe, FIELD_CREATE, full_text);
	for (size_t i = 0; i < ARRAY_COUNT(changes); i++) {
		auto_probe struct probe copy = { 0 };

		field_copy(&probe_table, &probe, &copy);
		decode_well(&copy, FIELD_PATCH, changes[i]);
		assert_false(field_equal(&probe_table, &probe, &copy));
	}
	decode_well(&probe, FIELD_PATCH, full_text);
	expect_encoded(&probe, full_text);
}

static void test_unset_strings_are_null_or_empty(void **state)
{
	auto_probe struct probe a = { 0 }, b = { 0 };

	(void)state;
	decode_well(&a, FIELD_CREATE, "{\"name\":\"web\",\"notes\":\"\"}");
	decode_well(&b, FIELD_CREATE, "{\"name\":\"web\"}");
	assert_null(a.notes);
	a.notes = text_copy("");
	assert_true(field_equal(&probe_table, &a, &b));
}

static void test_patch_merges(void **state)
{
	auto_probe struct probe probe = { 0 };

	(void)state;
	decode_well(&probe, FIELD_CREATE, full_text);
	decode_well(&probe, FIELD_PATCH, "{\"cpus\":null,\"memory\":null,\"notes\":null,\"tags\":[\"z\"],\"source\":{},"
		    "\"labels\":{\"tier\":null,\"new\":\"1\",\"app\":\"web2\"},\"disks\":null}");
	expect_encoded(&probe, "{\"name\":\"web\",\"enabled\":false,\"cpus\":1,\"memory\":268435456,"
		       "\"quota\":18446744073709551615,\"timeout\":90000,\"born\":\"2026-11-23T10:00:00.000Z\",\"load\":0.5,"
		       "\"mode\":\"safe\",\"token\":\"secret\",\"source\":{\"image\":\"tiny\",\"verify\":true},\"tags\":[\"z\"],"
		       "\"labels\":{\"app\":\"web2\",\"new\":\"1\"}}");
}

static void test_unknown_fields(void **state)
{
	(void)state;
	expect_error("{\"memroy\":1}", "spec.memroy: unknown field, did you mean 'memory'?");
	expect_error("{\"name\":\"web\",\"disks\":[{\"name\":\"a\"},{\"nmae\":1}]}",
		     "spec.disks[1].nmae: unknown field, did you mean 'name'?");
	expect_error("{\"source\":{\"zzzzz\":1}}", "spec.source.zzzzz: unknown field: use one of image, verify");
	expect_error("{\"a\\nb\\u001b[31m\":1}",
		     "spec.a?b?[31m: unknown field: use one of name, uid, enabled, cpus, serial, memory, quota, timeout, born, load, "
		     "mode, notes, token, source, disks, tags, labels");
}

static void test_wrong_types(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "{\"enabled\":\"yes\"}", "spec.enabled: must be true or false, not the string 'yes'" },
		{ "{\"enabled\":1}", "spec.enabled: must be true or false, not the number 1" },
		{ "{\"cpus\":\"two\"}", "spec.cpus: must be a whole number, not the string 'two'" },
		{ "{\"cpus\":1.5}", "spec.cpus: must be a whole number, not the number 1.5" },
		{ "{\"cpus\":[1]}", "spec.cpus: must be a whole number, not a list" },
		{ "{\"memory\":true}", "spec.memory: must be a size such as 512MiB, not true" },
		{ "{\"memory\":-1}", "spec.memory: must be a size such as 512MiB, not the number -1" },
		{ "{\"memory\":1.5}", "spec.memory: must be a size such as 512MiB, not the number 1.5" },
		{ "{\"timeout\":{}}", "spec.timeout: must be a duration such as 30s, not an object" },
		{ "{\"born\":12}", "spec.born: must be a time such as \"2026-11-23T10:00:00Z\", not the number 12" },
		{ "{\"load\":\"high\"}", "spec.load: must be a number, not the string 'high'" },
		{ "{\"name\":5}", "spec.name: must be a string, not the number 5" },
		{ "{\"mode\":\"slow\"}", "spec.mode: must be one of auto, fast, safe, not the string 'slow'" },
		{ "{\"mode\":1}", "spec.mode: must be one of auto, fast, safe, not the number 1" },
		{ "{\"source\":\"tiny\"}", "spec.source: must be an object, not the string 'tiny'" },
		{ "{\"disks\":{\"name\":\"a\"}}", "spec.disks: must be a list of objects, not an object" },
		{ "{\"disks\":[1]}", "spec.disks[0]: must be an object, not the number 1" },
		{ "{\"disks\":[null]}", "spec.disks[0]: must be an object, not null" },
		{ "{\"tags\":\"x\"}", "spec.tags: must be a list of strings, not the string 'x'" },
		{ "{\"tags\":[\"x\",2]}", "spec.tags[1]: must be a string, not the number 2" },
		{ "{\"tags\":[null]}", "spec.tags[0]: must be a string, not null" },
		{ "{\"labels\":[]}", "spec.labels: must be an object of strings, not a list" },
		{ "{\"labels\":{\"a\":1}}", "spec.labels.a: must be a string (in quotes), not the number 1" },
		{ "[]", "spec: must be an object, not a list" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		expect_error(cases[i].text, cases[i].message);
}

static void test_ranges(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "{\"cpus\":0}", "spec.cpus: 0 is too small: use 1 to 512" },
		{ "{\"cpus\":1000000000}", "spec.cpus: 1000000000 is too large: use 1 to 512" },
		{ "{\"cpus\":18446744073709551615}",
		  "spec.cpus: 18446744073709551615 is too large: use at most 9223372036854775807" },
		{ "{\"memory\":\"1KiB\"}", "spec.memory: 1KiB is too small: use 16MiB to 1TiB" },
		{ "{\"memory\":5}", "spec.memory: 5 is too small: use 16MiB to 1TiB" },
		{ "{\"memory\":\"2T\"}", "spec.memory: 2T is too large: use 16MiB to 1TiB" },
		{ "{\"memory\":18446744073709551615}", "spec.memory: 18446744073709551615 is too large: use 16MiB to 1TiB" },
		{ "{\"timeout\":\"2h\"}", "spec.timeout: 2h is too large: use 0s to 1h" },
		{ "{\"timeout\":-1}", "spec.timeout: -1 is too small: use 0s to 1h" },
		{ "{\"load\":100.1}", "spec.load: 100.1 is too large: use -1 to 100" },
		{ "{\"load\":-1.5}", "spec.load: -1.5 is too small: use -1 to 100" },
		{ "{\"load\":1e300}", "spec.load: 1e+300 is too large: use -1 to 100" },
		{ "{\"name\":\"x\"}", "spec.name: 'x' is too short (1 bytes): use 2 to 8" },
		{ "{\"name\":\"123456789\"}", "spec.name: '123456789' is too long (9 bytes): use 2 to 8" },
		{ "{\"tags\":[\"a\",\"b\",\"c\",\"d\"]}", "spec.tags: 4 elements are too many: use at most 3" },
		{ "{\"disks\":[1,2,3,4]}", "spec.disks: 4 elements are too many: use at most 3" },
		{ "{\"labels\":{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\"}}", "spec.labels: 4 elements are too many: use at most 3" },
		{ "{\"labels\":{\"\":\"x\"}}", "spec.labels.: '' is too short (0 bytes): use 1 to 253" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		expect_error(cases[i].text, cases[i].message);
}

/* The words after the place are those of base/units.c. */
static void test_units_that_do_not_parse(void **state)
{
	static const struct { const char *text, *place; } cases[] = {
		{ "{\"memory\":\"12x\"}", "spec.memory: " },
		{ "{\"timeout\":\"soon\"}", "spec.timeout: " },
		{ "{\"born\":\"yesterday\"}", "spec.born: " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		auto_probe struct probe probe = { 0 };
		struct err err;

		assert_int_equal(decode(&probe, FIELD_CREATE, cases[i].text, &err), -EINVAL);
		assert_true(text_starts_with(err.msg, cases[i].place));
	}
}

static void test_checks_of_the_table(void **state)
{
	(void)state;
	expect_error("{\"name\":\"Web\"}", "spec.name: 'Web' has capital letters: use small ones");
	expect_error("{\"tags\":[\"a\",\"B\"]}", "spec.tags[1]: 'B' has capital letters: use small ones");
	expect_error("{\"disks\":[{\"name\":\"a\",\"slot\":13}]}", "spec.disks[0]: slot 13 is never free: use another");
}

static void test_required_fields(void **state)
{
	auto_probe struct probe probe = { 0 };

	(void)state;
	expect_error("{}", "spec.name: is required: Its name.");
	expect_error("{\"name\":null}", "spec.name: is required: Its name.");
	expect_error("{\"name\":\"web\",\"source\":{}}", "spec.source.image: is required: Name of the image.");
	expect_error("{\"name\":\"web\",\"disks\":[{\"slot\":1}]}", "spec.disks[0].name: is required: Its name.");
	decode_well(&probe, FIELD_CREATE, "{\"name\":\"web\"}");
	expect_patch_error(&probe, "{\"name\":null}", "spec.name: is required: Its name.");
	expect_patch_error(&probe, "{\"name\":\"\"}", "spec.name: '' is too short (0 bytes): use 2 to 8");
	decode_well(&probe, FIELD_PATCH, "{\"cpus\":2}");
}

static void test_read_only_and_fixed_fields(void **state)
{
	auto_probe struct probe probe = { 0 };

	(void)state;
	expect_error("{\"uid\":\"u-1\"}", "spec.uid: is set by the system: leave it out");
	expect_error("{\"serial\":1}", "spec.serial: is set by the system: leave it out");
	decode_well(&probe, FIELD_CREATE, "{\"name\":\"web\",\"serial\":0,\"uid\":null,\"source\":{\"image\":\"tiny\"}}");
	probe.serial = 7;
	text_replace(&probe.uid, "u-1");
	expect_patch_error(&probe, "{\"uid\":\"u-2\"}", "spec.uid: is set by the system: leave it out");
	expect_patch_error(&probe, "{\"uid\":null}", "spec.uid: is set by the system: leave it out");
	expect_patch_error(&probe, "{\"serial\":8}", "spec.serial: is set by the system: leave it out");
	expect_patch_error(&probe, "{\"serial\":\"x\"}", "spec.serial: is set by the system: leave it out");
	expect_patch_error(&probe, "{\"source\":{\"image\":\"other\"}}", "spec.source: cannot change after creation: leave it out");
	expect_patch_error(&probe, "{\"source\":null}", "spec.source: cannot change after creation: leave it out");
	/* What GET showed may come back. */
	decode_well(&probe, FIELD_PATCH, "{\"uid\":\"u-1\",\"serial\":7,\"source\":{\"image\":\"tiny\"},\"cpus\":3}");
	assert_int_equal(probe.cpus, 3);
}

static void test_elements_keep_what_the_system_set(void **state)
{
	auto_probe struct probe probe = { 0 };

	(void)state;
	decode_well(&probe, FIELD_CREATE, "{\"name\":\"web\",\"disks\":[{\"name\":\"a\"},{\"name\":\"b\"}]}");
	text_replace(&field_list_at(&probe.disks, struct probe_disk, 0)->uid, "u-a");
	text_replace(&field_list_at(&probe.disks, struct probe_disk, 1)->uid, "u-b");
	expect_patch_error(&probe, "{\"disks\":[{\"name\":\"a\",\"uid\":\"u-c\"}]}",
			   "spec.disks[0].uid: is set by the system: leave it out");
	decode_well(&probe, FIELD_PATCH, "{\"disks\":[{\"name\":\"b\",\"uid\":\"u-b\",\"slot\":3},{\"name\":\"new\"}]}");
	assert_int_equal(probe.disks.count, 2);
	assert_string_equal(field_list_at(&probe.disks, struct probe_disk, 0)->uid, "u-b");
	assert_int_equal(field_list_at(&probe.disks, struct probe_disk, 0)->slot, 3);
	assert_null(field_list_at(&probe.disks, struct probe_disk, 1)->uid);
}

static void test_secrets_are_hidden_from_people(void **state)
{
	auto_probe struct probe probe = { 0 };
	auto_str struct str out = { 0 };

	(void)state;
	decode_well(&probe, FIELD_CREATE, "{\"name\":\"web\",\"token\":\"secret\"}");
	field_encode_public(&probe_table, &probe, &(struct json_writer){ .out = &out }, NULL);
	assert_non_null(strstr(out.data, "\"token\":\"***\""));
	assert_null(strstr(out.data, "secret"));
	decode_well(&probe, FIELD_PATCH, out.data);
	assert_string_equal(probe.token, "secret");
	decode_well(&probe, FIELD_PATCH, "{\"token\":\"new\"}");
	assert_string_equal(probe.token, "new");
	str_clear(&out);
	field_text(&probe_table, "token", &probe, &out);
	assert_string_equal(out.data, "***");
}

struct seen { char *kept, *derived; };
FIELD_TABLE(seen_table, seen, "What is seen.",
	FIELD(STRING, seen, kept, .doc = "Stored."),
	FIELD(STRING, seen, derived, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Not stored."),
);

static void test_what_is_derived_is_shown_and_not_stored(void **state)
{
	struct seen seen = { .kept = (char *)"one", .derived = (char *)"two" };
	auto_str struct str stored = { 0 }, shown = { 0 };

	(void)state;
	field_encode(&seen_table, &seen, &(struct json_writer){ .out = &stored }, NULL);
	field_encode_public(&seen_table, &seen, &(struct json_writer){ .out = &shown }, NULL);
	assert_string_equal(str_text(&stored), "{\"kept\":\"one\"}");
	assert_string_equal(str_text(&shown), "{\"kept\":\"one\",\"derived\":\"two\"}");
}

static void test_a_huge_string_is_refused_and_shortened(void **state)
{
	auto_str struct str text = { 0 }, expected = { 0 };

	(void)state;
	str_append(&text, "{\"notes\":\"");
	str_reserve(&text, 1 << 20);
	memset(text.data + text.size, 'a', 1 << 20);
	text.size += 1 << 20;
	str_append(&text, "\"}");
	str_append(&expected, "spec.notes: '");
	for (int i = 0; i < 64; i++)
		str_append_char(&expected, 'a');
	str_append(&expected, "...' is too long (1048576 bytes): use at most 65536");
	expect_error(text.data, expected.data);
}

static void test_a_long_list_is_refused_before_it_is_built(void **state)
{
	auto_str struct str text = { 0 };

	(void)state;
	str_append(&text, "{\"tags\":[\"x\"");
	for (int i = 0; i < 100000; i++)
		str_append(&text, ",\"x\"");
	str_append(&text, "]}");
	expect_error(text.data, "spec.tags: 100001 elements are too many: use at most 3");
}

static void record(void *data, const char *place, const char *from, const char *to)
{
	str_printf(data, "%s: %s -> %s\n", place, from ? from : "-", to ? to : "-");
}

static void test_diff_names_every_leaf(void **state)
{
	auto_probe struct probe a = { 0 }, b = { 0 };
	auto_str struct str out = { 0 };

	(void)state;
	decode_well(&a, FIELD_CREATE, full_text);
	assert_int_equal(field_diff(&probe_table, "spec", &a, &a, record, &out), 0);
	decode_well(&b, FIELD_CREATE, "{\"name\":\"web\",\"cpus\":2,\"memory\":\"1GiB\",\"timeout\":\"5s\",\"token\":\"new\","
		    "\"disks\":[{\"name\":\"a\",\"size\":1024,\"slot\":3}],\"tags\":[\"x\",\"q\",\"r\"],"
		    "\"labels\":{\"app\":\"db\",\"new\":\"1\"}}");
	assert_int_equal(field_diff(&probe_table, "spec", &a, &b, record, &out), 20);
	assert_string_equal(out.data,
			    "spec.enabled: false -> true\n"
			    "spec.cpus: 4 -> 2\n"
			    "spec.memory: 512MiB -> 1GiB\n"
			    "spec.quota: 16384PiB -> 0B\n"
			    "spec.timeout: 1m30s -> 5s\n"
			    "spec.born: 2026-11-23T10:00:00.000Z -> -\n"
			    "spec.load: 0.5 -> 0\n"
			    "spec.mode: safe -> auto\n"
			    "spec.notes: a \"b\" -> -\n"
			    "spec.token: *** -> ***\n"
			    "spec.source.image: tiny -> -\n"
			    "spec.source.verify: true -> false\n"
			    "spec.disks[0].slot: 2 -> 3\n"
			    "spec.disks[1].name: b -> -\n"
			    "spec.disks[1].size: 1GiB -> -\n"
			    "spec.tags[1]: y -> q\n"
			    "spec.tags[2]: - -> r\n"
			    "spec.labels.app: web -> db\n"
			    "spec.labels.tier: front -> -\n"
			    "spec.labels.new: - -> 1\n");
}

static void expect_text(const struct probe *probe, const char *path, const char *text)
{
	auto_str struct str out = { 0 };

	field_text(&probe_table, path, probe, &out);
	assert_string_equal(str_text(&out), text);
}

static void test_text_of_a_path(void **state)
{
	auto_probe struct probe probe = { 0 };

	(void)state;
	decode_well(&probe, FIELD_CREATE, full_text);
	expect_text(&probe, "memory", "512MiB");
	expect_text(&probe, "mode", "safe");
	expect_text(&probe, "enabled", "false");
	expect_text(&probe, "timeout", "1m30s");
	expect_text(&probe, "source.image", "tiny");
	expect_text(&probe, "disks", "a, b");
	expect_text(&probe, "disks.size", "1KiB, 1GiB");
	expect_text(&probe, "tags", "x, y");
	expect_text(&probe, "labels", "app=web, tier=front");
	expect_text(&probe, "uid", "");
	expect_text(&probe, "nothing.here", "");
	expect_text(&probe, "source", "");
}

static void test_find(void **state)
{
	(void)state;
	assert_ptr_equal(field_find(&probe_table, "disks.size"), &probe_disk_table.fields[3]);
	assert_ptr_equal(field_find(&probe_table, "name"), &probe_table.fields[0]);
	assert_null(field_find(&probe_table, "nam"));
	assert_null(field_find(&probe_table, "name.size"));
	assert_null(field_find(&probe_table, "disks.none"));
	assert_null(field_find(&probe_table, ""));
}

static void test_nearest(void **state)
{
	static const char *const names[] = { "memory", "cpus", "stop_timeout" };

	(void)state;
	assert_string_equal(field_nearest("memroy", names, 3), "memory");
	assert_string_equal(field_nearest("Memory", names, 3), "memory");
	assert_string_equal(field_nearest("cpu", names, 3), "cpus");
	assert_string_equal(field_nearest("stopTimeout", names, 3), "stop_timeout");
	assert_null(field_nearest("vnc", names, 3));
	assert_null(field_nearest("x", names, 3));
}

static void test_maps_are_kept_in_order(void **state)
{
	auto_probe struct probe probe = { 0 };
	struct field_list *map = &probe.labels;

	(void)state;
	field_map_set(map, "m", "1");
	field_map_set(map, "z", "2");
	field_map_set(map, "a", "3");
	field_map_set(map, "m", "4");
	field_map_set(map, "none", NULL);
	expect_text(&probe, "labels", "a=3, m=4, z=2");
	field_map_set(map, "m", NULL);
	field_map_set(map, "z", NULL);
	expect_text(&probe, "labels", "a=3");
	field_map_set(map, "a", NULL);
	assert_int_equal(map->count, 0);
	assert_null(field_map_get(map, "a"));
}

static void test_explain(void **state)
{
	auto_str struct str out = { 0 };

	(void)state;
	field_explain(&probe_table, "probe.spec", &out);
	assert_true(text_starts_with(out.data, "probe.spec: What a probe should be.\n\n"
				     "  name  (string, 2 to 8 bytes, required)\n      Its name.\n"));
	assert_non_null(strstr(out.data, "\n  memory  (size, 16MiB to 1TiB, default 256MiB)\n"));
	assert_non_null(strstr(out.data, "\n  mode  (one of auto, fast, safe; default auto)\n"));
	assert_non_null(strstr(out.data, "\n  disks  (list of objects, at most 3 elements)\n      Disks.\n"
			       "      name  (string, required)\n"));
	str_clear(&out);
	field_explain_one(field_find(&probe_table, "source"), "probe.source", &out);
	assert_string_equal(out.data, "probe.source  (object, cannot change after creation)\n    Source.\n\n"
			    "  image  (string, required)\n      Name of the image.\n"
			    "  verify  (true or false)\n      Check it.\n");
}

static void test_schema(void **state)
{
	auto_json struct json *json = NULL;
	auto_str struct str out = { 0 };
	const struct json *properties;
	struct err err;

	(void)state;
	field_schema(&probe_table, &(struct json_writer){ .out = &out }, NULL);
	assert_int_equal(json_parse(out.data, out.size, &json, &err), 0);
	properties = json_get(json, "properties");
	assert_string_equal(json_string(json_get(json, "type"), ""), "object");
	assert_false(json_bool(json_get(json, "additionalProperties"), true));
	assert_string_equal(json_string(json_at(json_get(json, "required"), 0), ""), "name");
	assert_int_equal(json_count(properties), probe_table.count);
	assert_int_equal(json_int(json_path(properties, "memory.default"), 0), 256 << 20);
	assert_string_equal(json_string(json_at(json_path(properties, "memory.type"), 1), ""), "string");
	assert_int_equal(json_int(json_path(properties, "cpus.maximum"), 0), 512);
	assert_string_equal(json_string(json_at(json_path(properties, "mode.enum"), 2), ""), "safe");
	assert_true(json_bool(json_path(properties, "uid.readOnly"), false));
	assert_string_equal(json_string(json_path(properties, "disks.items.properties.size.description"), ""), "Its size.");
	assert_string_equal(json_string(json_path(properties, "labels.additionalProperties.type"), ""), "string");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_type_is_read_and_written),
		cmocka_unit_test(test_what_is_stored_reads_back_the_same),
		cmocka_unit_test(test_equality_sees_every_field),
		cmocka_unit_test(test_unset_strings_are_null_or_empty),
		cmocka_unit_test(test_patch_merges),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_units_that_do_not_parse),
		cmocka_unit_test(test_checks_of_the_table),
		cmocka_unit_test(test_required_fields),
		cmocka_unit_test(test_read_only_and_fixed_fields),
		cmocka_unit_test(test_elements_keep_what_the_system_set),
		cmocka_unit_test(test_secrets_are_hidden_from_people),
		cmocka_unit_test(test_what_is_derived_is_shown_and_not_stored),
		cmocka_unit_test(test_a_huge_string_is_refused_and_shortened),
		cmocka_unit_test(test_a_long_list_is_refused_before_it_is_built),
		cmocka_unit_test(test_diff_names_every_leaf),
		cmocka_unit_test(test_text_of_a_path),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_maps_are_kept_in_order),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
