/* The conformance suite, and what is this driver's own: the file, its checks, backup and restore. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/store/sqlite/restore.h"
#include "driver/store/sqlite/sqlite.h"
#include "port/store.h"
#include "port/store_conformance.h"

struct fixture {
	char folder[40];
	char *path;			/* Of the store. */
	char *backup;			/* A name for one, nothing there yet. */
	struct store_driver *driver;
	struct err err;
};

static int try_open(struct fixture *fixture)
{
	struct store_params params = { .path = fixture->path };

	return sqlite_open(&params, &fixture->driver, &fixture->err);
}

static void open_store(struct fixture *fixture)
{
	if (try_open(fixture) < 0)
		fail_msg("%s", fixture->err.msg);
}

static void close_store(struct fixture *fixture)
{
	sqlite_close(take(fixture->driver));
}

static int setup(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));

	*state = fixture;
	strcpy(fixture->folder, "/tmp/store-sqlite-XXXXXX");
	if (!mkdtemp(fixture->folder))
		return -1;
	fixture->path = text_format("%s/store.db", fixture->folder);
	fixture->backup = text_format("%s/backup", fixture->folder);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	sqlite_close(fixture->driver);
	file_remove_tree(fixture->folder, &fixture->err);
	free(fixture->path);
	free(fixture->backup);
	free(fixture);
	return 0;
}

static uint64_t put(struct fixture *fixture, const char *key, const char *value)
{
	struct store_txn *txn = store_txn_new();
	struct store_result result;
	struct store_events events = { 0 };

	store_txn_put(txn, key, value, strlen(value), 0);
	if (store_sqlite.commit(fixture->driver, &txn, 1, &result, &events, &fixture->err) < 0)
		fail_msg("%s", fixture->err.msg);
	store_txn_free(txn);
	store_events_done(&events);
	return result.revision;
}

static int append_kv(void *data, const struct store_kv *kv, struct err *err)
{
	(void)err;
	str_printf(data, "%s=%.20s ", kv->key, kv->value);
	return 0;
}

static void assert_content(struct fixture *fixture, const char *expected)
{
	auto_str struct str text = { 0 };
	uint64_t revision;

	assert_int_equal(store_sqlite.range(fixture->driver, "", append_kv, &text, &revision, &fixture->err), 0);
	assert_string_equal(str_text(&text), expected);
}

static bool exists(const char *path, const char *suffix)
{
	auto_free char *name = text_format("%s%s", path, suffix);

	return access(name, F_OK) == 0;
}

static void write_file(const char *path, const char *text)
{
	struct err err = { 0 };

	if (file_write_atomic(path, text, strlen(text), 0600, &err) < 0)
		fail_msg("%s", err.msg);
}

static void change_bytes(const char *path, off_t offset, size_t size)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	auto_free char *bytes = alloc(size);

	memset(bytes, 0xa5, size);
	assert_int_equal(pwrite(fd, bytes, size, offset), size);
}

static void execute(const char *path, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* The file */

static void test_the_file_is_ours_alone(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;

	open_store(fixture);
	put(fixture, "a", "1");
	assert_int_equal(stat(fixture->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close_store(fixture);
	assert_false(exists(fixture->path, "-wal"));
	assert_false(exists(fixture->path, ".new"));
}

static void test_a_store_is_open_once(void **state)
{
	struct fixture *fixture = *state;
	struct store_params params = { .path = fixture->path };
	struct store_driver *second = NULL;
	auto_free char *pid = text_format("process %d:", (int)getpid());

	open_store(fixture);
	assert_int_equal(sqlite_open(&params, &second, &fixture->err), -EBUSY);
	assert_non_null(strstr(fixture->err.msg, pid));
	assert_null(second);
	close_store(fixture);
	open_store(fixture);
}

static void test_a_folder_that_is_missing_is_named(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(rmdir(fixture->folder), 0);
	assert_int_equal(try_open(fixture), -ENOENT);
	assert_non_null(strstr(fixture->err.msg, fixture->folder));
	assert_int_equal(mkdir(fixture->folder, 0700), 0);
}

static void test_remains_of_an_interrupted_creation_do_no_harm(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *new_path = text_format("%s.new", fixture->path);
	auto_free char *log_path = text_format("%s-wal", fixture->path);

	write_file(new_path, "half a sto");
	write_file(log_path, "the log of a store that is gone");
	open_store(fixture);
	put(fixture, "a", "1");
	assert_content(fixture, "a=1 ");
}

static void test_a_newer_version_is_refused(void **state)
{
	struct fixture *fixture = *state;

	open_store(fixture);
	close_store(fixture);
	execute(fixture->path, "PRAGMA user_version = 7");
	assert_int_equal(try_open(fixture), -EPROTO);
	assert_non_null(strstr(fixture->err.msg, "newer version of Strata (schema 7, this one knows 1): use that version"));
}

static void test_what_is_no_store_is_refused(void **state)
{
	struct fixture *fixture = *state;

	write_file(fixture->path, "");
	assert_int_equal(try_open(fixture), -EUCLEAN);
	write_file(fixture->path, "This text has no place here. It is longer than the header of a database file, "
		   "so that it is not mistaken for an empty one, and not one byte of it makes sense to SQLite.");
	assert_int_equal(try_open(fixture), -EUCLEAN);
	assert_non_null(strstr(fixture->err.msg, "strata restore"));
	unlink(fixture->path);
	execute(fixture->path, "CREATE TABLE bookmarks (url TEXT)");
	assert_int_equal(try_open(fixture), -EUCLEAN);
	assert_non_null(strstr(fixture->err.msg, "not a store of Strata"));
}

static void fill(struct fixture *fixture, unsigned count)
{
	char value[2000];

	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (unsigned i = 0; i < count; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%u", i);
		put(fixture, key, value);
	}
}

static void test_damage_is_seen_at_open(void **state)
{
	enum { PAGE = 4096 };
	struct fixture *fixture = *state;
	struct stat st;

	open_store(fixture);
	fill(fixture, 50);
	close_store(fixture);
	assert_int_equal(stat(fixture->path, &st), 0);
	for (off_t page = 1; page < st.st_size / PAGE; page += 7) {
		auto_free char *copy = text_format("%s/copy", fixture->folder);
		struct store_params params = { .path = copy };
		auto_str struct str bytes = { 0 };
		struct store_driver *driver = NULL;

		assert_int_equal(file_read_all(fixture->path, 4 << 20, &bytes, &fixture->err), 0);
		assert_int_equal(file_write_atomic(copy, bytes.data, bytes.size, 0600, &fixture->err), 0);
		change_bytes(copy, page * PAGE, 64);
		assert_int_equal(sqlite_open(&params, &driver, &fixture->err), -EUCLEAN);
		assert_non_null(strstr(fixture->err.msg, "strata restore"));
	}
}

static void test_history_is_bounded(void **state)
{
	enum { COUNT = STORE_HISTORY_REVISIONS + 1000, BATCH = 100 };
	struct fixture *fixture = *state;
	struct store_events events = { 0 };

	open_store(fixture);
	for (unsigned i = 0; i < COUNT / BATCH; i++) {
		struct store_txn *txns[BATCH];
		struct store_result results[BATCH];

		for (size_t j = 0; j < BATCH; j++) {
			txns[j] = store_txn_new();
			store_txn_put(txns[j], "k", "v", 1, 0);
		}
		assert_int_equal(store_sqlite.commit(fixture->driver, txns, BATCH, results, &events, &fixture->err), 0);
		for (size_t j = 0; j < BATCH; j++)
			store_txn_free(txns[j]);
	}
	store_events_done(&events);
	assert_int_equal(store_sqlite.history(fixture->driver, "", 100, &events, &fixture->err), -ERANGE);
	assert_int_equal(store_sqlite.history(fixture->driver, "", COUNT - STORE_HISTORY_REVISIONS, &events, &fixture->err), 0);
	assert_int_equal(events.items.count, STORE_HISTORY_REVISIONS);
	store_events_done(&events);
	close_store(fixture);
	open_store(fixture);
	assert_int_equal(store_sqlite.history(fixture->driver, "", 100, &events, &fixture->err), -ERANGE);
}

/* Backup and restore */

static void make_backup(struct fixture *fixture)
{
	if (store_sqlite.backup(fixture->driver, fixture->backup, &fixture->err) < 0)
		fail_msg("%s", fixture->err.msg);
}

static int restore(struct fixture *fixture)
{
	return store_sqlite_restore(fixture->backup, fixture->path, &fixture->err);
}

static void test_a_backup_is_one_private_file(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;

	open_store(fixture);
	fill(fixture, 20);
	make_backup(fixture);
	assert_int_equal(stat(fixture->backup, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_false(exists(fixture->backup, "-wal"));
	assert_int_equal(store_sqlite.backup(fixture->driver, "/nonexistent/backup", &fixture->err), -ENOENT);
}

static void test_restore_brings_back_and_keeps_the_old(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *old = text_format("%s.old", fixture->path);
	uint64_t revision;

	open_store(fixture);
	put(fixture, "a", "1");
	make_backup(fixture);
	revision = put(fixture, "a", "2");
	put(fixture, "b", "3");
	close_store(fixture);
	assert_int_equal(restore(fixture), 0);
	open_store(fixture);
	assert_content(fixture, "a=1 ");
	assert_int_equal(put(fixture, "c", "4"), revision);
	close_store(fixture);

	free(fixture->path);
	fixture->path = take(old);
	open_store(fixture);
	assert_content(fixture, "a=2 b=3 ");
}

static void test_restore_replaces_what_a_killed_daemon_left(void **state)
{
	struct fixture *fixture = *state;
	pid_t child;
	int status;

	open_store(fixture);
	put(fixture, "a", "1");
	make_backup(fixture);
	close_store(fixture);
	child = fork();
	if (child == 0) {
		open_store(fixture);
		put(fixture, "a", "2");
		_exit(0);		/* Its log stays. */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(exists(fixture->path, "-wal"));
	assert_int_equal(restore(fixture), 0);
	open_store(fixture);
	assert_content(fixture, "a=1 ");
}

static void test_restore_works_without_a_store(void **state)
{
	struct fixture *fixture = *state;

	open_store(fixture);
	put(fixture, "a", "1");
	make_backup(fixture);
	close_store(fixture);
	unlink(fixture->path);
	assert_int_equal(restore(fixture), 0);
	open_store(fixture);
	assert_content(fixture, "a=1 ");
}

static void test_restore_refuses_and_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *log = text_format("%s-wal", fixture->backup);

	open_store(fixture);
	fill(fixture, 20);
	make_backup(fixture);
	assert_int_equal(restore(fixture), -EBUSY);
	put(fixture, "k", "present");
	close_store(fixture);

	write_file(log, "log");
	assert_int_equal(restore(fixture), -EINVAL);
	unlink(log);
	execute(fixture->backup, "PRAGMA user_version = 2");
	assert_int_equal(restore(fixture), -EPROTO);
	execute(fixture->backup, "PRAGMA user_version = 1");
	change_bytes(fixture->backup, 3 * 4096, 100);
	assert_int_equal(restore(fixture), -EUCLEAN);
	assert_non_null(strstr(fixture->err.msg, fixture->backup));
	unlink(fixture->backup);
	assert_int_equal(restore(fixture), -ENOENT);

	assert_false(exists(fixture->path, ".old"));
	assert_false(exists(fixture->path, ".new"));
	open_store(fixture);
	assert_int_equal(put(fixture, "k", "present"), 22);
}

static void remove_store(const struct store_conformance *subject)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock", ".backup.lock" };

	for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
		auto_free char *path = text_format("%s%s", subject->path, suffixes[i]);

		unlink(path);
	}
}

static int run_conformance(void)
{
	char folder[] = "/tmp/store-conformance-XXXXXX";
	auto_free char *path = mkdtemp(folder) ? text_format("%s/store.db", folder) : NULL;
	const struct store_conformance subjects[] = {
		{ .name = "sqlite, virtual time", .ops = &store_sqlite, .path = path, .clock = LOOP_CLOCK_VIRTUAL,
		  .lease_ms = 1000, .is_persistent = true, .random_steps = 2000, .reset = remove_store },
		{ .name = "sqlite, real time", .ops = &store_sqlite, .path = path, .clock = LOOP_CLOCK_REAL,
		  .lease_ms = 400, .is_persistent = true, .random_steps = 2000, .reset = remove_store },
	};
	int failed = path ? 0 : 1;
	struct err err;

	for (size_t i = 0; i < ARRAY_COUNT(subjects) && path; i++)
		failed += store_conformance_run(&subjects[i]);
	file_remove_tree(folder, &err);
	return failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_file_is_ours_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_store_is_open_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_folder_that_is_missing_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remains_of_an_interrupted_creation_do_no_harm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_newer_version_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_store_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_seen_at_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_history_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_backup_is_one_private_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore_brings_back_and_keeps_the_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore_replaces_what_a_killed_daemon_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore_works_without_a_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore_refuses_and_changes_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + run_conformance();
}
