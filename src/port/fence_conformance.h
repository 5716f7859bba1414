/*
 * fence_conformance.h - the definition of the fence port: what every driver must do.
 *
 * A driver's test runs all cases against itself; the sim driver is held to the same, so that what
 * works in simulated clusters works on hosts.
 *
 * Time:    a guest that was found dead though a clock read afterwards is still before the deadline is a failure; how
 *          late an end comes is not judged, only that it comes.
 * Errors:  a case returns -EPROTO with the line and the condition that did not hold.
 */
#ifndef PORT_FENCE_CONFORMANCE_H
#define PORT_FENCE_CONFORMANCE_H

#include "port/fence.h"

struct fence_conformance {
	const struct fence_ops *ops;
	struct fence_params params;	/* An empty place. */
	uint64_t lease_ns;		/* How long a renewal lasts in the cases. */
	void *data;
	/* The world's side: a guest of processes in its cgroup, which is an absolute path; 'start' of one that runs is fine. */
	void (*cgroup)(void *data, const char *uid, char ret_path[FENCE_CGROUP_LENGTH + 1]);
	int (*start)(void *data, const char *uid, struct err *err);
	bool (*is_running)(void *data, const char *uid);
	void (*pass)(void *data, uint64_t ns);		/* Time passes. */
	/* Stops the guests; between cases. */
	void (*stop_all)(void *data);
	/* The watchdog dies; the daemon does not know. */
	void (*kill_watchdog)(void *data, struct fence_driver *driver);
};

struct fence_case {
	const char *name;
	int (*run)(const struct fence_conformance *conformance, struct fence_driver **driver, struct err *err);
};

extern const struct fence_case fence_cases[];		/* Ends with a null name. */

/* Opens a driver, runs the case, takes every guard away that it left and closes the driver. */
int fence_conformance_run(const struct fence_conformance *conformance, const struct fence_case *test, struct err *err);

#endif
