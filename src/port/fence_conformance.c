#include "port/fence_conformance.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

#define MS UINT64_C(1000000)
#define END_LIMIT_NS (20000 * MS)	/* Longer is taken for never. */

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
/* It runs, or what was read of it may be from after the deadline. */
#define EXPECT_ALIVE(uid, deadline_ns) EXPECT(c->is_running(c->data, (uid)) || c->ops->now_ns(driver) >= (deadline_ns))

static int guard(const struct fence_conformance *c, struct fence_driver *driver, const char *uid, struct err *err)
{
	char path[FENCE_CGROUP_LENGTH + 1];

	c->cgroup(c->data, uid, path);
	return c->ops->guard(driver, uid, path, err);
}

static int renew(const struct fence_conformance *c, struct fence_driver *driver, uint64_t ahead_ns, uint64_t *ret_deadline_ns, struct err *err)
{
	*ret_deadline_ns = c->ops->now_ns(driver) + ahead_ns;
	return c->ops->renew(driver, *ret_deadline_ns, err);
}

static bool ends(const struct fence_conformance *c, struct fence_driver *driver, const char *uid)
{
	uint64_t limit_ns = c->ops->now_ns(driver) + END_LIMIT_NS;

	while (c->is_running(c->data, uid) && c->ops->now_ns(driver) < limit_ns)
		c->pass(c->data, 5 * MS);
	return !c->is_running(c->data, uid);
}

/* What the driver says of a guard: whether it was ended; -1: not guarded. */
static int was_ended(const struct fence_conformance *c, struct fence_driver *driver, const char *uid)
{
	auto_fence_status struct fence_status status = { 0 };
	const struct fence_guard *found;
	struct err err;

	if (c->ops->status(driver, &status, &err) < 0)
		return -1;
	found = fence_status_find(&status, uid);
	return found ? found->ended_at_ms != 0 : -1;
}

/* It dies first and is noted then. */
static bool is_noted(const struct fence_conformance *c, struct fence_driver *driver, const char *uid)
{
	uint64_t limit_ns = c->ops->now_ns(driver) + END_LIMIT_NS;

	while (was_ended(c, driver, uid) != 1 && c->ops->now_ns(driver) < limit_ns)
		c->pass(c->data, 5 * MS);
	return was_ended(c, driver, uid) == 1;
}

static int test_lives_while_renewed(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	SUCCEED(c->start(c->data, "web", err));
	for (int i = 0; i < 4; i++) {
		SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
		c->pass(c->data, c->lease_ns / 2);
		EXPECT_ALIVE("web", deadline_ns);
	}
	SUCCEED(c->ops->unguard(driver, "web", err));
	EXPECT(was_ended(c, driver, "web") == -1);
	return 0;
}

static int test_ends_when_lease_is_over(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns / 4, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	SUCCEED(guard(c, driver, "idle", err));
	SUCCEED(c->start(c->data, "web", err));
	SUCCEED(c->start(c->data, "other", err));
	EXPECT(ends(c, driver, "web"));
	EXPECT(c->ops->now_ns(driver) >= deadline_ns);
	EXPECT(is_noted(c, driver, "web"));
	EXPECT(was_ended(c, driver, "idle") == 0);	/* There was nothing to end. */
	EXPECT(c->is_running(c->data, "other"));	/* Nobody guards it. */
	return 0;
}

/* Again and again the deadline moves when it is about to pass. Where this host was too slow nothing is proved: it begins again. */
static int test_renewed_just_before(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	SUCCEED(c->start(c->data, "web", err));
	for (int i = 0; i < 20; i++) {
		uint64_t now_ns = c->ops->now_ns(driver), before_ns = deadline_ns;

		if (now_ns + 10 * MS < before_ns)
			c->pass(c->data, before_ns - now_ns - 10 * MS);
		SUCCEED(renew(c, driver, 40 * MS, &deadline_ns, err));
		if (c->ops->now_ns(driver) >= before_ns) {
			SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
			SUCCEED(c->start(c->data, "web", err));
		} else {
			c->pass(c->data, 15 * MS);
		}
		EXPECT_ALIVE("web", deadline_ns);
	}
	EXPECT(ends(c, driver, "web"));
	return 0;
}

static int test_ends_what_appears(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(guard(c, driver, "web", err));		/* Never renewed is over. */
	for (int i = 0; i < 3; i++) {
		SUCCEED(c->start(c->data, "web", err));
		EXPECT(ends(c, driver, "web"));
	}
	EXPECT(is_noted(c, driver, "web"));
	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	EXPECT(was_ended(c, driver, "web") == 0);	/* Begun anew. */
	SUCCEED(c->start(c->data, "web", err));
	c->pass(c->data, c->lease_ns / 4);
	EXPECT_ALIVE("web", deadline_ns);
	return 0;
}

static int test_unguarded_goes_on(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	SUCCEED(guard(c, driver, "db", err));
	SUCCEED(c->start(c->data, "web", err));
	SUCCEED(c->start(c->data, "db", err));
	SUCCEED(c->ops->unguard(driver, "db", err));
	SUCCEED(c->ops->unguard(driver, "db", err));
	if (!c->is_running(c->data, "db"))
		return 0;				/* Too slow a host: the lease was over before. */
	EXPECT(ends(c, driver, "web"));
	EXPECT(c->is_running(c->data, "db"));
	EXPECT(was_ended(c, driver, "db") == -1);
	return 0;
}

/* The next daemon finds guards, deadline and what became of them. */
static int test_adoption(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	auto_fence_status struct fence_status status = { 0 }, again = { 0 };
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	SUCCEED(c->start(c->data, "web", err));
	SUCCEED(c->ops->status(driver, &status, err));
	EXPECT(status.deadline_ns == deadline_ns && status.guards.count == 1);
	c->ops->close(take(*ret_driver));
	SUCCEED(c->ops->open(&c->params, ret_driver, err));
	driver = *ret_driver;
	SUCCEED(c->ops->status(driver, &again, err));
	EXPECT(again.deadline_ns == deadline_ns && again.guards.count == 1 && again.watchdog == status.watchdog);
	EXPECT(strcmp(again.guards.items[0].cgroup, status.guards.items[0].cgroup) == 0);
	EXPECT_ALIVE("web", deadline_ns);
	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	c->pass(c->data, c->lease_ns / 2);
	EXPECT_ALIVE("web", deadline_ns);
	c->ops->close(take(*ret_driver));		/* Nobody renews it any more. */
	for (int i = 0; i < 100 && c->is_running(c->data, "web"); i++)
		c->pass(c->data, c->lease_ns / 4);
	EXPECT(!c->is_running(c->data, "web"));
	SUCCEED(c->ops->open(&c->params, ret_driver, err));
	EXPECT(is_noted(c, *ret_driver, "web"));
	return 0;
}

static int test_one_daemon(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	struct fence_driver *other;
	struct err ignored;

	(void)ret_driver;
	FAIL_WITH(-EBUSY, c->ops->open(&c->params, &other, &ignored));
	return 0;
}

static int test_watchdog_killed(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	auto_fence_status struct fence_status status = { 0 };
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	SUCCEED(c->start(c->data, "web", err));
	c->kill_watchdog(c->data, driver);
	SUCCEED(renew(c, driver, c->lease_ns / 2, &deadline_ns, err));
	SUCCEED(c->ops->status(driver, &status, err));
	EXPECT(status.watchdog > 0 && status.guards.count == 1);
	EXPECT(ends(c, driver, "web"));
	EXPECT(is_noted(c, driver, "web"));
	c->kill_watchdog(c->data, driver);		/* Or guard finds out. */
	SUCCEED(guard(c, driver, "db", err));
	SUCCEED(c->start(c->data, "db", err));
	EXPECT(ends(c, driver, "db"));
	return 0;
}

/* The daemon and the watchdog died, and the next daemon is there before the deadline or after it. */
static int test_both_killed(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns / 4, &deadline_ns, err));
	SUCCEED(guard(c, driver, "web", err));
	SUCCEED(c->start(c->data, "web", err));
	c->kill_watchdog(c->data, driver);
	c->ops->close(take(*ret_driver));
	SUCCEED(c->ops->open(&c->params, ret_driver, err));
	EXPECT(ends(c, *ret_driver, "web"));
	return 0;
}

static int test_earlier_deadline(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	auto_fence_status struct fence_status status = { 0 };
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;

	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	SUCCEED(c->ops->renew(driver, deadline_ns - c->lease_ns / 2, err));
	SUCCEED(c->ops->status(driver, &status, err));
	EXPECT(status.deadline_ns == deadline_ns);
	return 0;
}

static int test_refusals(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	auto_fence_status struct fence_status status = { 0 };
	static const char *const uids[] = { "", "../web", "web/a", "-web", "a b" };
	static const char *const paths[] = { "", "/", "web", "/sys/fs/cgroup/", "/sys/../etc", "/sys/./a", "/sys//a" };
	struct fence_driver *driver = *ret_driver;
	char long_text[FENCE_CGROUP_LENGTH + 3];
	struct err ignored;

	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_COUNT(uids); i++)
		FAIL_WITH(-EINVAL, c->ops->guard(driver, uids[i], "/sys/fs/cgroup/a", &ignored));
	FAIL_WITH(-EINVAL, c->ops->guard(driver, long_text, "/sys/fs/cgroup/a", &ignored));
	for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
		FAIL_WITH(-EINVAL, c->ops->guard(driver, "web", paths[i], &ignored));
	long_text[0] = '/';
	FAIL_WITH(-EINVAL, c->ops->guard(driver, "web", long_text, &ignored));
	FAIL_WITH(-EINVAL, c->ops->renew(driver, c->ops->now_ns(driver) + 2 * FENCE_AHEAD_MAX_NS, &ignored));
	FAIL_WITH(-EINVAL, c->ops->renew(driver, UINT64_MAX, &ignored));
	SUCCEED(c->ops->status(driver, &status, err));
	EXPECT(status.guards.count == 0);
	return 0;
}

/* Guards come, go and come again, more of them than fit a page of memory. */
static int test_many(const struct fence_conformance *c, struct fence_driver **ret_driver, struct err *err)
{
	auto_fence_status struct fence_status status = { 0 };
	struct fence_driver *driver = *ret_driver;
	uint64_t deadline_ns;
	char uid[16];

	SUCCEED(renew(c, driver, c->lease_ns, &deadline_ns, err));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i++) {
			snprintf(uid, sizeof(uid), "n%d", i);
			SUCCEED(guard(c, driver, uid, err));
			if (i % 3 == 0)
				SUCCEED(c->ops->unguard(driver, uid, err));
		}
	SUCCEED(c->ops->status(driver, &status, err));
	EXPECT(status.guards.count == 200);
	EXPECT(!fence_status_find(&status, "n0") && fence_status_find(&status, "n1") && fence_status_find(&status, "n299"));
	SUCCEED(c->start(c->data, "n299", err));
	EXPECT(ends(c, driver, "n299"));
	return 0;
}

const struct fence_case fence_cases[] = {
	{ .name = "lives while renewed", .run = test_lives_while_renewed },
	{ .name = "ends when the lease is over", .run = test_ends_when_lease_is_over },
	{ .name = "renewed just before", .run = test_renewed_just_before },
	{ .name = "ends what appears", .run = test_ends_what_appears },
	{ .name = "unguarded goes on", .run = test_unguarded_goes_on },
	{ .name = "adoption", .run = test_adoption },
	{ .name = "one daemon", .run = test_one_daemon },
	{ .name = "watchdog killed", .run = test_watchdog_killed },
	{ .name = "both killed", .run = test_both_killed },
	{ .name = "earlier deadline", .run = test_earlier_deadline },
	{ .name = "refusals", .run = test_refusals },
	{ .name = "many", .run = test_many },
	{ .name = NULL },
};

static int unguard_all(const struct fence_conformance *c, struct fence_driver *driver, struct err *err)
{
	auto_fence_status struct fence_status status = { 0 };

	SUCCEED(c->ops->status(driver, &status, err));
	for (size_t i = 0; i < status.guards.count; i++)
		SUCCEED(c->ops->unguard(driver, status.guards.items[i].uid, err));
	return 0;
}

/* A deadline cannot be taken back: the one of the case before must be over. */
static int let_lease_pass(const struct fence_conformance *c, struct fence_driver *driver, struct err *err)
{
	auto_fence_status struct fence_status status = { 0 };
	uint64_t now_ns = c->ops->now_ns(driver);

	SUCCEED(c->ops->status(driver, &status, err));
	if (status.deadline_ns > now_ns)
		c->pass(c->data, status.deadline_ns - now_ns);
	return 0;
}

int fence_conformance_run(const struct fence_conformance *conformance, const struct fence_case *test, struct err *err)
{
	struct fence_driver *driver;
	int r;

	if (conformance->ops->open(&conformance->params, &driver, err) < 0)
		return err_prefix(err, "open");
	r = let_lease_pass(conformance, driver, err);
	if (r == 0)
		r = test->run(conformance, &driver, err);
	conformance->stop_all(conformance->data);
	if (r == 0)
		r = unguard_all(conformance, driver, err);
	conformance->ops->close(driver);
	return r;
}
