/*
 * Leases of the sqlite driver.
 *
 * Granting and renewing a lease is not worth an fsync of its own: the log is written in order, so the
 * commit that puts a key under the lease makes the lease durable too. A killed daemon loses nothing
 * at all; a power cut may lose a renewal, but whoever renewed has lost its power as well.
 */
#include "driver/store/sqlite/sqlite.h"

#include <errno.h>

#include "base/mem.h"

int sqlite_lease_exists(struct sqlite *sqlite, uint64_t lease, bool *ret_exists, struct err *err)
{
	auto_reset sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, SQL_LEASE_EXISTS, &statement, err);

	if (r < 0)
		return r;
	sqlite_bind(statement, 1, lease);
	return sqlite_step_row(sqlite, statement, ret_exists, err);
}

/* PRAGMA acts when it is prepared, so it cannot be one of the prepared statements. */
static int set_synchronous(struct sqlite *sqlite, bool is_full, struct err *err)
{
	const char *sql = is_full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";

	if (sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_failed(sqlite->db, sqlite->path, err);
	return 0;
}

static int add_lease(struct sqlite *sqlite, uint64_t ttl_ms, int64_t now_ms, struct err *err)
{
	struct sqlite_transaction transaction;
	sqlite3_stmt *statement = NULL;
	int r = sqlite_begin(sqlite, NULL, &transaction, err);

	if (r == 0)
		r = sqlite_statement(sqlite, SQL_LEASE_ADD, &statement, err);
	if (r == 0) {
		sqlite_bind(statement, 1, ++sqlite->counters.last_lease);
		sqlite_bind(statement, 2, ttl_ms);
		sqlite3_bind_int64(statement, 3, now_ms);
		r = sqlite_step_last(sqlite, statement, err);
	}
	return sqlite_end(sqlite, &transaction, r, err);
}

int sqlite_lease_grant(struct store_driver *driver, uint64_t ttl_ms, int64_t now_ms, uint64_t *ret_lease, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(driver);
	struct err ignored;
	int r = set_synchronous(sqlite, false, err);

	if (r == 0)
		r = add_lease(sqlite, ttl_ms, now_ms, err);
	set_synchronous(sqlite, true, &ignored);
	if (r == 0)
		*ret_lease = sqlite->counters.last_lease;
	return r;
}

static int renew(struct sqlite *sqlite, uint64_t lease, int64_t now_ms, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, SQL_LEASE_RENEW, &statement, err);

	if (r < 0)
		return r;
	sqlite_bind(statement, 1, lease);
	sqlite3_bind_int64(statement, 2, now_ms);
	r = sqlite_step_last(sqlite, statement, err);
	if (r == 0 && sqlite3_changes(sqlite->db) == 0)
		return store_lease_ended(lease, err);
	return r;
}

int sqlite_lease_renew(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(driver);
	struct err ignored;
	int r = set_synchronous(sqlite, false, err);

	if (r == 0)
		r = renew(sqlite, lease, now_ms, err);
	set_synchronous(sqlite, true, &ignored);
	return r;
}

/* As changes that delete them: reading and deleting at once would confuse the reader. */
static int read_keys(struct sqlite *sqlite, uint64_t lease, struct store_txn *txn, struct err *err)
{
	auto_reset sqlite3_stmt *statement = NULL;
	bool has_row = true;
	int r = sqlite_statement(sqlite, SQL_LEASE_KEYS, &statement, err);

	if (r < 0)
		return r;
	sqlite_bind(statement, 1, lease);
	while (has_row) {
		r = sqlite_step_row(sqlite, statement, &has_row, err);
		if (r < 0)
			return r;
		/* Not store_txn_delete(): it compares each key with all others. */
		if (has_row)
			*vec_push(&txn->changes) = (struct store_change){
				.key = text_copy((const char *)sqlite3_column_text(statement, 0)),
			};
	}
	return 0;
}

static int delete_keys(struct sqlite *sqlite, uint64_t lease, struct store_events *events, struct err *err)
{
	struct store_txn *keys = store_txn_new();
	int r = read_keys(sqlite, lease, keys, err);
	bool is_change;

	for (size_t i = 0; i < keys->changes.count && r == 0; i++)
		r = sqlite_change(sqlite, &keys->changes.items[i], i, events, &is_change, err);
	sqlite->counters.revision += keys->changes.count > 0;
	store_txn_free(keys);
	return r;
}

static int remove_lease(struct sqlite *sqlite, uint64_t lease, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, SQL_LEASE_REMOVE, &statement, err);

	if (r < 0)
		return r;
	sqlite_bind(statement, 1, lease);
	r = sqlite_step_last(sqlite, statement, err);
	if (r == 0 && sqlite3_changes(sqlite->db) == 0)
		return store_lease_ended(lease, err);
	return r;
}

static int end_one(struct sqlite *sqlite, uint64_t lease, struct store_events *events, struct err *err)
{
	struct sqlite_transaction transaction;
	int r = sqlite_begin(sqlite, events, &transaction, err);

	if (r == 0)
		r = remove_lease(sqlite, lease, err);
	if (r == 0)
		r = delete_keys(sqlite, lease, events, err);
	return sqlite_end(sqlite, &transaction, r, err);
}

/* 0: none is over. */
static int find_over(struct sqlite *sqlite, int64_t now_ms, uint64_t *ret_lease, struct err *err)
{
	auto_reset sqlite3_stmt *statement = NULL;
	bool has_row;
	int r = sqlite_statement(sqlite, SQL_LEASE_FIRST_OVER, &statement, err);

	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, now_ms);
	r = sqlite_step_row(sqlite, statement, &has_row, err);
	if (r == 0)
		*ret_lease = has_row ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
	return r;
}

static int read_next(struct sqlite *sqlite, int64_t *ret_next_ms, struct err *err)
{
	auto_reset sqlite3_stmt *statement = NULL;
	bool has_row;
	int r = sqlite_statement(sqlite, SQL_LEASE_NEXT, &statement, err);

	if (r < 0)
		return r;
	r = sqlite_step_row(sqlite, statement, &has_row, err);
	if (r == 0)
		*ret_next_ms = sqlite3_column_type(statement, 0) == SQLITE_NULL ?
			       INT64_MAX : sqlite3_column_int64(statement, 0);
	return r;
}

int sqlite_lease_end(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct store_events *events,
		     int64_t *ret_next_ms, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(driver);
	uint64_t over = lease;
	int r = 0;

	if (!lease)
		r = find_over(sqlite, now_ms, &over, err);
	while (r == 0 && over) {
		r = end_one(sqlite, over, events, err);
		over = 0;
		if (r == 0 && !lease)
			r = find_over(sqlite, now_ms, &over, err);
	}
	if (r == 0 && ret_next_ms)
		r = read_next(sqlite, ret_next_ms, err);
	return r;
}
