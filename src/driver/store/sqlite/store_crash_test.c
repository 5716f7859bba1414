/*
 * What was acknowledged is there, however the daemon ends.
 *
 * A child commits numbered transactions from several "clients" at once and writes each number to a pipe
 * when it is acknowledged. The parent kills it after a random count of acknowledgements, opens the store
 * and compares; then the next child goes on from there.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "driver/store/sqlite/sqlite.h"
#include "port/store.h"

enum { ROUNDS = 20, CLIENTS = 8, ACKS_MAX = 400, VALUE_SIZE = 700 };

struct writer {
	struct loop *loop;
	struct store *store;
	int ack_fd;
	uint32_t next;
};

struct ticket {
	struct writer *writer;
	uint32_t number;
};

static void write_next(struct writer *writer);

static void acknowledge(void *data, const struct store_result *result)
{
	auto_free struct ticket *ticket = data;

	if (result->err.code || write(ticket->writer->ack_fd, &ticket->number, sizeof(ticket->number)) < 0)
		_exit(1);
	write_next(ticket->writer);
}

/* Each transaction makes a key and moves a common one: both or neither. */
static void write_next(struct writer *writer)
{
	struct store_txn *txn = store_txn_new();
	struct ticket *ticket = alloc(sizeof(*ticket));
	char key[32], value[VALUE_SIZE];

	*ticket = (struct ticket){ writer, writer->next++ };
	snprintf(key, sizeof(key), "n/%08u", ticket->number);
	memset(value, 'a' + (int)(ticket->number % 26), sizeof(value));
	store_txn_guard(txn, STORE_ABSENT, key, 0);
	store_txn_put(txn, key, value, sizeof(value), 0);
	store_txn_put(txn, "last", key, strlen(key), 0);
	store_submit(writer->store, txn, acknowledge, ticket);
}

static void run_writer(const char *path, uint32_t first, int ack_fd)
{
	struct writer writer = { .ack_fd = ack_fd, .next = first };
	struct store_params params = { .path = path };
	struct err err;

	if (loop_new(LOOP_CLOCK_REAL, 0, &writer.loop, &err) < 0 ||
	    store_open(&store_sqlite, &params, writer.loop, &writer.store, &err) < 0)
		_exit(1);
	for (int i = 0; i < CLIENTS; i++)
		write_next(&writer);
	loop_run(writer.loop);
	_exit(1);
}

struct content {
	uint32_t count;
	char last[32];
	uint32_t bad;
};

static int look(void *data, const struct store_kv *kv, struct err *err)
{
	struct content *content = data;
	char expected[32];

	(void)err;
	if (text_equal(kv->key, "last")) {
		snprintf(content->last, sizeof(content->last), "%s", kv->value);
		return 0;
	}
	snprintf(expected, sizeof(expected), "n/%08u", content->count);
	if (!text_equal(kv->key, expected) || kv->value_size != VALUE_SIZE ||
	    kv->value[0] != 'a' + (int)(content->count % 26) || kv->value[0] != kv->value[VALUE_SIZE - 1])
		content->bad++;
	content->count++;
	return 0;
}

static void assert_sound(const char *path)
{
	sqlite3 *db = NULL;
	struct err err = { 0 };

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	if (sqlite_check(db, path, true, &err) < 0)
		fail_msg("%s", err.msg);
	sqlite3_close(db);
}

/* Returns how many numbers the store has: 0 .. count-1 without gaps, the last of them in "last". */
static uint32_t examine(const char *path)
{
	struct store_params params = { .path = path };
	struct store_driver *driver;
	struct content content = { 0 };
	struct err err = { 0 };
	char last[32];
	uint64_t revision;

	if (sqlite_open(&params, &driver, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(store_sqlite.range(driver, "", look, &content, &revision, &err), 0);
	assert_int_equal(content.bad, 0);
	assert_int_equal(revision, content.count);
	if (content.count) {
		snprintf(last, sizeof(last), "n/%08u", content.count - 1);
		assert_string_equal(content.last, last);
	}
	assert_sound(path);
	sqlite_close(driver);
	return content.count;
}

/* Returns the number after the highest one acknowledged; all before it were too, since they are answered in order. */
static uint32_t run_and_kill(const char *path, uint32_t first, uint64_t kill_after)
{
	int fds[2], status;
	uint32_t number, next = first;
	pid_t child;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		run_writer(path, first, fds[1]);
	close(fds[1]);
	while (read(fds[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
		assert_int_equal(number, next);
		next++;
		if (next - first == kill_after)
			kill(child, SIGKILL);
	}
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return next;
}

static void test_everything_acknowledged_survives_kill_9(void **state)
{
	char folder[] = "/tmp/store-crash-XXXXXX";
	auto_free char *path = NULL;
	struct rng rng;
	uint32_t count = 0;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	path = text_format("%s/store.db", folder);
	rng_init(&rng, 20261123);
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t acknowledged = run_and_kill(path, count, 1 + rng_below(&rng, ACKS_MAX));

		count = examine(path);
		assert_true(count >= acknowledged);
	}
	assert_int_equal(file_remove_tree(folder, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_acknowledged_survives_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
