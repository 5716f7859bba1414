/* SQLite's errors in our words, and the statements of the driver. */
#include "driver/store/sqlite/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"

static const char *const sql[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_SAVE_META] = "UPDATE meta SET revision = ?1, compacted = ?2, last_lease = ?3",
	[SQL_GET] = "SELECT mod_revision FROM kv WHERE key = ?1",
	[SQL_PUT] = "INSERT INTO kv (key, value, create_revision, mod_revision, version, lease)"
		    " VALUES (?1, ?2, ?3, ?3, 1, ?4)"
		    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, mod_revision = excluded.mod_revision,"
		    " version = version + 1, lease = excluded.lease"
		    " RETURNING create_revision, version",
	[SQL_DELETE] = "DELETE FROM kv WHERE key = ?1",
	[SQL_RANGE] = "SELECT key, value, create_revision, mod_revision, version, lease FROM kv"
		      " WHERE key >= ?1 ORDER BY key",
	[SQL_HISTORY_ADD] = "INSERT INTO history (id, key, value, create_revision, version, lease)"
			    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_HISTORY] = "SELECT id, key, value, create_revision, version, lease FROM history WHERE id >= ?1 ORDER BY id",
	[SQL_HISTORY_TRIM] = "DELETE FROM history WHERE id < ?1",
	[SQL_LEASE_EXISTS] = "SELECT 1 FROM lease WHERE id = ?1",
	[SQL_LEASE_ADD] = "INSERT INTO lease (id, ttl_ms, ends_at_ms) VALUES (?1, ?2, ?3 + ?2)",
	[SQL_LEASE_RENEW] = "UPDATE lease SET ends_at_ms = ?2 + ttl_ms WHERE id = ?1 AND ends_at_ms > ?2",
	[SQL_LEASE_FIRST_OVER] = "SELECT id FROM lease WHERE ends_at_ms <= ?1 ORDER BY id LIMIT 1",
	[SQL_LEASE_REMOVE] = "DELETE FROM lease WHERE id = ?1",
	[SQL_LEASE_KEYS] = "SELECT key FROM kv WHERE lease = ?1 AND lease != 0 ORDER BY key",
	[SQL_LEASE_NEXT] = "SELECT min(ends_at_ms) FROM lease",
};

/* What the system said, where SQLite only says that input or output failed. */
static int io_failed(sqlite3 *db, const char *path, struct err *err)
{
	int system = sqlite3_system_errno(db);

	switch (system) {
	case ENOSPC:
	case EDQUOT:
		return err_set(err, -ENOSPC, "store: disk full: make room on the disk of '%s'", shown(path));
	case EROFS:
		return err_set(err, -EROFS, "store: the file system of '%s' is read-only", shown(path));
	case EACCES:
	case EPERM:
		return err_set(err, -EACCES, "store: no permission for '%s' or the files beside it", shown(path));
	case 0:
		return err_set(err, -EIO, "store: '%s': %s", shown(path), sqlite3_errmsg(db));
	default:
		return err_set(err, -EIO, "store: input/output error on '%s': %s: check the disk", shown(path), strerror(system));
	}
}

int sqlite_failed(sqlite3 *db, const char *path, struct err *err)
{
	switch (sqlite3_errcode(db) & 0xff) {
	case SQLITE_FULL:
		return err_set(err, -ENOSPC, "store: disk full: make room on the disk of '%s'", shown(path));
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		return io_failed(db, path, err);
	case SQLITE_READONLY:
		return err_set(err, -EROFS, "store: '%s' cannot be written: check its mode and its file system", shown(path));
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(err, -EUCLEAN, "store '%s' is damaged (%s): restore a backup with `strata restore`",
			       shown(path), sqlite3_errmsg(db));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, -EBUSY, "store '%s' is locked by another program", shown(path));
	default:
		return err_set(err, -EIO, "store '%s': %s", shown(path), sqlite3_errmsg(db));
	}
}

int sqlite_statement(struct sqlite *sqlite, enum sqlite_statement which, sqlite3_stmt **ret_statement, struct err *err)
{
	sqlite3_stmt **statement = &sqlite->statements[which];

	if (!*statement &&
	    sqlite3_prepare_v3(sqlite->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
		return sqlite_failed(sqlite->db, sqlite->path, err);
	*ret_statement = *statement;
	return 0;
}

int sqlite_run(struct sqlite *sqlite, enum sqlite_statement which, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, which, &statement, err);

	if (r < 0)
		return r;
	return sqlite_step_last(sqlite, statement, err);
}

int sqlite_step_last(struct sqlite *sqlite, sqlite3_stmt *statement, struct err *err)
{
	int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : sqlite_failed(sqlite->db, sqlite->path, err);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return r;
}

int sqlite_step_row(struct sqlite *sqlite, sqlite3_stmt *statement, bool *ret_has_row, struct err *err)
{
	switch (sqlite3_step(statement)) {
	case SQLITE_ROW:
		*ret_has_row = true;
		return 0;
	case SQLITE_DONE:
		*ret_has_row = false;
		return 0;
	default:
		return sqlite_failed(sqlite->db, sqlite->path, err);
	}
}

void sqlite_reset(sqlite3_stmt **statement)
{
	if (!*statement)
		return;
	sqlite3_reset(*statement);
	sqlite3_clear_bindings(*statement);
}

void sqlite_bind(sqlite3_stmt *statement, int index, uint64_t number)
{
	assert(number <= INT64_MAX);
	sqlite3_bind_int64(statement, index, (sqlite3_int64)number);
}

int sqlite_query_number(sqlite3 *db, const char *path, const char *query, int64_t *ret_number, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, query, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
		*ret_number = sqlite3_column_int64(statement, 0);
	else if (sqlite3_errcode(db) == SQLITE_DONE)
		r = err_set(err, -EUCLEAN, "store '%s' is damaged (a row is missing): restore a backup with `strata restore`",
			    shown(path));
	else
		r = sqlite_failed(db, path, err);
	sqlite3_finalize(statement);
	return r;
}
