/* Short forms for containers, keys that detach, GPUs, schedules: what needs no daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "5-interface/cli/container_text.h"
#include "5-interface/cli/detach.h"
#include "5-interface/cli/gpus.h"
#include "5-interface/cli/pull.h"
#include "5-interface/cli/request.h"
#include "base/file.h"
#include "base/mem.h"

typedef int parse_fn(const char *text, struct json **ret_json, struct err *err);

/* 'expected' null: it must be refused. */
static void check(parse_fn *parse, const char *text, const char *expected)
{
	auto_json struct json *json = NULL;
	auto_free char *written = NULL;
	struct err err;
	int result = parse(text, &json, &err);

	assert_int_equal(result, expected ? 0 : CLI_USAGE);
	if (!expected)
		return;
	written = json_text(json, 0);
	assert_string_equal(written, expected);
}

static void words_are_split_as_a_shell_would(void **state)
{
	(void)state;
	check(container_words, "", "[]");
	check(container_words, "  sh  -c\t'a b' ", "[\"sh\",\"-c\",\"a b\"]");
	check(container_words, "\"it's\" a\\ b '\\' x\"y z\"", "[\"it's\",\"a b\",\"\\\\\",\"xy z\"]");
	check(container_words, "''", "[\"\"]");
	check(container_words, "[\"a\", \"b c\"]", "[\"a\",\"b c\"]");
	check(container_words, "[\"a\"", NULL);
	check(container_words, "[\"a\",1]", NULL);
	check(container_words, "'a", NULL);
}

static void mounts_are_read_in_both_forms(void **state)
{
	(void)state;
	check(container_mount, "volume=data,target=/srv,ro", "{\"kind\":\"volume\",\"source\":\"data\",\"target\":\"/srv\",\"read_only\":true}");
	check(container_mount, "type=bind,source=/a=b,dst=/x,rw", "{\"kind\":\"bind\",\"source\":\"/a=b\",\"target\":\"/x\"}");
	check(container_mount, "tmpfs,target=/t,size=1G", "{\"kind\":\"tmpfs\",\"target\":\"/t\",\"size\":\"1G\"}");
	check(container_mount, "tmpfs=x,target=/t", NULL);
	check(container_mount, "", NULL);
	check(container_volume, "data:/srv:rw", "{\"kind\":\"volume\",\"source\":\"data\",\"target\":\"/srv\"}");
	check(container_volume, "data:srv", NULL);
	check(container_volume, ":/srv", NULL);
	check(container_volume, "data:/srv:rx", NULL);
	check(container_tmpfs, "/t:size=1M,ro", "{\"kind\":\"tmpfs\",\"target\":\"/t\",\"size\":\"1M\",\"read_only\":true}");
}

static void references_are_completed(void **state)
{
	static const struct { const char *text, *whole; } cases[] = {
		{ "busybox", "docker.io/library/busybox:latest" }, { "busybox:1.36", "docker.io/library/busybox:1.36" },
		{ "team/app", "docker.io/team/app:latest" }, { "quay.io/team/app:2", "quay.io/team/app:2" },
		{ "localhost/app", "localhost/app:latest" }, { "host:5000/app", "host:5000/app:latest" },
		{ "app@sha256:00", "docker.io/library/app@sha256:00" }, { "quay.io/a/b/c@sha256:00", "quay.io/a/b/c@sha256:00" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		auto_free char *whole = pull_reference(cases[i].text);

		assert_string_equal(whole, cases[i].whole);
	}
}

/* Keys one by one and all at once must come to the same. */
static void check_keys(const char *keys, const char *typed, const char *expected, bool is_pressed)
{
	struct detach whole, single;
	char out[64] = "", one[64] = "";
	bool whole_pressed, pressed = false;
	struct err err;
	size_t count = 0;

	assert_int_equal(detach_parse(keys, &whole, &err), 0);
	single = whole;
	out[detach_filter(&whole, typed, strlen(typed), out, &whole_pressed)] = '\0';
	for (size_t i = 0; typed[i] && !pressed; i++)
		count += detach_filter(&single, typed + i, 1, one + count, &pressed);
	one[count] = '\0';
	assert_string_equal(out, expected);
	assert_string_equal(one, expected);
	assert_int_equal(whole_pressed, is_pressed);
	assert_int_equal(pressed, is_pressed);
}

static void detach_keys_are_found_across_reads(void **state)
{
	struct detach detach;
	struct err err;

	(void)state;
	check_keys("ctrl-p,ctrl-q", "ls\n", "ls\n", false);
	check_keys("ctrl-p,ctrl-q", "a\x10\x11" "b", "a", true);
	check_keys("ctrl-p,ctrl-q", "a\x10" "b\x11", "a\x10" "b\x11", false);
	check_keys("ctrl-p,ctrl-q", "\x10\x10\x11", "\x10", true);
	check_keys("ctrl-p,ctrl-q", "a\x10", "a", false);
	check_keys("^A,d", "\x01x\x01" "d", "\x01x", true);
	check_keys("x", "axb", "a", true);
	check_keys("none", "a\x10\x11" "b", "a\x10\x11" "b", false);
	assert_int_equal(detach_parse("ctrl-1", &detach, &err), CLI_USAGE);
	assert_int_equal(detach_parse("", &detach, &err), CLI_USAGE);
	assert_int_equal(detach_parse("a,,b", &detach, &err), CLI_USAGE);
	assert_int_equal(detach_parse("a,a,a,a,a,a,a,a,a", &detach, &err), CLI_USAGE);
}

/* "0 2 ctl": the last characters of the devices. */
static void check_gpus(const char *folder, const char *text, int code, const char *expected)
{
	auto_json struct json *devices = json_new_array();
	auto_str struct str names = { 0 };
	struct err err;

	assert_int_equal(gpus_add(folder, text, devices, &err), code);
	for (size_t i = 0; i < json_count(devices); i++)
		str_printf(&names, i ? " %s" : "%s", json_string(json_at(devices, i), "") + strlen(folder) + strlen("/nvidia"));
	assert_string_equal(str_text(&names), expected);
}

static void gpus_become_the_devices_that_are_there(void **state)
{
	static const char *const names[] = { "nvidia0", "nvidia2", "nvidia10", "nvidiactl", "nvidia-uvm" };
	char folder[] = "/tmp/cli-gpus-XXXXXX";
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	check_gpus(folder, "all", -ENODEV, "");
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		auto_free char *path = text_format("%s/%s", folder, names[i]);
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fclose(file);
	}
	check_gpus(folder, "all", 0, "0 2 10 ctl -uvm");
	check_gpus(folder, "2", 0, "0 2 ctl -uvm");
	check_gpus(folder, "4", -ENODEV, "");
	check_gpus(folder, "10,0", 0, "0 10 ctl -uvm");
	check_gpus(folder, "device=2", 0, "2 ctl -uvm");
	check_gpus(folder, "0,1", -ENODEV, "");
	check_gpus(folder, "0", CLI_USAGE, "");
	check_gpus(folder, "some", CLI_USAGE, "");
	check_gpus(folder, "0,x", CLI_USAGE, "");
	check_gpus(folder, "99999999999999999999", CLI_USAGE, "");
	assert_int_equal(file_remove_tree(folder, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_split_as_a_shell_would),
		cmocka_unit_test(mounts_are_read_in_both_forms),
		cmocka_unit_test(references_are_completed),
		cmocka_unit_test(detach_keys_are_found_across_reads),
		cmocka_unit_test(gpus_become_the_devices_that_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
