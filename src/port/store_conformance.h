/*
 * store_conformance.h - the definition of the store port as tests (cmocka), alike for every driver.
 *
 * A driver's test calls store_conformance_run() and adds what is its own. The suite assumes nothing
 * about the first revision, so it can also run against a store that was used before.
 */
#ifndef PORT_STORE_CONFORMANCE_H
#define PORT_STORE_CONFORMANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "port/store.h"

struct store_conformance {
	const char *name;		/* For the report. */
	const struct store_ops *ops;
	const char *path;		/* As in store_params. */
	const struct store_etcd_params *etcd;
	enum loop_clock clock;
	uint64_t lease_ms;		/* The shortest lease that is worth testing; waited for with a real clock. */
	/* Others may write to it too: revisions may leave numbers out, and independent transactions that are
	 * committed together may share one. */
	bool is_shared;
	bool is_persistent;		/* What was committed is there after close and open. */
	unsigned random_steps;		/* Of the comparison with a model. */
	/* Called before each test: no store is open, and the next one opened must be empty. May be null. */
	void (*reset)(const struct store_conformance *subject);
	/* Makes the driver that stores of this test are opened on (store_params.shared), and ends it. May be null. */
	struct store_driver *(*share)(struct loop *loop);
	void (*unshare)(struct store_driver *driver);
};

/* Returns the number of failed tests. */
int store_conformance_run(const struct store_conformance *subject);

#endif
