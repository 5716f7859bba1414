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

const struct volume_case volume_cases[] = {
	{ "create", test_create },
	{ "create again", test_create_again },
	{ "child of an image", test_child },
	{ "resize", test_resize },
	{ "snapshots", test_snapshots },
	{ "clone", test_clone },
	{ "export and import", test_export_import },
	{ "remove", test_remove },
	{ "list", test_list },
	{ "reopen", test_reopen },
	{ NULL, NULL },
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
	if (r == 0)
		r = remove_all(conformance, driver, err);
	conformance->ops->close(driver);
	return r;
}
