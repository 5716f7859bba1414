#include "port/power_conformance.h"

#include <errno.h>

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

static int test_switches(const struct power_conformance *c, struct power_driver *driver, struct err *err)
{
	enum power_state state;
	bool is_on;

	for (int mood = POWER_WELL; mood <= POWER_SLOW; mood++) {
		SUCCEED(c->set(c->data, true, (enum power_mood)mood, err));
		SUCCEED(c->ops->status(driver, &state, err));
		EXPECT(state == POWER_ON);
		SUCCEED(c->ops->off(driver, err));
		SUCCEED(c->get(c->data, &is_on, err));
		EXPECT(!is_on);
		SUCCEED(c->ops->status(driver, &state, err));
		EXPECT(state == POWER_OFF);
		SUCCEED(c->ops->off(driver, err));
		SUCCEED(c->ops->on(driver, err));
		SUCCEED(c->get(c->data, &is_on, err));
		EXPECT(is_on);
		SUCCEED(c->ops->on(driver, err));
	}
	return 0;
}

/* Accepted is not off. */
static int test_stuck(const struct power_conformance *c, struct power_driver *driver, struct err *err)
{
	struct err ignored;

	SUCCEED(c->set(c->data, true, POWER_STUCK, err));
	FAIL_WITH(-ETIMEDOUT, c->ops->off(driver, &ignored));
	SUCCEED(c->set(c->data, false, POWER_STUCK, err));
	SUCCEED(c->ops->off(driver, err));
	FAIL_WITH(-ETIMEDOUT, c->ops->on(driver, &ignored));
	return 0;
}

static int test_refuses(const struct power_conformance *c, struct power_driver *driver, struct err *err)
{
	enum power_state state;
	struct err ignored;
	bool is_on;

	SUCCEED(c->set(c->data, true, POWER_REFUSES, err));
	FAIL_WITH(-EACCES, c->ops->status(driver, &state, &ignored));
	FAIL_WITH(-EACCES, c->ops->off(driver, &ignored));
	SUCCEED(c->get(c->data, &is_on, err));
	EXPECT(is_on);
	return 0;
}

static int test_silent(const struct power_conformance *c, struct power_driver *driver, struct err *err)
{
	enum power_state state;
	struct err ignored;

	SUCCEED(c->set(c->data, false, POWER_SILENT, err));
	FAIL_WITH(-EHOSTUNREACH, c->ops->status(driver, &state, &ignored));
	FAIL_WITH(-EHOSTUNREACH, c->ops->off(driver, &ignored));	/* Though it is. */
	FAIL_WITH(-EHOSTUNREACH, c->ops->on(driver, &ignored));
	return 0;
}

const struct power_case power_cases[] = {
	{ .name = "switches", .run = test_switches },
	{ .name = "stuck", .run = test_stuck },
	{ .name = "refuses", .run = test_refuses },
	{ .name = "silent", .run = test_silent },
	{ .name = NULL },
};

int power_conformance_run(const struct power_conformance *conformance, const struct power_case *test, struct err *err)
{
	struct power_driver *driver;
	int r;

	if (conformance->ops->open(&conformance->params, &driver, err) < 0)
		return err_prefix(err, "open");
	r = test->run(conformance, driver, err);
	conformance->ops->close(driver);
	return r;
}
