#include "4-service/view.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

static void put(struct view *view, const char *folder, const char *name, const char *json)
{
	view_put(view, folder, name, json, strlen(json));
}

static void test_objects_come_back_and_go(void **state)
{
	struct view *view = view_new();
	auto_view_text struct view_text *kept = NULL;

	(void)state;
	assert_null(view_get(view, "instances", "web"));
	put(view, "instances", "web", "{\"a\":1}");
	kept = view_get(view, "instances", "web");
	assert_string_equal(kept->bytes, "{\"a\":1}");
	assert_int_equal(kept->size, 7);

	put(view, "instances", "web", "{\"a\":2}");
	view_remove(view, "instances", "web");
	view_remove(view, "instances", "web");
	assert_null(view_get(view, "instances", "web"));
	assert_string_equal(kept->bytes, "{\"a\":1}");	/* A text never changes. */
	view_free(view);
}

static void test_revision_is_that_of_meta(void **state)
{
	struct view *view = view_new();
	struct view_text *text;

	(void)state;
	put(view, "instances", "a", "{\"meta\":{\"labels\":{\"revision\":\"x\\\"revision\\\":7\"},\"revision\":42},"
	    "\"status\":{\"revision\":9}}");
	text = view_get(view, "instances", "a");
	assert_int_equal(text->revision, 42);
	view_text_unref(text);

	put(view, "", "version", "{}");
	text = view_get(view, "", "version");
	assert_int_equal(text->revision, view_revision(view));
	view_text_unref(text);
	view_free(view);
}

static void test_list_is_sorted_and_its_revision_rises(void **state)
{
	struct view *view = view_new();
	auto_str struct str out = { 0 };
	uint64_t before, after;

	(void)state;
	assert_true(view_list(view, "instances", &out) > 0);
	assert_string_equal(out.data, "[]");

	put(view, "instances", "b", "2");
	put(view, "instances", "c", "3");
	put(view, "instances", "a", "1");
	str_clear(&out);
	before = view_list(view, "instances", &out);
	assert_string_equal(out.data, "[1,2,3]");

	put(view, "images", "x", "1");		/* Another folder is another list. */
	assert_int_equal(view_list(view, "instances", NULL), before);
	put(view, "instances", "a", "1");		/* The same again is no change. */
	assert_int_equal(view_list(view, "instances", NULL), before);

	view_remove(view, "instances", "b");
	str_clear(&out);
	after = view_list(view, "instances", &out);
	assert_string_equal(out.data, "[1,3]");
	assert_true(after > before);

	view_remove(view, "instances", "a");
	view_remove(view, "instances", "c");
	assert_true(view_list(view, "instances", NULL) > after);
	view_free(view);
}

static void test_events_are_a_ring(void **state)
{
	struct view *view = view_new();
	auto_str struct str out = { 0 };

	(void)state;
	assert_int_equal(view_events(view, 5, 10, &out), 5);
	for (int id = 1; id <= LIMIT_EVENTS_KEPT + 3; id++) {
		char text[16];
		int length = snprintf(text, sizeof(text), "%d", id * 2);

		view_add_event(view, id * 2, text, (size_t)length);
	}
	assert_int_equal(view_events(view, 0, 2, &out), 10);
	assert_string_equal(out.data, "8\n10\n");	/* 2, 4 and 6 have been pushed out. */
	str_clear(&out);
	assert_int_equal(view_events(view, 9, 1, &out), 10);
	str_clear(&out);
	assert_int_equal(view_events(view, 2 * LIMIT_EVENTS_KEPT + 4, 10, &out), 2 * LIMIT_EVENTS_KEPT + 6);
	str_clear(&out);
	assert_int_equal(view_events(view, 2 * LIMIT_EVENTS_KEPT + 6, 10, &out), 2 * LIMIT_EVENTS_KEPT + 6);
	assert_int_equal(out.size, 0);
	view_free(view);
}

static void count_call(void *data)
{
	++*(int *)data;
}

static void test_listener_is_called_once_until_somebody_reads(void **state)
{
	struct view *view = view_new();
	int calls = 0;

	(void)state;
	view_listen(view, count_call, &calls);
	put(view, "instances", "a", "1");
	put(view, "instances", "a", "2");
	assert_int_equal(calls, 1);
	view_revision(view);
	put(view, "instances", "a", "2");
	assert_int_equal(calls, 1);
	view_add_event(view, 1, "{}", 2);
	assert_int_equal(calls, 2);
	view_list(view, "images", NULL);
	view_remove(view, "instances", "a");
	assert_int_equal(calls, 3);
	view_listen(view, NULL, NULL);
	view_revision(view);
	put(view, "instances", "a", "1");
	assert_int_equal(calls, 3);
	view_free(view);
}

static void *write_many(void *data)
{
	for (int i = 0; i < 20000; i++) {
		char text[32];
		int length = snprintf(text, sizeof(text), "{\"revision\":%d}", i);

		view_put(data, "instances", i % 2 ? "a" : "b", text, (size_t)length);
		view_add_event(data, i + 1, text, (size_t)length);
	}
	return NULL;
}

static void test_readers_and_a_writer_at_once(void **state)
{
	struct view *view = view_new();
	pthread_t writer;
	uint64_t last = 0;
	int64_t event = 0;

	(void)state;
	assert_int_equal(pthread_create(&writer, NULL, write_many, view), 0);
	while (event < 20000) {
		auto_view_text struct view_text *text = view_get(view, "instances", "a");
		auto_str struct str out = { 0 };

		assert_true(!text || text->revision >= last);
		last = text ? text->revision : 0;
		event = view_events(view, event, 100, &out);
	}
	pthread_join(writer, NULL);
	view_free(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_come_back_and_go),
		cmocka_unit_test(test_revision_is_that_of_meta),
		cmocka_unit_test(test_list_is_sorted_and_its_revision_rises),
		cmocka_unit_test(test_events_are_a_ring),
		cmocka_unit_test(test_listener_is_called_once_until_somebody_reads),
		cmocka_unit_test(test_readers_and_a_writer_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
