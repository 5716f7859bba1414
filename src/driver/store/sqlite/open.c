/*
 * Opening and closing a store file.
 *
 * The lock is a file of its own beside the store: SQLite's locks are of the kind that is lost when the
 * process closes any other descriptor of the same file, and its exclusive mode would shut out the
 * connection that makes backups.
 *
 * A new store is built beside and renamed into place, so that a half-made one is never met, and so
 * that it costs two fsyncs rather than the ten that SQLite spends on making a file step by step.
 */
#include "driver/store/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static const char schema[] =
	"CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL,"
	" compacted INTEGER NOT NULL, last_lease INTEGER NOT NULL);"
	"INSERT INTO meta VALUES (1, 0, 0, 0);"
	"CREATE TABLE kv (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL,"
	" create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL, version INTEGER NOT NULL,"
	" lease INTEGER NOT NULL);"
	"CREATE INDEX kv_lease ON kv (lease) WHERE lease != 0;"
	"CREATE TABLE history (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB,"
	" create_revision INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL);"
	"CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL, ends_at_ms INTEGER NOT NULL);"
	"CREATE INDEX lease_end ON lease (ends_at_ms);";

/* The cache is small: the core holds what it needs itself, the store is read at start only. */
static const char settings[] =
	"PRAGMA synchronous = FULL;"
	"PRAGMA cache_size = -512;"
	"PRAGMA temp_store = MEMORY;"
	"PRAGMA trusted_schema = OFF;"
	"PRAGMA wal_autocheckpoint = 1000;"
	"PRAGMA journal_size_limit = 4194304;";

enum { BUSY_TIMEOUT_MS = 1000 };	/* For somebody who looks at the file with sqlite3(1). */

static int execute(sqlite3 *db, const char *path, const char *statements, struct err *err)
{
	if (sqlite3_exec(db, statements, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_failed(db, path, err);
	return 0;
}

/* Lock */

int sqlite_lock(const char *path, int *ret_fd, struct err *err)
{
	auto_free char *lock_path = text_format("%s.lock", path);
	pid_t holder;
	int r = file_lock(lock_path, ret_fd, &holder, err);

	if (r != -EBUSY)
		return r < 0 ? err_prefix(err, "store") : 0;
	return err_set(err, -EBUSY, "store '%s' is in use by process %d: stop it first, or use another state folder", shown(path), (int)holder);
}

/* Creation */

static void remove_beside(const char *path, const char *suffix)
{
	auto_free char *beside = text_format("%s%s", path, suffix);

	unlink(beside);
}

static int build(const char *path, struct err *err)
{
	auto_free char *header = text_format("PRAGMA application_id = %d; PRAGMA user_version = %d;"
					     "COMMIT; PRAGMA journal_mode = WAL;",
					     SQLITE_APPLICATION_ID, SQLITE_SCHEMA_VERSION);
	sqlite3 *db = NULL;
	int r = 0;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		r = sqlite_failed(db, path, err);
	if (r == 0)
		r = execute(db, path, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; BEGIN;", err);
	if (r == 0)
		r = execute(db, path, schema, err);
	if (r == 0)
		r = execute(db, path, header, err);
	sqlite3_close(db);
	return r;
}

int sqlite_sync_folder_of(const char *path, struct err *err)
{
	auto_free char *folder = text_copy(path);
	char *slash = strrchr(folder, '/');

	if (!slash)
		return file_sync_dir(".", err);
	slash[slash == folder] = '\0';
	return file_sync_dir(folder, err);
}

static int sync_into_place(int fd, const char *new_path, const char *path, struct err *err)
{
	/* A log without its store would be taken for that of the new one. */
	remove_beside(path, "-wal");
	remove_beside(path, "-shm");
	if (fsync(fd) < 0 || rename(new_path, path) < 0)
		return err_set(err, -errno, "store: create '%s': %m", shown(path));
	return sqlite_sync_folder_of(path, err);
}

static int create(const char *path, struct err *err)
{
	auto_free char *new_path = text_format("%s.new", path);
	auto_close int fd = -1;
	int r;

	unlink(new_path);
	fd = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "store: create '%s': %m", shown(new_path));
	r = build(new_path, err);
	if (r == 0)
		r = sync_into_place(fd, new_path, path, err);
	if (r < 0)
		unlink(new_path);
	return r;
}

/* Checks */

static int check_header(sqlite3 *db, const char *path, struct err *err)
{
	int64_t application, version;
	int r = sqlite_query_number(db, path, "PRAGMA application_id", &application, err);

	if (r == 0)
		r = sqlite_query_number(db, path, "PRAGMA user_version", &version, err);
	if (r < 0)
		return r;
	if (application != SQLITE_APPLICATION_ID || version < 1)
		return err_set(err, -EUCLEAN, "'%s' is not a store of Strata: restore a backup with `strata restore`",
			       shown(path));
	if (version > SQLITE_SCHEMA_VERSION)
		return err_set(err, -EPROTO, "store '%s' was written by a newer version of Strata (schema %d, this one "
			       "knows %d): use that version", shown(path), (int)version, SQLITE_SCHEMA_VERSION);
	return 0;
}

int sqlite_check(sqlite3 *db, const char *path, bool is_thorough, struct err *err)
{
	const char *sql = is_thorough ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)";
	sqlite3_stmt *statement = NULL;
	const char *verdict;
	int r = check_header(db, path, err);

	if (r < 0)
		return r;
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
		r = sqlite_failed(db, path, err);
		sqlite3_finalize(statement);
		return r;
	}
	verdict = (const char *)sqlite3_column_text(statement, 0);
	if (!text_equal(verdict, "ok"))
		r = err_set(err, -EUCLEAN, "store '%s' is damaged (%s): restore a backup with `strata restore`",
			    shown(path), shown(verdict));
	sqlite3_finalize(statement);
	return r;
}

static int read_counters(struct sqlite *sqlite, struct err *err)
{
	const struct {
		const char *sql;
		uint64_t *value;
	} counters[] = {
		{ "SELECT revision FROM meta", &sqlite->counters.revision },
		{ "SELECT compacted FROM meta", &sqlite->counters.compacted },
		{ "SELECT last_lease FROM meta", &sqlite->counters.last_lease },
	};

	for (size_t i = 0; i < ARRAY_COUNT(counters); i++) {
		int64_t value;
		int r = sqlite_query_number(sqlite->db, sqlite->path, counters[i].sql, &value, err);

		if (r < 0)
			return r;
		*counters[i].value = (uint64_t)value;
	}
	return 0;
}

/* Life cycle */

void sqlite_close(struct store_driver *driver)
{
	struct sqlite *sqlite;

	if (!driver)
		return;
	sqlite = sqlite_of(driver);
	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(sqlite->statements[i]);
	sqlite3_close(sqlite->db);
	closep(&sqlite->lock_fd);
	free(sqlite->path);
	free(sqlite);
}

static int connect(struct sqlite *sqlite, struct err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int r;

	if (sqlite3_open_v2(sqlite->path, &sqlite->db, flags, NULL) != SQLITE_OK)
		return sqlite_failed(sqlite->db, sqlite->path, err);
	sqlite3_busy_timeout(sqlite->db, BUSY_TIMEOUT_MS);
	r = execute(sqlite->db, sqlite->path, settings, err);
	if (r == 0)
		r = sqlite_check(sqlite->db, sqlite->path, false, err);
	/* Last, because it may write, and only a backup that was put in place is not in this mode yet. */
	if (r == 0)
		r = execute(sqlite->db, sqlite->path, "PRAGMA journal_mode = WAL", err);
	return r < 0 ? r : read_counters(sqlite, err);
}

int sqlite_open(const struct store_params *params, struct store_driver **ret_driver, struct err *err)
{
	struct sqlite *sqlite = alloc(sizeof(*sqlite));
	int r;

	*sqlite = (struct sqlite){ .driver.ops = &store_sqlite, .path = text_copy(params->path), .lock_fd = -1 };
	r = sqlite_lock(sqlite->path, &sqlite->lock_fd, err);
	if (r == 0 && access(sqlite->path, F_OK) < 0 && errno == ENOENT)
		r = create(sqlite->path, err);
	if (r == 0)
		r = connect(sqlite, err);
	if (r < 0) {
		sqlite_close(&sqlite->driver);
		return r;
	}
	*ret_driver = &sqlite->driver;
	return 0;
}
