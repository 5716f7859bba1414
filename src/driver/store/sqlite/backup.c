/*
 * Copies of a store.  A backup is one file without a log beside it, and compact: SQLite writes it
 * from one snapshot on a connection of its own, so that commits go on meanwhile.
 */
#include "driver/store/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/store/sqlite/restore.h"

static int vacuum_into(sqlite3 *db, const char *from, const char *to, struct err *err)
{
	sqlite3_stmt *statement = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_bind_text(statement, 1, to, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		r = sqlite_failed(db, from, err);
	sqlite3_finalize(statement);
	return r;
}

static int copy_snapshot(const char *from, const char *to, struct err *err)
{
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	sqlite3 *db = NULL;
	int r;

	if (sqlite3_open_v2(from, &db, flags, NULL) != SQLITE_OK)
		r = sqlite_failed(db, from, err);
	else
		r = vacuum_into(db, from, to, err);
	sqlite3_close(db);
	return r;
}

/* link(2) rather than rename(2): it does not overwrite what has come to be there meanwhile. */
static int publish(int fd, const char *new_path, const char *path, struct err *err)
{
	if (fsync(fd) < 0 || link(new_path, path) < 0)
		return err_set(err, -errno, "backup: create '%s': %m", shown(path));
	return sqlite_sync_folder_of(path, err);
}

static int make_file_beside(const char *path, char **ret_path, int *ret_fd, struct err *err)
{
	auto_free char *new_path = text_format("%s.XXXXXX", path);
	int fd = mkostemp(new_path, O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "backup: create '%s': %m", shown(path));
	*ret_path = take(new_path);
	*ret_fd = fd;
	return 0;
}

int sqlite_backup(struct store_driver *driver, const char *path, struct err *err)
{
	auto_free char *new_path = NULL;
	auto_close int fd = -1;
	struct stat st;
	int r;

	if (lstat(path, &st) == 0)
		return err_set(err, -EEXIST, "backup: '%s' exists already: choose another name or remove it", shown(path));
	r = make_file_beside(path, &new_path, &fd, err);
	if (r < 0)
		return r;
	r = copy_snapshot(sqlite_of(driver)->path, new_path, err);
	if (r == 0)
		r = publish(fd, new_path, path, err);
	unlink(new_path);
	return r < 0 ? err_prefix(err, "backup to '%s'", shown(path)) : 0;
}

/* Restore */

static int check_copy(const char *path, struct err *err)
{
	sqlite3 *db = NULL;
	int r;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		r = sqlite_failed(db, path, err);
	else
		r = sqlite_check(db, path, true, err);
	sqlite3_close(db);
	return r;
}

static int copy_file(const char *from, const char *to, struct err *err)
{
	auto_close int from_fd = open(from, O_RDONLY | O_CLOEXEC);
	auto_close int to_fd = -1;
	int r;

	if (from_fd < 0)
		return err_set(err, -errno, "open backup '%s': %m", shown(from));
	unlink(to);
	to_fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to_fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(to));
	r = file_copy_sparse(from_fd, to_fd, NULL, err);
	if (r == 0 && fsync(to_fd) < 0)
		r = err_set(err, -errno, "write '%s': %m", shown(to));
	return r;
}

static int missing_is_fine(int result, const char *path, struct err *err)
{
	if (result < 0 && errno != ENOENT)
		return err_set(err, -errno, "keep the old store '%s': %m", shown(path));
	return 0;
}

/*
 * The log goes before the store, since a new store must never meet an old log; the store itself is
 * replaced in one step, since a daemon that finds none would begin with an empty one.
 */
static int swap(const char *new_path, const char *path, struct err *err)
{
	auto_free char *log = text_format("%s-wal", path), *index = text_format("%s-shm", path);
	auto_free char *old = text_format("%s.old", path), *old_log = text_format("%s.old-wal", path);
	int r = missing_is_fine(unlink(old), old, err);

	if (r == 0)
		r = missing_is_fine(unlink(old_log), old_log, err);
	if (r == 0)
		r = missing_is_fine(link(path, old), path, err);
	if (r == 0)
		r = missing_is_fine(unlink(index), index, err);
	if (r == 0)
		r = missing_is_fine(rename(log, old_log), log, err);
	if (r == 0 && rename(new_path, path) < 0)
		r = err_set(err, -errno, "rename '%s': %m", shown(new_path));
	return r < 0 ? r : sqlite_sync_folder_of(path, err);
}

/* A file with a log beside it was copied from a running store, and what is in the log would be lost. */
static int refuse_log(const char *backup, struct err *err)
{
	auto_free char *log = text_format("%s-wal", backup);
	struct stat st;

	if (stat(log, &st) == 0 && st.st_size > 0)
		return err_set(err, -EINVAL, "'%s' has a log ('-wal') beside it, so it is not a backup: "
			       "make one with `strata backup`", shown(backup));
	return 0;
}

static int restore_locked(const char *backup, const char *path, struct err *err)
{
	auto_free char *new_path = text_format("%s.new", path);
	int r = refuse_log(backup, err);

	if (r == 0)
		r = copy_file(backup, new_path, err);
	if (r == 0) {
		r = check_copy(new_path, err);
		if (r < 0)
			err_prefix(err, "backup '%s'", shown(backup));
	}
	if (r == 0)
		r = swap(new_path, path, err);
	if (r < 0)
		unlink(new_path);
	return r;
}

int store_sqlite_restore(const char *backup, const char *path, struct err *err)
{
	auto_close int lock_fd = -1;
	int r = sqlite_lock(path, &lock_fd, err);

	return r < 0 ? r : restore_locked(backup, path, err);
}
