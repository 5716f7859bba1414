#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/yaml.h"

static void expect_json(const char *text, const char *json)
{
	auto_yaml struct yaml_documents documents = { 0 };
	auto_str struct str out = { 0 };
	struct err err = { 0 };

	if (yaml_parse(text, strlen(text), &documents, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	for (size_t i = 0; i < documents.values.count; i++) {
		if (i)
			str_append_char(&out, ' ');
		json_write_value(&(struct json_writer){ .out = &out }, NULL, documents.values.items[i]);
	}
	assert_string_equal(str_text(&out), json);
}

static void expect_error(const char *text, const char *message)
{
	struct yaml_documents documents = { 0 };
	struct err err = { 0 };

	assert_int_equal(yaml_parse(text, strlen(text), &documents, &err), -EINVAL);
	assert_int_equal(documents.values.count, 0);
	assert_string_equal(err.msg, message);
}

static void expect_round_trip(const char *json, const char *yaml)
{
	auto_json struct json *value = NULL;
	auto_str struct str out = { 0 };
	struct err err = { 0 };

	assert_int_equal(json_parse(json, strlen(json), &value, &err), 0);
	yaml_write(value, &out);
	if (yaml)
		assert_string_equal(out.data, yaml);
	expect_json(out.data, json);
}

static void test_a_manifest(void **state)
{
	(void)state;
	expect_json("kind: instance\n"
		    "meta:\n"
		    "  name: web     # a comment\n"
		    "  labels: {tier: front, \"on\": 'yes'}\n"
		    "spec:\n"
		    "  memory: 512MiB\n"
		    "  cpus: 2\n"
		    "  vnc: true\n"
		    "  load: 0.5\n"
		    "  nics:\n"
		    "  - network: default\n"
		    "  - {network: back}\n"
		    "  user_data: |\n"
		    "    #cloud-config\n"
		    "    a: b\n",
		    "{\"kind\":\"instance\",\"meta\":{\"name\":\"web\",\"labels\":{\"tier\":\"front\",\"on\":\"yes\"}},"
		    "\"spec\":{\"memory\":\"512MiB\",\"cpus\":2,\"vnc\":true,\"load\":0.5,"
		    "\"nics\":[{\"network\":\"default\"},{\"network\":\"back\"}],"
		    "\"user_data\":\"#cloud-config\\na: b\\n\"}}");
}

static void test_scalars_are_typed_as_in_json(void **state)
{
	(void)state;
	expect_json("[null, ~, true, false, 1, -1, 1.5, 1e3]", "[null,null,true,false,1,-1,1.5,1000.0]");
	expect_json("a:\nb: 1", "{\"a\":null,\"b\":1}");
	expect_json("[yes, No, on, TRUE, Null, 0x10, 010, 1_000, 10:30, .5, +1, .inf, 2026-11-23, 512MiB, -]",
		    "[\"yes\",\"No\",\"on\",\"TRUE\",\"Null\",\"0x10\",\"010\",\"1_000\",\"10:30\",\".5\",\"+1\",\".inf\","
		    "\"2026-11-23\",\"512MiB\",\"-\"]");
	expect_json("['1', \"true\", '']", "[\"1\",\"true\",\"\"]");
	expect_json("1: a\ntrue: b\n~: c", "{\"1\":\"a\",\"true\":\"b\",\"~\":\"c\"}");
}

static void test_several_documents(void **state)
{
	(void)state;
	expect_json("a: 1\n---\nb: 2\n...\n---\n- 3\n", "{\"a\":1} {\"b\":2} [3]");
	expect_json("---\na: 1\n---\n", "{\"a\":1}");
	expect_json("", "");
	expect_json("# only a comment\n", "");
	expect_json("{\"json\": [1, \"is\", {\"yaml\": null}]}", "{\"json\":[1,\"is\",{\"yaml\":null}]}");
}

static void test_errors_name_the_place(void **state)
{
	(void)state;
	expect_error("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4, column 3: key 'c' appears twice: remove one");
	expect_error("a: &x 1\n", "line 1, column 4: anchors and aliases ('x') are not allowed: write the value out");
	expect_error("a: &x [1]\n", "line 1, column 4: anchors and aliases ('x') are not allowed: write the value out");
	expect_error("b: *x\n", "line 1, column 4: anchors and aliases ('x') are not allowed: write the value out");
	expect_error("&x a: 1\n", "line 1, column 1: anchors and aliases ('x') are not allowed: write the value out");
	expect_error("a: !!str 1\n", "line 1, column 4: tags ('tag:yaml.org,2002:str') are not allowed: remove it");
	expect_error("- !foo {a: 1}\n", "line 1, column 3: tags ('!foo') are not allowed: remove it");
	expect_error("[a, b]: 1\n", "line 1, column 1: a key must be plain text, not a list or an object");
	expect_error("a: \"\\0\"\n", "line 1, column 4: a zero byte ('\\0') is not allowed in a string: remove it");
	expect_error("a: 99999999999999999999\n",
		     "line 1, column 4: number 99999999999999999999 is too large: use at most 64 bits");
	expect_error("\na: 1e400\n", "line 2, column 4: number 1e400 is too large: use at most 1.7e308");
	expect_error("\xc3\xa4: 1\nb: \xff\n", "line 2, column 4: byte 0xff is not UTF-8 text: save the file as UTF-8");
	expect_error("a: [1, 2\nb: 3\n", "line 2, column 2: while parsing a flow sequence: did not find expected ',' or ']'");
	expect_error("a: b: c\n", "line 1, column 5: mapping values are not allowed in this context");
	expect_error("\ta: 1\n", "line 1, column 1: while scanning for the next token: found character that cannot start any token");
}

static void test_depth_and_size_are_limited(void **state)
{
	struct yaml_documents documents = { 0 };
	auto_str struct str text = { 0 };
	struct err err;

	(void)state;
	for (int i = 0; i < 10000; i++)
		str_append_char(&text, '[');
	expect_error(text.data, "line 1, column 33: lists and objects are nested more than 32 deep: flatten them");
	str_clear(&text);
	for (int i = 0; i < 10000; i++)
		str_append(&text, "- ");
	expect_error(text.data, "line 1, column 65: lists and objects are nested more than 32 deep: flatten them");
	str_reserve(&text, LIMIT_MANIFEST_BYTES + 1);
	assert_int_equal(yaml_parse(text.data, LIMIT_MANIFEST_BYTES + 1, &documents, &err), -EFBIG);
	assert_string_equal(err.msg, "the file has 4194305 bytes: use at most 4194304");
}

static void test_what_is_written_reads_back(void **state)
{
	(void)state;
	expect_round_trip("{\"name\":\"web\",\"cpus\":2,\"list\":[1,\"a\"],\"none\":[],\"empty\":{},\"nil\":null,\"on\":true}",
			  "name: web\ncpus: 2\nlist:\n- 1\n- a\nnone: []\nempty: {}\nnil: null\n'on': true\n");
	expect_round_trip("[\"\",\"~\",\"null\",\"true\",\"1\",\"-1\",\"1e3\",\"no\",\"10:30\",\" x\",\"x \",\"# x\",\"a: b\",\"- a\"]",
			  "- ''\n- '~'\n- 'null'\n- 'true'\n- '1'\n- '-1'\n- '1e3'\n- 'no'\n- '10:30'\n- ' x'\n- 'x '\n"
			  "- '# x'\n- 'a: b'\n- '- a'\n");
	expect_round_trip("{\"script\":\"#!/bin/sh\\necho 1\\n\"}", "script: |\n  #!/bin/sh\n  echo 1\n");
	expect_round_trip("{\"t\":\"one\\ntwo\"}", "t: |-\n  one\n  two\n");
	expect_round_trip("[\"a\\r\\nb\",\"\\ttab\",\"\\u001b[0m\",\"a\\n\\n\",\"\\n\",\" \\n x\\n\",\"\xe2\x80\xa8\",\"\xef\xbb\xbfx\"]", NULL);
	expect_round_trip("[[[]],[{}],{\"a\":{\"b\":[]}},1.5,0.1,1e+300,-9223372036854775808,18446744073709551615]", NULL);
	expect_round_trip("{\"multi\\nline\":1,\"\":2,\"true\":3,\"\xc3\xa4\":\"\xf0\x9f\x98\x80\"}", NULL);
	expect_round_trip("\"text\"", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_manifest),
		cmocka_unit_test(test_scalars_are_typed_as_in_json),
		cmocka_unit_test(test_several_documents),
		cmocka_unit_test(test_errors_name_the_place),
		cmocka_unit_test(test_depth_and_size_are_limited),
		cmocka_unit_test(test_what_is_written_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
