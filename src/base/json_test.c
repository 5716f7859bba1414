#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"

static struct json *parse(const char *text)
{
	struct json *json = NULL;
	struct err err = { 0 };

	if (json_parse(text, strlen(text), &json, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return json;
}

static void expect_error_size(const char *text, size_t size, const char *message)
{
	struct json *json = NULL;
	struct err err = { 0 };

	assert_int_equal(json_parse(text, size, &json, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_null(json);
	assert_string_equal(err.msg, message);
}

static void expect_error(const char *text, const char *message)
{
	expect_error_size(text, strlen(text), message);
}

/* Parsed and written again. */
static void expect_same(const char *text, const char *written)
{
	auto_json struct json *json = parse(text);
	auto_str struct str out = { 0 };

	json_write_value(&(struct json_writer){ .out = &out }, NULL, json);
	assert_string_equal(out.data, written);
}

static void test_values_have_their_types(void **state)
{
	auto_json struct json *json = parse(" { \"n\": null, \"b\": true, \"i\": -7, \"u\": 18446744073709551615,"
					    "\"d\": 1.5, \"s\": \"text\", \"a\": [1, [2]], \"o\": {\"x\": {\"y\": 3}} } ");

	(void)state;
	assert_int_equal(json_type(json), JSON_OBJECT);
	assert_int_equal(json_count(json), 8);
	assert_int_equal(json_type(json_get(json, "n")), JSON_NULL);
	assert_int_equal(json_type(json_get(json, "missing")), JSON_ABSENT);
	assert_true(json_bool(json_get(json, "b"), false));
	assert_int_equal(json_int(json_get(json, "i"), 0), -7);
	assert_int_equal(json_type(json_get(json, "u")), JSON_UINT);
	assert_true(json_uint(json_get(json, "u"), 0) == UINT64_MAX);
	assert_true(json_double(json_get(json, "d"), 0) == 1.5);
	assert_string_equal(json_string(json_get(json, "s"), ""), "text");
	assert_int_equal(json_int(json_at(json_at(json_get(json, "a"), 1), 0), 0), 2);
	assert_int_equal(json_int(json_path(json, "o.x.y"), 0), 3);
	assert_null(json_path(json, "o.x.z.y"));
	assert_null(json_at(json_get(json, "a"), 2));
}

static void test_wrong_types_read_as_the_fallback(void **state)
{
	auto_json struct json *json = parse("{\"s\": \"1\", \"i\": -1, \"d\": 2.5}");
	const struct json *text = json_get(json, "s");

	(void)state;
	assert_int_equal(json_int(text, 42), 42);
	assert_true(json_bool(text, true));
	assert_int_equal(json_uint(json_get(json, "i"), 42), 42);
	assert_int_equal(json_int(json_get(json, "d"), 42), 42);
	assert_string_equal(json_string(json_get(json, "i"), "none"), "none");
	assert_string_equal(json_string(NULL, "none"), "none");
	assert_int_equal(json_count(text), 0);
	assert_null(json_get(text, "x"));
	assert_true(json_double(json_get(json, "i"), 0) == -1.0);
}

static void test_members_come_in_the_order_of_the_text(void **state)
{
	auto_json struct json *json = parse("{\"z\": 0, \"a\": 1, \"m\": null}");
	const char *const names[] = { "z", "a", "m" };
	const char *key = NULL;
	size_t i = 0;

	(void)state;
	for (struct json_cursor at = { 0 }; json_next(json, &at); i++)
		assert_string_equal(at.key, names[i]);
	assert_int_equal(i, 3);
	assert_int_equal(json_int(json_member(json, 1, &key), -1), 1);
	assert_string_equal(key, "a");
	assert_null(json_member(json, 3, &key));
}

static void test_numbers_at_their_limits(void **state)
{
	(void)state;
	expect_same("9223372036854775807", "9223372036854775807");
	expect_same("-9223372036854775808", "-9223372036854775808");
	expect_same("18446744073709551615", "18446744073709551615");
	expect_same("[0, -0, 1e2, 1E-2, 0.1, 123456789.123456789]", "[0,0,100.0,0.01,0.1,123456789.12345679]");
	expect_same("1.7976931348623157e308", "1.7976931348623157e+308");
	expect_same("1e-400", "0.0");
	expect_error("18446744073709551616",
		     "line 1, column 1: number 18446744073709551616 is too large: use at most 64 bits");
	expect_error("-9223372036854775809",
		     "line 1, column 1: number -9223372036854775809 is too large: use at most 64 bits");
	expect_error("{\"a\": 99999999999999999999}",
		     "line 1, column 7: number 99999999999999999999 is too large: use at most 64 bits");
	expect_error("[1e400]", "line 1, column 2: number 1e400 is too large: use at most 1.7e308");
	expect_error("[-1e400]", "line 1, column 2: number -1e400 is too large: use at most 1.7e308");
}

static void test_things_that_are_no_numbers(void **state)
{
	static const char *const texts[] = { "01", "-", "1.", "1.e3", "1e", "1e+", "--1", "1-2", "-01", "1.5.6" };

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		auto_free char *message = text_format("line 1, column 1: '%s' is not a number", texts[i]);

		expect_error(texts[i], message);
	}
	expect_error("+1", "line 1, column 1: expected a value, not '+'");
	expect_error(".5", "line 1, column 1: expected a value, not '.'");
	expect_error("NaN", "line 1, column 1: expected a value, not 'N'");
	expect_error("-Infinity", "line 1, column 1: '-' is not a number");
	expect_error("0x10", "line 1, column 2: expected the end after the value, not 'x'");
}

static void test_syntax_errors_name_the_place(void **state)
{
	(void)state;
	expect_error("", "line 1, column 1: expected a value, but the text ends here");
	expect_error("  \n ", "line 2, column 2: expected a value, but the text ends here");
	expect_error("{\"a\" 1}", "line 1, column 6: expected ':' after the key, not '1'");
	expect_error("{\"a\": 1,}", "line 1, column 9: expected a key in '\"', not '}'");
	expect_error("{a: 1}", "line 1, column 2: expected a key in '\"', not 'a'");
	expect_error("[1 2]", "line 1, column 4: expected ',' or ']', not '2'");
	expect_error("[1,]", "line 1, column 4: expected a value, not ']'");
	expect_error("{\"a\": 1", "line 1, column 8: expected ',' or '}', but the text ends here");
	expect_error("{\"a\":\n  tru}", "line 2, column 3: expected a value, not 't'");
	expect_error("true false", "line 1, column 6: expected the end after the value, not 'f'");
	expect_error("{} // comment", "line 1, column 4: expected the end after the value, not '/'");
	expect_error("[\"\xc3\xa4\xe2\x82\xac\", ?]", "line 1, column 8: expected a value, not '?'");
	expect_error("\xe2\x82\xac", "line 1, column 1: expected a value, not '\xe2\x82\xac'");
	expect_error("\xef\xbb\xbf{}", "line 1, column 1: expected a value, not '\xef\xbb\xbf'");
	expect_error("\"abc", "line 1, column 5: expected '\"' at the end of the string, but the text ends here");
	expect_error_size("{}\0", 3, "line 1, column 3: expected the end after the value, not byte 0x00");
}

static void test_duplicate_keys_are_refused(void **state)
{
	(void)state;
	expect_error("{\"a\": 1,\n \"b\": {\"x\": 1,\n  \"x\": 2}}",
		     "line 3, column 3: key 'x' appears twice in one object: remove one");
	expect_error("{\"a\": 1, \"\\u0061\": 2}", "line 1, column 10: key 'a' appears twice in one object: remove one");
	expect_error("{\"a\": null, \"a\": {\"deep\": [1]}}",
		     "line 1, column 13: key 'a' appears twice in one object: remove one");
	expect_same("[{\"a\":1},{\"a\":{\"a\":1}}]", "[{\"a\":1},{\"a\":{\"a\":1}}]");
}

static void test_strings_are_decoded_and_checked(void **state)
{
	(void)state;
	expect_same("\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t\"", "\"\\\" \\\\ / \\b\\f\\n\\r\\t\"");
	expect_same("\"\\u00e4 \\u20ac \\ud83d\\ude00 \\u007f\"", "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \\u007f\"");
	expect_same("{\"\\u006bey\\n\": \"\"}", "{\"key\\n\":\"\"}");
	expect_error("\"\\u0000\"", "line 1, column 2: '\\u0000' is not allowed in a string: remove it");
	expect_error("\"\\ud83d\"", "line 1, column 2: '\\ud83d' is half of a surrogate pair: give both halves or neither");
	expect_error("\"\\ude00\"", "line 1, column 2: '\\ude00' is half of a surrogate pair: give both halves or neither");
	expect_error("\"\\ud83d\\u0041\"",
		     "line 1, column 2: '\\ud83d' is half of a surrogate pair: give both halves or neither");
	expect_error("\"\\u12g4\"", "line 1, column 6: expected four hexadecimal digits after '\\u', not 'g'");
	expect_error("\"\\x\"", "line 1, column 3: expected one of \" \\ / b f n r t u after '\\', not 'x'");
	expect_error("\"\\", "line 1, column 3: expected one of \" \\ / b f n r t u after '\\', but the text ends here");
	expect_error("\"a\nb\"", "line 1, column 3: control character 0x0a in a string: write it as '\\u000a'");
	expect_error("\"a\xff\"", "line 1, column 3: byte 0xff is not UTF-8: save the text as UTF-8");
	expect_error("\"\xc0\x80\"", "line 1, column 2: byte 0xc0 is not UTF-8: save the text as UTF-8");
	expect_error("{\"\xed\xa0\x80\": 1}", "line 1, column 3: byte 0xed is not UTF-8: save the text as UTF-8");
	expect_error("\"\xe2\x82", "line 1, column 2: byte 0xe2 is not UTF-8: save the text as UTF-8");
}

static void test_depth_is_limited(void **state)
{
	auto_str struct str text = { 0 };

	(void)state;
	for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
		str_append_char(&text, '[');
	for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
		str_append_char(&text, ']');
	json_free(parse(text.data));
	str_clear(&text);
	for (int i = 0; i < 10000; i++)
		str_append(&text, "[");
	expect_error(text.data, "line 1, column 33: lists and objects are nested more than 32 deep: flatten them");
}

static void test_many_keys_and_long_texts(void **state)
{
	auto_str struct str text = { 0 };
	auto_json struct json *json = NULL;

	(void)state;
	str_append_char(&text, '{');
	for (int i = 0; i < 20000; i++)
		str_printf(&text, "%s\"key-%d\": %d", i ? "," : "", i, i);
	str_append(&text, ",\"key-7\": 0}");
	expect_error(text.data, "line 1, column 357782: key 'key-7' appears twice in one object: remove one");
	text.size -= strlen(",\"key-7\": 0}");
	text.data[text.size] = '\0';
	str_append_char(&text, '}');
	json = parse(text.data);
	assert_int_equal(json_count(json), 20000);
	assert_int_equal(json_int(json_get(json, "key-19999"), 0), 19999);
}

static void test_values_built_by_hand(void **state)
{
	auto_json struct json *object = json_new_object();
	auto_str struct str out = { 0 };
	struct json *array = json_new_array(), *refused = json_new_int(2);

	(void)state;
	json_push(array, json_new_null());
	json_push(array, json_new_double(2));
	json_push(array, json_new_bool(false));
	json_push(array, json_new_uint(UINT64_MAX));
	json_push(array, json_new_string("bad \xff byte"));
	json_set(object, "list", array);
	json_set(object, "n", json_new_int(1));
	json_set(object, "n", json_new_null());
	assert_false(json_add(object, "n", refused));
	json_free(refused);
	json_write_value(&(struct json_writer){ .out = &out }, NULL, object);
	assert_string_equal(out.data, "{\"list\":[null,2.0,false,18446744073709551615,\"bad \xef\xbf\xbd byte\"],\"n\":null}");
}

static void test_the_writer_never_writes_what_is_not_json(void **state)
{
	auto_str struct str out = { 0 };
	struct json_writer writer = { .out = &out };

	(void)state;
	json_write_object(&writer, NULL);
	json_write_double(&writer, "inf", INFINITY);
	json_write_double(&writer, "nan", NAN);
	json_write_string(&writer, "null", NULL);
	json_write_string_size(&writer, "zero", "a\0b", 3);
	json_write_string(&writer, "utf\xff", "\xf0\x9f\x98 \x1b[0m \"q\"");
	json_write_int(&writer, "min", INT64_MIN);
	json_write_raw(&writer, "raw", "[1]");
	json_write_end_object(&writer);
	assert_string_equal(out.data, "{\"inf\":null,\"nan\":null,\"null\":null,\"zero\":\"a\\u0000b\","
			    "\"utf\xef\xbf\xbd\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \\u001b[0m \\\"q\\\"\","
			    "\"min\":-9223372036854775808,\"raw\":[1]}");
}

static void test_the_writer_escapes_what_must_be_at_each_place(void **state)
{
	(void)state;
	for (int c = 1; c < 0x80; c++)
		for (size_t at = 0; at < 19; at++) {
			auto_str struct str out = { 0 };
			auto_json struct json *json = NULL;
			struct json_writer writer = { .out = &out };
			char text[20] = "abcdefghijklmnopqrs";
			struct err err;

			text[at] = (char)c;
			json_write_string(&writer, NULL, text);
			assert_int_equal(out.size == 21, c >= ' ' && c != '"' && c != '\\' && c != 0x7f);
			assert_int_equal(json_parse(out.data, out.size, &json, &err), 0);
			assert_string_equal(json_string(json, ""), text);
		}
}

static void test_pretty_form(void **state)
{
	auto_json struct json *json = parse("{\"a\":[1,{\"b\":[]}],\"c\":{}}");
	auto_str struct str out = { 0 };

	(void)state;
	json_write_value(&(struct json_writer){ .out = &out, .indent = 2 }, NULL, json);
	assert_string_equal(out.data, "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}");
}

static void test_null_is_a_value(void **state)
{
	auto_json struct json *json = parse("null");

	(void)state;
	assert_int_equal(json_type(json), JSON_NULL);
	assert_int_equal(json_type(NULL), JSON_ABSENT);
	assert_string_equal(json_type_name(JSON_NULL), "null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_have_their_types),
		cmocka_unit_test(test_wrong_types_read_as_the_fallback),
		cmocka_unit_test(test_members_come_in_the_order_of_the_text),
		cmocka_unit_test(test_numbers_at_their_limits),
		cmocka_unit_test(test_things_that_are_no_numbers),
		cmocka_unit_test(test_syntax_errors_name_the_place),
		cmocka_unit_test(test_duplicate_keys_are_refused),
		cmocka_unit_test(test_strings_are_decoded_and_checked),
		cmocka_unit_test(test_depth_is_limited),
		cmocka_unit_test(test_many_keys_and_long_texts),
		cmocka_unit_test(test_values_built_by_hand),
		cmocka_unit_test(test_the_writer_never_writes_what_is_not_json),
		cmocka_unit_test(test_the_writer_escapes_what_must_be_at_each_place),
		cmocka_unit_test(test_pretty_form),
		cmocka_unit_test(test_null_is_a_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
