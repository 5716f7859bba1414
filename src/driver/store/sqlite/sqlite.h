/*
 * sqlite.h - what the files of the sqlite driver share.
 *
 * Errors:  0 or -errno; sqlite_failed() makes one from SQLite's.
 * Threads: as store.h says of drivers; a 'struct sqlite' has one connection for one thread at a
 *          time, backups open their own.
 */
#ifndef DRIVER_STORE_SQLITE_H
#define DRIVER_STORE_SQLITE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "port/store.h"

enum {
	SQLITE_APPLICATION_ID = 0x53545241,	/* "STRA", in the file's header (see file(1)). */
	SQLITE_SCHEMA_VERSION = 1,		/* In user_version. Older ones are brought forward at open. */
};

enum sqlite_statement {
	SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_SAVE_META,
	SQL_GET, SQL_PUT, SQL_DELETE, SQL_RANGE,
	SQL_HISTORY_ADD, SQL_HISTORY, SQL_HISTORY_TRIM,
	SQL_LEASE_EXISTS, SQL_LEASE_ADD, SQL_LEASE_RENEW, SQL_LEASE_FIRST_OVER, SQL_LEASE_REMOVE,
	SQL_LEASE_KEYS, SQL_LEASE_NEXT,
	SQL_COUNT,
};

struct sqlite_counters {			/* The row of table 'meta'. */
	uint64_t revision;
	uint64_t compacted;			/* The history up to here is gone. */
	uint64_t last_lease;
};

struct sqlite {
	struct store_driver driver;
	char *path;
	int lock_fd;				/* -1: none. */
	sqlite3 *db;
	sqlite3_stmt *statements[SQL_COUNT];	/* Null until first used. */
	struct sqlite_counters counters;
};

static inline struct sqlite *sqlite_of(struct store_driver *driver)
{
	return (struct sqlite *)driver;		/* It is the first member. */
}

/* Explains the last failure of 'db'. Returns the code. */
int sqlite_failed(sqlite3 *db, const char *path, struct err *err);

/* Holds "<path>.lock" until the fd is closed. -EBUSY names the process that has it. */
int sqlite_lock(const char *path, int *ret_fd, struct err *err);
/* Is this a sound store that this version can read? */
int sqlite_check(sqlite3 *db, const char *path, bool is_thorough, struct err *err);
/* Makes the name 'path' durable. */
int sqlite_sync_folder_of(const char *path, struct err *err);
/* One number out of the first row. */
int sqlite_query_number(sqlite3 *db, const char *path, const char *sql, int64_t *ret_number, struct err *err);

int sqlite_open(const struct store_params *params, struct store_driver **ret_driver, struct err *err);
void sqlite_close(struct store_driver *driver);
int sqlite_backup(struct store_driver *driver, const char *path, struct err *err);

/* Statements: prepared once; bind, step, and reset when done with the row. */
int sqlite_statement(struct sqlite *sqlite, enum sqlite_statement which, sqlite3_stmt **ret_statement, struct err *err);
/* To the end of one that brings no (more) rows, and resets it. */
int sqlite_step_last(struct sqlite *sqlite, sqlite3_stmt *statement, struct err *err);
/* Does not reset it. */
int sqlite_step_row(struct sqlite *sqlite, sqlite3_stmt *statement, bool *ret_has_row, struct err *err);
void sqlite_bind(sqlite3_stmt *statement, int index, uint64_t number);
void sqlite_reset(sqlite3_stmt **statement);
#define auto_reset __attribute__((cleanup(sqlite_reset)))
/* Executes one that has no parameters and no rows. */
int sqlite_run(struct sqlite *sqlite, enum sqlite_statement which, struct err *err);

/* Leases (lease.c). */
int sqlite_lease_exists(struct sqlite *sqlite, uint64_t lease, bool *ret_exists, struct err *err);
int sqlite_lease_grant(struct store_driver *driver, uint64_t ttl_ms, int64_t now_ms, uint64_t *ret_lease, struct err *err);
int sqlite_lease_renew(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct err *err);
int sqlite_lease_end(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct store_events *events,
		     int64_t *ret_next_ms, struct err *err);

/* Transactions (sqlite.c). After begin() comes end(): it commits when 'r' is 0, else rolls back and
 * restores the counters and the events. Returns 'r' or what the commit failed with. */
struct sqlite_transaction {
	struct sqlite_counters counters;
	struct store_events *events;		/* May be null. */
	size_t event_count;
};
int sqlite_begin(struct sqlite *sqlite, struct store_events *events, struct sqlite_transaction *ret_transaction, struct err *err);
int sqlite_end(struct sqlite *sqlite, const struct sqlite_transaction *transaction, int r, struct err *err);
/* Makes the change part of the next revision, its 'index'th event. 'ret_is_change' is false if an absent key was to be deleted. */
int sqlite_change(struct sqlite *sqlite, const struct store_change *change, size_t index, struct store_events *events,
		  bool *ret_is_change, struct err *err);

#endif
