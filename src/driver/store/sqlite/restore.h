/*
 * restore.h - puts a backup of an SQLite store in the place of the store.
 *
 * The backup is copied, checked thoroughly, and renamed into place; what was there is kept as
 * "<path>.old". Nothing is changed when the check fails.
 *
 * Errors:  -EBUSY a daemon has the store open; -EUCLEAN the backup is damaged or none of ours; -EINVAL
 *          it was copied from a running store; -EPROTO it was written by a newer version; -ENOENT ...
 * Threads: any; blocking.
 */
#ifndef DRIVER_STORE_SQLITE_RESTORE_H
#define DRIVER_STORE_SQLITE_RESTORE_H

#include "base/err.h"

int store_sqlite_restore(const char *backup, const char *path, struct err *err);

#endif
