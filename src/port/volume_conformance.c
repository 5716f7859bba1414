#include "port/volume_conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { MIB = 1 << 20, KEPT = 1, CHANGED = 2 };

/* The condition must hold; the second form also shows why an operation failed. */
#define EXPECT(condition) \
	do { \
		if (!(condition)) \
			return err_set(err, -EPROTO, "line %d: not true: %s", __LINE__, #condition); \
	} while (0)
#define SUCCEED(call) \
	do { \
		if ((call) < 0) \
			return err_prefix(err, "line %d: %s", __LINE__, #call); \
	} while (0)
#define FAIL_WITH(code, call) EXPECT((call) == (code))

static int test_create(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, 64 * MIB, err));
	SUCCEED(c->ops->info(driver, "a", &info, err));
	EXPECT(info.size_bytes == 64 * MIB && info.layers.count == 1 && info.snapshots.count == 0);
	EXPECT(info.allocated_bytes < 2 * MIB);		/* Sparse */
	volume_info_done(&info);

	FAIL_WITH(-EINVAL, c->ops->create(driver, "b", VOLUME_BLOCK, NULL, 0, &ignored));
	FAIL_WITH(-EINVAL, c->ops->create(driver, "b", VOLUME_BLOCK, NULL, VOLUME_SIZE_MAX + 1, &ignored));
	FAIL_WITH(-EINVAL, c->ops->create(driver, "../b", VOLUME_BLOCK, NULL, MIB, &ignored));
	FAIL_WITH(-EINVAL, c->ops->create(driver, "", VOLUME_BLOCK, NULL, MIB, &ignored));
	FAIL_WITH(-ENOENT, c->ops->create(driver, "b", VOLUME_BLOCK, "absent", MIB, &ignored));
	FAIL_WITH(-ENOENT, c->ops->info(driver, "b", &info, &ignored));
	return 0;
}

static int test_create_again(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->write(c->data, driver, "a", KEPT, err));
	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->check(c->data, driver, "a", KEPT, err));
	return 0;
}

static int test_child(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "image", VOLUME_BLOCK, NULL, 4 * MIB, err));
	SUCCEED(c->write(c->data, driver, "image", KEPT, err));
	FAIL_WITH(-EINVAL, c->ops->create(driver, "small", VOLUME_BLOCK, "image", 2 * MIB, &ignored));
	SUCCEED(c->ops->create(driver, "same", VOLUME_BLOCK, "image", 0, err));
	SUCCEED(c->ops->create(driver, "large", VOLUME_BLOCK, "image", 8 * MIB, err));
	SUCCEED(c->check(c->data, driver, "large", KEPT, err));
	SUCCEED(c->write(c->data, driver, "same", CHANGED, err));
	SUCCEED(c->check(c->data, driver, "same", CHANGED, err));
	SUCCEED(c->check(c->data, driver, "image", KEPT, err));
	SUCCEED(c->check(c->data, driver, "large", KEPT, err));

	SUCCEED(c->ops->info(driver, "large", &info, err));
	EXPECT(info.size_bytes == 8 * MIB && info.layers.count == 2);
	EXPECT(strstr(info.layers.items[0].path, "large") && strstr(info.layers.items[1].path, "image"));
	volume_info_done(&info);
	SUCCEED(c->ops->info(driver, "same", &info, err));
	EXPECT(info.size_bytes == 4 * MIB);
	volume_info_done(&info);
	return 0;
}

static int test_resize(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, 2 * MIB, err));
	SUCCEED(c->write(c->data, driver, "a", KEPT, err));
	SUCCEED(c->ops->resize(driver, "a", 5 * MIB, err));
	SUCCEED(c->ops->resize(driver, "a", 5 * MIB, err));
	FAIL_WITH(-EINVAL, c->ops->resize(driver, "a", 4 * MIB, &ignored));
	FAIL_WITH(-ENOENT, c->ops->resize(driver, "absent", 4 * MIB, &ignored));
	SUCCEED(c->ops->info(driver, "a", &info, err));
	EXPECT(info.size_bytes == 5 * MIB);
	volume_info_done(&info);
	SUCCEED(c->check(c->data, driver, "a", KEPT, err));
	return 0;
}

static int test_snapshots(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->write(c->data, driver, "a", KEPT, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "first", err));
	FAIL_WITH(-EEXIST, c->ops->snapshot_create(driver, "a", "first", &ignored));
	SUCCEED(c->write(c->data, driver, "a", CHANGED, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "second", err));
	SUCCEED(c->ops->info(driver, "a", &info, err));
	EXPECT(info.snapshots.count == 2);
	EXPECT(text_equal(info.snapshots.items[0], "first") && text_equal(info.snapshots.items[1], "second"));
	volume_info_done(&info);

	SUCCEED(c->ops->snapshot_restore(driver, "a", "first", err));
	SUCCEED(c->check(c->data, driver, "a", KEPT, err));
	SUCCEED(c->ops->snapshot_restore(driver, "a", "second", err));
	SUCCEED(c->check(c->data, driver, "a", CHANGED, err));
	FAIL_WITH(-ENOENT, c->ops->snapshot_restore(driver, "a", "third", &ignored));
	SUCCEED(c->ops->snapshot_remove(driver, "a", "first", err));
	SUCCEED(c->ops->snapshot_remove(driver, "a", "first", err));
	SUCCEED(c->ops->info(driver, "a", &info, err));
	EXPECT(info.snapshots.count == 1);
	volume_info_done(&info);
	return 0;
}

static int test_clone(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "image", VOLUME_BLOCK, NULL, 4 * MIB, err));
	SUCCEED(c->write(c->data, driver, "image", KEPT, err));
	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, "image", 0, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "before", err));
	SUCCEED(c->write(c->data, driver, "a", CHANGED, err));
	SUCCEED(c->ops->clone(driver, "now", "a", NULL, NULL, err));
	SUCCEED(c->ops->clone(driver, "then", "a", "before", NULL, err));
	SUCCEED(c->ops->clone(driver, "then", "a", "before", NULL, err));
	FAIL_WITH(-ENOENT, c->ops->clone(driver, "b", "a", "never", NULL, &ignored));
	FAIL_WITH(-ENOENT, c->ops->clone(driver, "b", "absent", NULL, NULL, &ignored));
	SUCCEED(c->ops->remove(driver, "a", err));
	SUCCEED(c->check(c->data, driver, "now", CHANGED, err));
	SUCCEED(c->check(c->data, driver, "then", KEPT, err));

	SUCCEED(c->ops->info(driver, "now", &info, err));
	EXPECT(info.layers.count == 2 && info.snapshots.count == 0);	/* Still shares the image. */
	volume_info_done(&info);
	return 0;
}

static int test_export_import(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	auto_free char *path = text_format("%s/export", c->scratch);
	auto_close int fd = -1;
	struct volume_info info;
	bool is_cancelled = true;
	struct volume_progress progress = { .is_cancelled = &is_cancelled };
	struct err ignored;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->write(c->data, driver, "a", KEPT, err));
	SUCCEED(c->ops->export(driver, "a", path, NULL, err));
	FAIL_WITH(-EEXIST, c->ops->export(driver, "a", path, NULL, &ignored));
	FAIL_WITH(-ENOENT, c->ops->export(driver, "absent", path, NULL, &ignored));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0);
	FAIL_WITH(-ECANCELED, c->ops->import(driver, "b", fd, -1, &progress, &ignored));
	FAIL_WITH(-ENOENT, c->ops->info(driver, "b", &info, &ignored));
	SUCCEED(c->ops->import(driver, "b", fd, -1, NULL, err));
	SUCCEED(c->ops->info(driver, "b", &info, err));
	EXPECT(info.layers.count == 1);
	volume_info_done(&info);
	unlink(path);
	return 0;
}

static int test_remove(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->ops->remove(driver, "a", err));
	SUCCEED(c->ops->remove(driver, "a", err));
	FAIL_WITH(-ENOENT, c->ops->info(driver, "a", &info, &ignored));
	return 0;
}

static int test_list(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_names names;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->ops->create(driver, "b", VOLUME_BLOCK, "a", 0, err));
	SUCCEED(c->leave_half_built(c->data, driver, err));
	SUCCEED(c->ops->list(driver, &names, err));
	EXPECT(names.items.count == 2);
	EXPECT(text_equal(names.items.items[0], "a") != text_equal(names.items.items[1], "a"));
	EXPECT(text_equal(names.items.items[0], "b") != text_equal(names.items.items[1], "b"));
	volume_names_done(&names);
	return 0;
}

/* What a driver made, the next one on the same place finds. */
static int test_reopen(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_driver *next;
	struct volume_info info;

	SUCCEED(c->ops->create(driver, "image", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, "image", 0, err));
	SUCCEED(c->ops->open(&c->params, &next, err));
	SUCCEED(c->ops->info(next, "a", &info, err));
	EXPECT(info.layers.count == 2);
	volume_info_done(&info);
	c->ops->close(next);
	return 0;
}

/* Trees */

static int test_tree(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "t", VOLUME_TREE, NULL, 0, err));
	SUCCEED(c->ops->info(driver, "t", &info, err));
	EXPECT(info.content == VOLUME_TREE && info.tree && info.tree[0] == '/');
	EXPECT(info.size_bytes == 0 && info.layers.count == 0 && info.snapshots.count == 0);
	volume_info_done(&info);
	SUCCEED(c->write_tree(c->data, driver, "t", KEPT, err));
	SUCCEED(c->ops->create(driver, "t", VOLUME_TREE, NULL, 0, err));
	SUCCEED(c->check_tree(c->data, driver, "t", KEPT, err));
	SUCCEED(c->ops->info(driver, "t", &info, err));
	EXPECT(info.allocated_bytes > 0);
	volume_info_done(&info);
	FAIL_WITH(-EINVAL, c->ops->create(driver, "../t", VOLUME_TREE, NULL, 0, &ignored));
	FAIL_WITH(-EINVAL, c->ops->create(driver, "child", VOLUME_TREE, "t", 0, &ignored));
	FAIL_WITH(-EINVAL, c->ops->create(driver, "u", VOLUME_TREE, NULL, 1, &ignored));
	FAIL_WITH(-EOPNOTSUPP, c->ops->export(driver, "t", "/never", NULL, &ignored));
	SUCCEED(c->ops->remove(driver, "t", err));
	FAIL_WITH(-ENOENT, c->ops->info(driver, "t", &info, &ignored));
	return 0;
}

static int test_tree_limit(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	if (!c->has_limits) {
		FAIL_WITH(-EOPNOTSUPP, c->ops->create(driver, "t", VOLUME_TREE, NULL, 64 * MIB, &ignored));
		FAIL_WITH(-ENOENT, c->ops->info(driver, "t", &info, &ignored));
		return 0;
	}
	SUCCEED(c->ops->create(driver, "t", VOLUME_TREE, NULL, 64 * MIB, err));
	FAIL_WITH(-EINVAL, c->ops->resize(driver, "t", 32 * MIB, &ignored));
	SUCCEED(c->ops->resize(driver, "t", 96 * MIB, err));
	SUCCEED(c->ops->snapshot_create(driver, "t", "s", err));
	SUCCEED(c->ops->snapshot_restore(driver, "t", "s", err));
	SUCCEED(c->ops->clone(driver, "u", "t", "s", NULL, err));
	SUCCEED(c->ops->info(driver, "t", &info, err));
	EXPECT(info.size_bytes == 96 * MIB);
	volume_info_done(&info);
	SUCCEED(c->ops->info(driver, "u", &info, err));
	EXPECT(info.size_bytes == 96 * MIB);
	volume_info_done(&info);
	return 0;
}

static int test_tree_snapshots(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "t", VOLUME_TREE, NULL, 0, err));
	SUCCEED(c->write_tree(c->data, driver, "t", KEPT, err));
	SUCCEED(c->ops->snapshot_create(driver, "t", "second", err));
	FAIL_WITH(-EEXIST, c->ops->snapshot_create(driver, "t", "second", &ignored));
	SUCCEED(c->write_tree(c->data, driver, "t", CHANGED, err));
	SUCCEED(c->ops->snapshot_create(driver, "t", "first", err));
	SUCCEED(c->ops->info(driver, "t", &info, err));
	EXPECT(info.snapshots.count == 2);
	EXPECT(text_equal(info.snapshots.items[0], "second") && text_equal(info.snapshots.items[1], "first"));
	volume_info_done(&info);

	SUCCEED(c->ops->snapshot_restore(driver, "t", "second", err));
	SUCCEED(c->check_tree(c->data, driver, "t", KEPT, err));
	SUCCEED(c->write_tree(c->data, driver, "t", CHANGED, err));
	SUCCEED(c->ops->snapshot_restore(driver, "t", "second", err));
	SUCCEED(c->check_tree(c->data, driver, "t", KEPT, err));
	FAIL_WITH(-ENOENT, c->ops->snapshot_restore(driver, "t", "third", &ignored));
	SUCCEED(c->ops->snapshot_remove(driver, "t", "second", err));
	SUCCEED(c->ops->snapshot_remove(driver, "t", "second", err));
	SUCCEED(c->ops->snapshot_restore(driver, "t", "first", err));
	SUCCEED(c->check_tree(c->data, driver, "t", CHANGED, err));
	SUCCEED(c->ops->info(driver, "t", &info, err));
	EXPECT(info.snapshots.count == 1);
	volume_info_done(&info);
	return 0;
}

static int test_tree_clone(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_info info;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "t", VOLUME_TREE, NULL, 0, err));
	SUCCEED(c->write_tree(c->data, driver, "t", KEPT, err));
	SUCCEED(c->ops->snapshot_create(driver, "t", "before", err));
	SUCCEED(c->write_tree(c->data, driver, "t", CHANGED, err));
	SUCCEED(c->ops->clone(driver, "now", "t", NULL, NULL, err));
	SUCCEED(c->ops->clone(driver, "then", "t", "before", NULL, err));
	SUCCEED(c->ops->clone(driver, "then", "t", NULL, NULL, err));
	FAIL_WITH(-ENOENT, c->ops->clone(driver, "u", "t", "never", NULL, &ignored));
	SUCCEED(c->write_tree(c->data, driver, "t", KEPT, err));
	SUCCEED(c->check_tree(c->data, driver, "now", CHANGED, err));
	SUCCEED(c->ops->remove(driver, "t", err));
	SUCCEED(c->check_tree(c->data, driver, "now", CHANGED, err));
	SUCCEED(c->check_tree(c->data, driver, "then", KEPT, err));
	SUCCEED(c->ops->info(driver, "then", &info, err));
	EXPECT(info.content == VOLUME_TREE && info.snapshots.count == 0);
	volume_info_done(&info);
	return 0;
}

/* Streams: by way of a file, so that it can be cut and damaged. */

static int open_stream(const struct volume_conformance *c, const char *name, char **ret_path)
{
	*ret_path = text_format("%s/%s", c->scratch, name);
	unlink(*ret_path);
	return open(*ret_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static int receive(const struct volume_conformance *c, struct volume_driver *driver, const char *volume, int fd, struct err *err)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, -errno, "rewind: %m");
	return c->ops->receive(driver, volume, fd, NULL, err);
}

typedef int content_fn(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err);

/* Cut anywhere, or with any byte changed: refused, and nothing is changed. */
static int expect_damage_noticed(const struct volume_conformance *c, struct volume_driver *driver, int fd, const char *volume, bool is_new,
				 content_fn *check, struct err *err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct volume_info info;
	struct err ignored;

	for (int i = 1; i < 8; i++) {
		off_t at = i < 7 ? size * i / 8 : size - 1;
		auto_free char *rest = alloc((size_t)(size - at));
		char flipped;

		EXPECT(pread(fd, rest, (size_t)(size - at), at) == size - at);
		EXPECT(ftruncate(fd, at) == 0);
		EXPECT(receive(c, driver, volume, fd, &ignored) == -EINVAL);
		flipped = (char)(rest[0] ^ 0x10);
		EXPECT(pwrite(fd, rest, (size_t)(size - at), at) == size - at && pwrite(fd, &flipped, 1, at) == 1);
		EXPECT(receive(c, driver, volume, fd, &ignored) < 0);
		EXPECT(pwrite(fd, rest, 1, at) == 1);
		if (is_new)
			FAIL_WITH(-ENOENT, c->ops->info(driver, volume, &info, &ignored));
		else
			SUCCEED(check(c->data, driver, volume, KEPT, err));
	}
	return 0;
}

static int send_and_receive(const struct volume_conformance *c, struct volume_driver *driver, enum volume_content content,
			    content_fn *write, content_fn *check, struct err *err)
{
	auto_free char *whole_path = NULL, *changes_path = NULL;
	auto_close int whole = open_stream(c, "whole", &whole_path), changes = open_stream(c, "changes", &changes_path);
	auto_info struct volume_info info = { 0 };
	struct err ignored;

	SUCCEED(c->ops->create(driver, "a", content, NULL, content == VOLUME_BLOCK ? 4 * MIB : 0, err));
	SUCCEED(write(c->data, driver, "a", KEPT, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "s1", err));
	SUCCEED(write(c->data, driver, "a", CHANGED, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "s2", err));
	SUCCEED(write(c->data, driver, "a", KEPT, err));
	FAIL_WITH(-ENOENT, c->ops->send(driver, "a", "s3", NULL, whole, NULL, &ignored));
	FAIL_WITH(-ENOENT, c->ops->send(driver, "a", "s1", "s3", whole, NULL, &ignored));
	SUCCEED(ftruncate(whole, 0));
	lseek(whole, 0, SEEK_SET);
	SUCCEED(c->ops->send(driver, "a", "s1", NULL, whole, NULL, err));
	SUCCEED(c->ops->send(driver, "a", "s2", "s1", changes, NULL, err));
	SUCCEED(expect_damage_noticed(c, driver, whole, "b", true, check, err));

	FAIL_WITH(-ENOENT, receive(c, driver, "b", changes, &ignored));
	SUCCEED(receive(c, driver, "b", whole, err));
	SUCCEED(check(c->data, driver, "b", KEPT, err));
	SUCCEED(receive(c, driver, "b", whole, err));		/* Again: done already. */
	SUCCEED(expect_damage_noticed(c, driver, changes, "b", false, check, err));
	SUCCEED(write(c->data, driver, "b", CHANGED + 1, err));	/* Not at the base any more: its snapshot is. */
	SUCCEED(receive(c, driver, "b", changes, err));
	SUCCEED(check(c->data, driver, "b", CHANGED, err));
	SUCCEED(receive(c, driver, "b", changes, err));
	SUCCEED(c->ops->info(driver, "b", &info, err));
	EXPECT(info.snapshots.count == 2 && text_equal(info.snapshots.items[0], "s1") && text_equal(info.snapshots.items[1], "s2"));
	SUCCEED(c->ops->snapshot_restore(driver, "b", "s1", err));
	SUCCEED(check(c->data, driver, "b", KEPT, err));
	/* A volume that never had the base. */
	SUCCEED(c->ops->create(driver, "other", content, NULL, content == VOLUME_BLOCK ? 4 * MIB : 0, err));
	FAIL_WITH(-ENOENT, receive(c, driver, "other", changes, &ignored));
	FAIL_WITH(-EEXIST, receive(c, driver, "other", whole, &ignored));
	unlink(whole_path);
	unlink(changes_path);
	return 0;
}

static int test_send_block(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	return send_and_receive(c, driver, VOLUME_BLOCK, c->write, c->check, err);
}

static int test_send_tree(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	return send_and_receive(c, driver, VOLUME_TREE, c->write_tree, c->check_tree, err);
}

/* A whole stream holds what the parent holds too. */
static int test_send_child(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	auto_free char *path = NULL;
	auto_close int fd = open_stream(c, "child", &path);
	struct volume_info info;

	SUCCEED(c->ops->create(driver, "image", VOLUME_BLOCK, NULL, 4 * MIB, err));
	SUCCEED(c->write(c->data, driver, "image", KEPT, err));
	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, "image", 8 * MIB, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "s", err));
	SUCCEED(c->ops->send(driver, "a", "s", NULL, fd, NULL, err));
	SUCCEED(receive(c, driver, "b", fd, err));
	SUCCEED(c->check(c->data, driver, "b", KEPT, err));
	SUCCEED(c->ops->info(driver, "b", &info, err));
	EXPECT(info.layers.count == 1 && info.size_bytes == 8 * MIB);
	volume_info_done(&info);
	unlink(path);
	return 0;
}

/* A disk that grew between two snapshots. */
static int test_send_grown(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	auto_free char *whole_path = NULL, *changes_path = NULL;
	auto_close int whole = open_stream(c, "whole", &whole_path), changes = open_stream(c, "changes", &changes_path);
	struct volume_info info;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, 4 * MIB + 512, err));
	SUCCEED(c->write(c->data, driver, "a", KEPT, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "s1", err));
	SUCCEED(c->ops->resize(driver, "a", 9 * MIB, err));
	SUCCEED(c->write(c->data, driver, "a", CHANGED, err));
	SUCCEED(c->ops->snapshot_create(driver, "a", "s2", err));
	SUCCEED(c->ops->send(driver, "a", "s1", NULL, whole, NULL, err));
	SUCCEED(c->ops->send(driver, "a", "s2", "s1", changes, NULL, err));
	SUCCEED(receive(c, driver, "b", whole, err));
	SUCCEED(c->ops->info(driver, "b", &info, err));
	EXPECT(info.size_bytes == 4 * MIB + 512);
	volume_info_done(&info);
	SUCCEED(receive(c, driver, "b", changes, err));
	SUCCEED(c->check(c->data, driver, "b", CHANGED, err));
	SUCCEED(c->ops->info(driver, "b", &info, err));
	EXPECT(info.size_bytes == 9 * MIB);
	volume_info_done(&info);
	unlink(whole_path);
	unlink(changes_path);
	return 0;
}

static int test_receive_nonsense(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	static const char *const nonsense[] = {
		"", "x", "strata-volume\n", "This is no stream, but long enough to be taken for the beginning of one.",
	};
	auto_free char *path = NULL;
	auto_close int fd = open_stream(c, "nonsense", &path);
	bool is_cancelled = true;
	struct volume_progress progress = { .is_cancelled = &is_cancelled };
	struct volume_names names;
	struct err ignored;

	for (size_t i = 0; i < ARRAY_COUNT(nonsense); i++) {
		EXPECT(ftruncate(fd, 0) == 0 && pwrite(fd, nonsense[i], strlen(nonsense[i]), 0) == (ssize_t)strlen(nonsense[i]));
		FAIL_WITH(-EINVAL, receive(c, driver, "b", fd, &ignored));
	}
	FAIL_WITH(-ECANCELED, c->ops->receive(driver, "b", fd, &progress, &ignored));
	SUCCEED(c->ops->list(driver, &names, err));
	EXPECT(names.items.count == 0);
	volume_names_done(&names);
	unlink(path);
	return 0;
}

static int test_space(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_space space;

	SUCCEED(c->ops->space(driver, &space, err));
	EXPECT(space.size_bytes > 0 && space.free_bytes > 0 && space.free_bytes <= space.size_bytes);
	return 0;
}

/* Refused while a volume is there; afterwards the pool is as if it had never been, and may be made again. */
static int test_destroy(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_driver *next;
	struct err ignored;

	SUCCEED(c->ops->create(driver, "a", VOLUME_BLOCK, NULL, MIB, err));
	FAIL_WITH(-EBUSY, c->ops->destroy(&c->params, &ignored));
	SUCCEED(c->ops->remove(driver, "a", err));
	SUCCEED(c->ops->create(driver, "t", VOLUME_TREE, NULL, 0, err));
	FAIL_WITH(-EBUSY, c->ops->destroy(&c->params, &ignored));
	SUCCEED(c->ops->remove(driver, "t", err));
	c->ops->close(driver);
	SUCCEED(c->ops->destroy(&c->params, err));
	SUCCEED(c->ops->destroy(&c->params, err));
	SUCCEED(c->ops->open(&c->params, &next, err));
	SUCCEED(c->ops->create(next, "a", VOLUME_BLOCK, NULL, MIB, err));
	SUCCEED(c->ops->remove(next, "a", err));
	c->ops->close(next);
	return 0;
}

const struct volume_case volume_cases[] = {
	{ .name = "create", .run = test_create },
	{ .name = "create again", .run = test_create_again },
	{ .name = "child of an image", .run = test_child },
	{ .name = "resize", .run = test_resize },
	{ .name = "snapshots", .run = test_snapshots },
	{ .name = "clone", .run = test_clone },
	{ .name = "export and import", .run = test_export_import },
	{ .name = "remove", .run = test_remove },
	{ .name = "list", .run = test_list },
	{ .name = "reopen", .run = test_reopen },
	{ .name = "tree", .run = test_tree },
	{ .name = "tree with a limit", .run = test_tree_limit },
	{ .name = "snapshots of a tree", .run = test_tree_snapshots },
	{ .name = "clone of a tree", .run = test_tree_clone },
	{ .name = "send and receive a disk", .run = test_send_block },
	{ .name = "send and receive a tree", .run = test_send_tree },
	{ .name = "send a child of an image", .run = test_send_child },
	{ .name = "send what grew", .run = test_send_grown },
	{ .name = "receive nonsense", .run = test_receive_nonsense },
	{ .name = "space", .run = test_space },
	{ .name = "destroy", .run = test_destroy, .closes = true },
	{ .name = NULL },
};

static int remove_all(const struct volume_conformance *c, struct volume_driver *driver, struct err *err)
{
	struct volume_names names;

	SUCCEED(c->ops->list(driver, &names, err));
	for (size_t i = 0; i < names.items.count; i++)
		SUCCEED(c->ops->remove(driver, names.items.items[i], err));
	volume_names_done(&names);
	return 0;
}

int volume_conformance_run(const struct volume_conformance *conformance, const struct volume_case *test, struct err *err)
{
	struct volume_driver *driver;
	int r;

	if (conformance->ops->open(&conformance->params, &driver, err) < 0)
		return err_prefix(err, "open");
	r = test->run(conformance, driver, err);
	if (test->closes && r == 0)
		return 0;
	if (r == 0)
		r = remove_all(conformance, driver, err);
	conformance->ops->close(driver);
	return r;
}
