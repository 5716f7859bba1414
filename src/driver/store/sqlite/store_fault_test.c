/*
 * What becomes of a commit when the disk does not play along: SQLite runs on a layer (VFS) that fails the
 * n-th write, sync or truncation and every one after it, for each n, until the disk is "repaired".
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/store/sqlite/sqlite.h"
#include "port/store.h"

/* The layer */

struct disk {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	unsigned step;
	unsigned fail_at;		/* 0: never. */
	int code;
};

struct disk_file {
	sqlite3_file file;
	struct disk *disk;
	sqlite3_file real[];		/* As large as the real layer wants. */
};

static struct disk_file *disk_file_of(sqlite3_file *file)
{
	return (struct disk_file *)file;
}

static int step(sqlite3_file *file)
{
	struct disk *disk = disk_file_of(file)->disk;

	disk->step++;
	return disk->fail_at && disk->step >= disk->fail_at ? disk->code : SQLITE_OK;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return disk_file_of(file)->real;
}

#define PASS(name, parameters, ...) \
	static int pass_##name parameters \
	{ \
		return real_of(file)->pMethods->x##name(real_of(file), ##__VA_ARGS__); \
	}

PASS(Close, (sqlite3_file *file))
PASS(Read, (sqlite3_file *file, void *buffer, int size, sqlite3_int64 offset), buffer, size, offset)
PASS(FileSize, (sqlite3_file *file, sqlite3_int64 *ret_size), ret_size)
PASS(Lock, (sqlite3_file *file, int lock), lock)
PASS(Unlock, (sqlite3_file *file, int lock), lock)
PASS(CheckReservedLock, (sqlite3_file *file, int *ret_result), ret_result)
PASS(FileControl, (sqlite3_file *file, int operation, void *argument), operation, argument)
PASS(SectorSize, (sqlite3_file *file))
PASS(DeviceCharacteristics, (sqlite3_file *file))
PASS(ShmMap, (sqlite3_file *file, int page, int size, int extend, void volatile **ret_memory), page, size, extend, ret_memory)
PASS(ShmLock, (sqlite3_file *file, int offset, int count, int flags), offset, count, flags)
PASS(ShmUnmap, (sqlite3_file *file, int must_delete), must_delete)

static void pass_ShmBarrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int disk_write(sqlite3_file *file, const void *buffer, int size, sqlite3_int64 offset)
{
	int r = step(file);

	return r ? r : real_of(file)->pMethods->xWrite(real_of(file), buffer, size, offset);
}

static int disk_sync(sqlite3_file *file, int flags)
{
	int r = step(file);

	/* A sync has no disk-full of its own. */
	if (r)
		return r == SQLITE_FULL ? SQLITE_IOERR_FSYNC : r;
	return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int r = step(file);

	return r ? r : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static const sqlite3_io_methods disk_methods = {
	.iVersion = 2, .xClose = pass_Close, .xRead = pass_Read, .xWrite = disk_write, .xTruncate = disk_truncate,
	.xSync = disk_sync, .xFileSize = pass_FileSize, .xLock = pass_Lock, .xUnlock = pass_Unlock,
	.xCheckReservedLock = pass_CheckReservedLock, .xFileControl = pass_FileControl, .xSectorSize = pass_SectorSize,
	.xDeviceCharacteristics = pass_DeviceCharacteristics, .xShmMap = pass_ShmMap, .xShmLock = pass_ShmLock,
	.xShmBarrier = pass_ShmBarrier, .xShmUnmap = pass_ShmUnmap,
};

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct disk *disk = (struct disk *)vfs;
	int r = disk->real->xOpen(disk->real, name, real_of(file), flags, ret_flags);

	disk_file_of(file)->disk = disk;
	file->pMethods = real_of(file)->pMethods ? &disk_methods : NULL;
	return r;
}

static struct disk *disk_new(void)
{
	struct disk *disk = alloc(sizeof(*disk));

	disk->real = sqlite3_vfs_find(NULL);
	disk->vfs = *disk->real;
	disk->vfs.zName = "disk";
	disk->vfs.szOsFile = (int)sizeof(struct disk_file) + disk->real->szOsFile;
	disk->vfs.xOpen = disk_open;
	sqlite3_vfs_register(&disk->vfs, 1);
	return disk;
}

static void disk_free(struct disk *disk)
{
	sqlite3_vfs_unregister(&disk->vfs);
	free(disk);
}

/* The tests */

struct fixture {
	char folder[32];
	char *path;
	struct disk *disk;
	struct store_driver *driver;
};

static void open_store(struct fixture *fixture)
{
	struct store_params params = { .path = fixture->path };
	struct err err = { 0 };

	if (sqlite_open(&params, &fixture->driver, &err) < 0)
		fail_msg("%s", err.msg);
}

static int setup(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));

	*state = fixture;
	strcpy(fixture->folder, "/tmp/store-fault-XXXXXX");
	if (!mkdtemp(fixture->folder))
		return -1;
	fixture->path = text_format("%s/store.db", fixture->folder);
	fixture->disk = disk_new();
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	sqlite_close(fixture->driver);
	disk_free(fixture->disk);
	file_remove_tree(fixture->folder, &err);
	free(fixture->path);
	free(fixture);
	return 0;
}

/* One batch of 'count' transactions that all put 'value_size' bytes of 'c'; returns what the driver does. */
static int commit(struct store_driver *driver, size_t count, size_t value_size, char c, struct err *err)
{
	struct store_txn *txns[16];
	struct store_result results[16];
	struct store_events events = { 0 };
	auto_free char *value = alloc(value_size);
	int r;

	assert_true(count <= ARRAY_COUNT(txns));
	memset(value, c, value_size);
	for (size_t i = 0; i < count; i++) {
		char key[8];

		snprintf(key, sizeof(key), "k%zu", i);
		txns[i] = store_txn_new();
		store_txn_put(txns[i], key, value, value_size, 0);
	}
	r = store_sqlite.commit(driver, txns, count, results, &events, err);
	assert_int_equal(events.items.count, r == 0 ? count : 0);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(results[i].err.code, r);
		store_txn_free(txns[i]);
	}
	store_events_done(&events);
	return r;
}

struct letters {
	size_t count;
	char letter;
};

static int look(void *data, const struct store_kv *kv, struct err *err)
{
	struct letters *letters = data;

	(void)err;
	assert_true(!letters->count || letters->letter == kv->value[0]);
	assert_int_equal(kv->value[0], kv->value[kv->value_size - 1]);
	letters->letter = kv->value[0];
	letters->count++;
	return 0;
}

static void assert_content(struct store_driver *driver, size_t count, char letter)
{
	struct letters letters = { 0 };
	struct err err = { 0 };
	uint64_t revision;

	if (store_sqlite.range(driver, "", look, &letters, &revision, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(letters.count, count);
	assert_int_equal(letters.letter, letter);
}

/* Fails from the n-th step on during one commit. Returns whether the commit went through. */
static bool commit_with_failure(struct fixture *fixture, unsigned n, int code, size_t count, size_t value_size)
{
	struct err err = { 0 };
	int r;

	open_store(fixture);
	assert_int_equal(commit(fixture->driver, count, 100, 'a', &err), 0);

	fixture->disk->step = 0;
	fixture->disk->code = code;
	fixture->disk->fail_at = n;
	r = commit(fixture->driver, count, value_size, 'b', &err);
	fixture->disk->fail_at = 0;
	if (r < 0) {
		assert_true(r == -EIO || (code == SQLITE_FULL && r == -ENOSPC));
		assert_true(text_starts_with(err.msg, "store: "));
	}
	assert_content(fixture->driver, count, r < 0 ? 'a' : 'b');

	/* The disk is well again, and so is the store. */
	assert_int_equal(commit(fixture->driver, count, value_size, 'c', &err), 0);
	assert_content(fixture->driver, count, 'c');
	sqlite_close(take(fixture->driver));
	open_store(fixture);
	assert_content(fixture->driver, count, 'c');
	sqlite_close(take(fixture->driver));
	assert_int_equal(file_remove_tree(fixture->folder, &err), 0);
	assert_int_equal(mkdir(fixture->folder, 0700), 0);
	return r == 0;
}

static void test_a_commit_fails_at_every_step(void **state)
{
	static const int codes[] = { SQLITE_FULL, SQLITE_IOERR_WRITE };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
		unsigned n = 1;

		while (!commit_with_failure(fixture, n, codes[i], 3, 3000))
			n++;
		assert_true(n > 3);
	}
}

/* 16 values of 300 KB are more than the log holds before its pages are copied to the store. */
static void test_copying_the_log_fails_at_many_steps(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned n = 1; n < 6000; n += 397)
		commit_with_failure(fixture, n, SQLITE_FULL, 16, 300 << 10);
}

static void test_opening_fails_at_every_step(void **state)
{
	struct fixture *fixture = *state;
	struct store_params params = { .path = fixture->path };
	struct err err = { 0 };
	unsigned n = 0;
	int r;

	do {
		fixture->disk->step = 0;
		fixture->disk->code = SQLITE_FULL;
		fixture->disk->fail_at = ++n;
		r = sqlite_open(&params, &fixture->driver, &err);
		fixture->disk->fail_at = 0;
		if (r < 0)
			assert_true(r == -ENOSPC || r == -EIO);
	} while (r < 0);
	assert_true(n > 3);
	assert_int_equal(commit(fixture->driver, 1, 10, 'a', &err), 0);
}

/* A real full disk, in a mount namespace of a child; exit status 77: it cannot be made here. */

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(77);
	close(fd);
}

static void mount_small_disk(const char *folder)
{
	auto_free char *users = text_format("0 %u 1", (unsigned)getuid());
	auto_free char *groups = text_format("0 %u 1", (unsigned)getgid());

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		_exit(77);
	write_text("/proc/self/setgroups", "deny");
	write_text("/proc/self/uid_map", users);
	write_text("/proc/self/gid_map", groups);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", folder, "tmpfs", 0, "size=1m") < 0)
		_exit(77);
}

#define CHECK(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
		_exit(1); \
	} \
} while (0)

static void fill_and_free(const char *folder)
{
	auto_free char *path = text_format("%s/store.db", folder), *ballast_path = text_format("%s/ballast", folder);
	struct store_params params = { .path = path };
	struct store_driver *driver;
	struct err err = { 0 };
	int ballast = open(ballast_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(ballast >= 0 && posix_fallocate(ballast, 0, 256 << 10) == 0);
	close(ballast);
	CHECK(sqlite_open(&params, &driver, &err) == 0);
	CHECK(commit(driver, 4, 1000, 'a', &err) == 0);
	CHECK(commit(driver, 16, 100 << 10, 'b', &err) == -ENOSPC);
	CHECK(strstr(err.msg, "disk full"));
	assert_content(driver, 4, 'a');
	CHECK(unlink(ballast_path) == 0);
	CHECK(commit(driver, 4, 20000, 'c', &err) == 0);
	assert_content(driver, 4, 'c');
	sqlite_close(driver);
	_exit(0);
}

static void test_a_full_disk(void **state)
{
	struct fixture *fixture = *state;
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		mount_small_disk(fixture->folder);
		fill_and_free(fixture->folder);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();				/* No user namespaces here. */
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_commit_fails_at_every_step, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copying_the_log_fails_at_many_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_opening_fails_at_every_step, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
