/*
 * The store in one SQLite file.
 *
 * Tables: 'kv' has the present, 'history' the last STORE_HISTORY_REVISIONS for watches that begin in the
 * past, 'lease' the leases, 'meta' the counters in its only row. A row of history has
 * (revision << HISTORY_INDEX_BITS | place within the revision) as its id, so that the order of
 * events is that of the ids and every question about revisions is a range of ids.
 *
 * A batch of transactions is one transaction of SQLite in WAL mode with synchronous=FULL: one fsync
 * of the log. Guards are checked before a transaction of the batch changes anything, so one that fails
 * has nothing to undo; an error of SQLite undoes the whole batch.
 */
#include "driver/store/sqlite/sqlite.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum {
	HISTORY_INDEX_BITS = 20,
	HISTORY_SLACK = 256,		/* Revisions trimmed at a time. */
};

static uint64_t history_id(uint64_t revision, size_t index)
{
	assert(index < (size_t)1 << HISTORY_INDEX_BITS);
	return revision << HISTORY_INDEX_BITS | index;
}

/* Transactions */

int sqlite_begin(struct sqlite *sqlite, struct store_events *events, struct sqlite_transaction *ret_transaction,
		 struct err *err)
{
	*ret_transaction = (struct sqlite_transaction){
		.counters = sqlite->counters, .events = events, .event_count = events ? events->items.count : 0,
	};
	return sqlite_run(sqlite, SQL_BEGIN, err);
}

static void roll_back(struct sqlite *sqlite, const struct sqlite_transaction *transaction)
{
	struct store_events *events = transaction->events;
	struct err ignored;

	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(sqlite->db))
		sqlite_run(sqlite, SQL_ROLLBACK, &ignored);
	sqlite->counters = transaction->counters;
	while (events && events->items.count > transaction->event_count)
		store_kv_done(&events->items.items[--events->items.count].kv);
}

static int trim_history(struct sqlite *sqlite, uint64_t revision, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, SQL_HISTORY_TRIM, &statement, err);

	if (r < 0)
		return r;
	sqlite_bind(statement, 1, history_id(revision + 1, 0));
	sqlite->counters.compacted = revision;
	return sqlite_step_last(sqlite, statement, err);
}

static int save_counters(struct sqlite *sqlite, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, SQL_SAVE_META, &statement, err);

	if (r < 0)
		return r;
	sqlite_bind(statement, 1, sqlite->counters.revision);
	sqlite_bind(statement, 2, sqlite->counters.compacted);
	sqlite_bind(statement, 3, sqlite->counters.last_lease);
	return sqlite_step_last(sqlite, statement, err);
}

static int finish(struct sqlite *sqlite, const struct sqlite_transaction *transaction, struct err *err)
{
	int r = 0;

	if (sqlite->counters.revision - sqlite->counters.compacted >= STORE_HISTORY_REVISIONS + HISTORY_SLACK)
		r = trim_history(sqlite, sqlite->counters.revision - STORE_HISTORY_REVISIONS, err);
	if (r == 0 && memcmp(&sqlite->counters, &transaction->counters, sizeof(sqlite->counters)) != 0)
		r = save_counters(sqlite, err);
	return r < 0 ? r : sqlite_run(sqlite, SQL_COMMIT, err);
}

int sqlite_end(struct sqlite *sqlite, const struct sqlite_transaction *transaction, int r, struct err *err)
{
	if (r == 0)
		r = finish(sqlite, transaction, err);
	if (r < 0)
		roll_back(sqlite, transaction);
	return r;
}

/* Changes */

static int add_history(struct sqlite *sqlite, const struct store_kv *kv, size_t index, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, SQL_HISTORY_ADD, &statement, err);

	if (r < 0)
		return r;
	sqlite_bind(statement, 1, history_id(kv->mod_revision, index));
	sqlite3_bind_text(statement, 2, kv->key, -1, SQLITE_STATIC);
	if (kv->value)
		sqlite3_bind_blob64(statement, 3, kv->value, kv->value_size, SQLITE_STATIC);
	sqlite_bind(statement, 4, kv->create_revision);
	sqlite_bind(statement, 5, kv->version);
	sqlite_bind(statement, 6, kv->lease);
	return sqlite_step_last(sqlite, statement, err);
}

static int put_row(struct sqlite *sqlite, struct store_kv *kv, struct err *err)
{
	auto_reset sqlite3_stmt *statement = NULL;
	bool has_row;
	int r = sqlite_statement(sqlite, SQL_PUT, &statement, err);

	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, kv->key, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(statement, 2, kv->value, kv->value_size, SQLITE_STATIC);
	sqlite_bind(statement, 3, kv->mod_revision);
	sqlite_bind(statement, 4, kv->lease);
	r = sqlite_step_row(sqlite, statement, &has_row, err);
	if (r < 0)
		return r;
	kv->create_revision = (uint64_t)sqlite3_column_int64(statement, 0);
	kv->version = (uint64_t)sqlite3_column_int64(statement, 1);
	return sqlite_step_last(sqlite, statement, err);
}

static int delete_row(struct sqlite *sqlite, const char *key, bool *ret_is_change, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite_statement(sqlite, SQL_DELETE, &statement, err);

	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
	r = sqlite_step_last(sqlite, statement, err);
	if (r == 0)
		*ret_is_change = sqlite3_changes(sqlite->db) > 0;
	return r;
}

int sqlite_change(struct sqlite *sqlite, const struct store_change *change, size_t index, struct store_events *events,
		  bool *ret_is_change, struct err *err)
{
	struct store_kv kv = {
		.key = change->key, .value = change->value, .value_size = change->value_size,
		.mod_revision = sqlite->counters.revision + 1, .lease = change->lease,
	};
	bool is_change = true;
	int r;

	if (change->value)
		r = put_row(sqlite, &kv, err);
	else
		r = delete_row(sqlite, change->key, &is_change, err);
	if (r == 0 && is_change) {
		r = add_history(sqlite, &kv, index, err);
		store_events_add(events, !change->value, &kv);
	}
	if (r == 0)
		*ret_is_change = is_change;
	return r;
}

/* Guards. 0: holds, 1: does not. */
static int check_guard(struct sqlite *sqlite, const struct store_guard *guard, struct err *err)
{
	auto_reset sqlite3_stmt *statement = NULL;
	uint64_t revision = 0;
	bool has_row;
	int r = sqlite_statement(sqlite, SQL_GET, &statement, err);

	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, guard->key, -1, SQLITE_STATIC);
	r = sqlite_step_row(sqlite, statement, &has_row, err);
	if (r < 0)
		return r;
	if (has_row)
		revision = (uint64_t)sqlite3_column_int64(statement, 0);
	switch (guard->kind) {
	case STORE_ABSENT:
		return has_row;
	case STORE_EXISTS:
		return !has_row;
	case STORE_UNCHANGED:
		return revision != guard->revision;
	}
	abort();
}

/* May the transaction make its changes? If not, 'result' says why. Fails only when the store does. */
static int check(struct sqlite *sqlite, const struct store_txn *txn, struct store_result *result, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < txn->guards.count && r == 0; i++) {
		r = check_guard(sqlite, &txn->guards.items[i], err);
		if (r > 0)
			store_guard_failed(txn, i, result);
	}
	for (size_t i = 0; i < txn->changes.count && r == 0; i++) {
		uint64_t lease = txn->changes.items[i].lease;
		bool exists = true;

		if (lease)
			r = sqlite_lease_exists(sqlite, lease, &exists, err);
		if (r == 0 && !exists)
			r = store_lease_ended(lease, &result->err);
		if (result->err.code)
			return 0;
	}
	return r < 0 ? r : 0;
}

static int apply(struct sqlite *sqlite, const struct store_txn *txn, struct store_result *result,
		 struct store_events *events, struct err *err)
{
	size_t count = 0;
	int r;

	*result = (struct store_result){ .revision = sqlite->counters.revision };
	r = check(sqlite, txn, result, err);
	if (r < 0 || result->err.code)
		return r;
	for (size_t i = 0; i < txn->changes.count; i++) {
		bool is_change;

		r = sqlite_change(sqlite, &txn->changes.items[i], count, events, &is_change, err);
		if (r < 0)
			return r;
		count += is_change;
	}
	if (count)
		result->revision = ++sqlite->counters.revision;
	return 0;
}

static int sqlite_commit(struct store_driver *driver, struct store_txn *const *txns, size_t count,
			 struct store_result *results, struct store_events *events, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(driver);
	struct sqlite_transaction transaction;
	int r = sqlite_begin(sqlite, events, &transaction, err);

	for (size_t i = 0; i < count && r == 0; i++)
		r = apply(sqlite, txns[i], &results[i], events, err);
	r = sqlite_end(sqlite, &transaction, r, err);
	for (size_t i = 0; i < count && r < 0; i++)
		results[i] = (struct store_result){ .err = *err };
	return r;
}

/* Reading */

/* The row as 'kv', borrowed from the statement and, for the value, from 'value'. */
static struct store_kv read_kv(sqlite3_stmt *statement, int first_column, struct str *value)
{
	struct store_kv kv = { .key = (char *)sqlite3_column_text(statement, first_column) };

	if (sqlite3_column_type(statement, first_column + 1) != SQLITE_NULL) {
		str_clear(value);
		str_append_bytes(value, sqlite3_column_blob(statement, first_column + 1),
				 (size_t)sqlite3_column_bytes(statement, first_column + 1));
		kv.value = value->data;
		kv.value_size = value->size;
	}
	kv.create_revision = (uint64_t)sqlite3_column_int64(statement, first_column + 2);
	return kv;
}

static int range_step(struct sqlite *sqlite, sqlite3_stmt *statement, const char *prefix, struct str *value,
		      store_kv_fn *fn, void *data, bool *ret_is_end, struct err *err)
{
	struct store_kv kv;
	bool has_row;
	int r = sqlite_step_row(sqlite, statement, &has_row, err);

	if (r < 0)
		return r;
	*ret_is_end = !has_row;
	if (!has_row)
		return 0;
	kv = read_kv(statement, 0, value);
	kv.mod_revision = (uint64_t)sqlite3_column_int64(statement, 3);
	kv.version = (uint64_t)sqlite3_column_int64(statement, 4);
	kv.lease = (uint64_t)sqlite3_column_int64(statement, 5);
	*ret_is_end = !text_starts_with(kv.key, prefix);
	return *ret_is_end ? 0 : fn(data, &kv, err);
}

static int sqlite_range(struct store_driver *driver, const char *prefix, store_kv_fn *fn, void *data,
			uint64_t *ret_revision, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(driver);
	auto_reset sqlite3_stmt *statement = NULL;
	auto_str struct str value = { 0 };
	bool is_end = false;
	int r = sqlite_statement(sqlite, SQL_RANGE, &statement, err);

	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, prefix, -1, SQLITE_STATIC);
	while (r == 0 && !is_end)
		r = range_step(sqlite, statement, prefix, &value, fn, data, &is_end, err);
	if (r == 0)
		*ret_revision = sqlite->counters.revision;
	return r;
}

static void add_past_event(sqlite3_stmt *statement, const char *prefix, struct str *value, struct store_events *events)
{
	struct store_kv kv = read_kv(statement, 1, value);

	if (!text_starts_with(kv.key, prefix))
		return;
	kv.mod_revision = (uint64_t)sqlite3_column_int64(statement, 0) >> HISTORY_INDEX_BITS;
	kv.version = (uint64_t)sqlite3_column_int64(statement, 4);
	kv.lease = (uint64_t)sqlite3_column_int64(statement, 5);
	store_events_add(events, !kv.value, &kv);
}

static int sqlite_history(struct store_driver *driver, const char *prefix, uint64_t after_revision,
			  struct store_events *events, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(driver);
	auto_reset sqlite3_stmt *statement = NULL;
	auto_str struct str value = { 0 };
	bool has_row = true;
	int r;

	if (after_revision < sqlite->counters.compacted)
		return store_compacted(after_revision, err);
	r = sqlite_statement(sqlite, SQL_HISTORY, &statement, err);
	if (r < 0)
		return r;
	sqlite_bind(statement, 1, history_id(after_revision + 1, 0));
	while (has_row) {
		r = sqlite_step_row(sqlite, statement, &has_row, err);
		if (r < 0)
			return r;
		if (has_row)
			add_past_event(statement, prefix, &value, events);
	}
	return 0;
}

static int sqlite_compact(struct store_driver *driver, uint64_t revision, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(driver);
	struct sqlite_transaction transaction;
	int r;

	if (revision > sqlite->counters.revision)
		return store_future_revision(revision, sqlite->counters.revision, err);
	if (revision <= sqlite->counters.compacted)
		return 0;
	r = sqlite_begin(sqlite, NULL, &transaction, err);
	if (r == 0)
		r = trim_history(sqlite, revision, err);
	return sqlite_end(sqlite, &transaction, r, err);
}

const struct store_ops store_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.commit = sqlite_commit,
	.range = sqlite_range,
	.history = sqlite_history,
	.lease_grant = sqlite_lease_grant,
	.lease_renew = sqlite_lease_renew,
	.lease_end = sqlite_lease_end,
	.compact = sqlite_compact,
	.backup = sqlite_backup,
};
