/*
 * power_conformance.h - the definition of the power port: what every driver must do.
 *
 * Errors:  a case returns -EPROTO with the line and the condition that did not hold.
 */
#ifndef PORT_POWER_CONFORMANCE_H
#define PORT_POWER_CONFORMANCE_H

#include <stdbool.h>

#include "port/power.h"

enum power_mood {
	POWER_WELL,
	POWER_SLOW,			/* Switches some time after it has accepted. */
	POWER_STUCK,			/* Accepts, and nothing happens. */
	POWER_REFUSES,			/* The credentials. */
	POWER_SILENT,			/* Nobody answers. */
};

struct power_conformance {
	const struct power_ops *ops;
	struct power_params params;	/* 'limit_ms' is how long a stuck host is waited for. */
	void *data;
	/* The world's side: a host that is on or off, and how its controller behaves. */
	int (*set)(void *data, bool is_on, enum power_mood mood, struct err *err);
	int (*get)(void *data, bool *ret_is_on, struct err *err);
};

struct power_case {
	const char *name;
	int (*run)(const struct power_conformance *conformance, struct power_driver *driver, struct err *err);
};

extern const struct power_case power_cases[];		/* Ends with a null name. */

int power_conformance_run(const struct power_conformance *conformance, const struct power_case *test, struct err *err);

#endif
