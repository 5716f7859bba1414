/* Keys from store to store: SQLite stands for both, as it needs nobody. */
#include "4-service/cluster/store_copy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { KEYS = 2000 };

struct world { char *folder, *from, *to; };

static int set_up(void **state)
{
	struct world *world = alloc(sizeof(*world));
	const char *tmp = getenv("TMPDIR");

	world->folder = text_format("%s/strata-copy-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(world->folder));
	world->from = text_format("%s/from.db", world->folder);
	world->to = text_format("%s/to.db", world->folder);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err;

	file_remove_tree(world->folder, &err);
	free(world->folder);
	free(world->from);
	free(world->to);
	free(world);
	return 0;
}

static void open_copy(const char *path, struct store_copy *copy)
{
	struct err err = { 0 };

	if (store_copy_open(&store_sqlite, &(struct store_params){ .path = path }, copy, &err) < 0)
		fail_msg("%s", err.msg);
}

static void fill(const char *path)
{
	struct store_copy copy;
	struct err err = { 0 };

	open_copy(path, &copy);
	for (int i = 0; i < KEYS; i++) {
		auto_free char *key = text_format("desired/instance/%d", i), *value = text_format("%d", i);

		assert_int_equal(store_copy_put(&copy, key, value, strlen(value), &err), 0);
	}
	assert_int_equal(store_copy_put(&copy, "claim/empty", "", 0, &err), 0);
	assert_int_equal(store_copy_put(&copy, "claim/zero\xc3\xa4", "a\0b", 3, &err), 0);
	assert_int_equal(store_copy_flush(&copy, &err), 0);
	assert_int_equal(store_copy_verify(&copy, &err), 0);
	/* What belongs to a cluster only. */
	assert_int_equal(store_copy_put(&copy, "token/x", "1", 1, &err), 0);
	assert_int_equal(store_copy_put(&copy, "leader", "1", 1, &err), 0);
	assert_int_equal(store_copy_put(&copy, "cluster/complete", "1", 1, &err), 0);
	assert_int_equal(store_copy_flush(&copy, &err), 0);
	store_copy_close(&copy);
}

struct seen { size_t count; bool has_zero, has_empty, has_other; };

static int look(void *data, const struct store_kv *kv, struct err *err)
{
	struct seen *seen = data;

	(void)err;
	seen->count++;
	seen->has_empty |= text_equal(kv->key, "claim/empty") && kv->value_size == 0;
	seen->has_zero |= text_equal(kv->key, "claim/zero\xc3\xa4") && kv->value_size == 3 && memcmp(kv->value, "a\0b", 3) == 0;
	seen->has_other |= !store_copy_takes(kv->key);
	return 0;
}

static void test_everything_arrives_as_it_is(void **state)
{
	struct world *world = *state;
	struct seen seen = { 0 };
	struct store_copy copy;
	struct err err = { 0 };
	uint64_t revision;

	fill(world->from);
	open_copy(world->to, &copy);
	assert_int_equal(store_copy_all_from(&copy, &store_sqlite, &(struct store_params){ .path = world->from }, &err), 0);
	assert_int_equal(store_copy_verify(&copy, &err), 0);
	assert_int_equal(copy.ops->range(copy.to, "", look, &seen, &revision, &err), 0);
	assert_int_equal(seen.count, KEYS + 2);
	assert_true(seen.has_empty && seen.has_zero && !seen.has_other);
	store_copy_close(&copy);
}

static void test_what_was_there_goes(void **state)
{
	struct world *world = *state;
	struct store_copy copy;
	struct err err = { 0 };

	fill(world->to);
	open_copy(world->to, &copy);
	assert_int_equal(store_copy_verify(&copy, &err), -EIO);
	assert_non_null(strstr(err.msg, "2002"));
	assert_int_equal(store_copy_clear(&copy, &err), 0);
	assert_int_equal(store_copy_verify(&copy, &err), 0);
	store_copy_close(&copy);
}

static void test_a_file_that_is_no_store(void **state)
{
	struct world *world = *state;
	struct store_copy copy;
	struct err err = { 0 };

	assert_int_equal(file_write_atomic(world->from, "root:x:0:0", 10, 0600, &err), 0);
	open_copy(world->to, &copy);
	assert_int_equal(store_copy_all_from(&copy, &store_sqlite, &(struct store_params){ .path = world->from }, &err), -EUCLEAN);
	store_copy_close(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything_arrives_as_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_there_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_file_that_is_no_store, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
