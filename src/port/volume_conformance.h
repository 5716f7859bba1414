/*
 * volume_conformance.h - the definition of the volume port: what every driver must do.
 *
 * A driver's test runs all cases against itself; the sim driver is held to the same, so that what
 * works in simulation works on disks.
 *
 * Errors:  a case returns -EPROTO with the line and the condition that did not hold.
 */
#ifndef PORT_VOLUME_CONFORMANCE_H
#define PORT_VOLUME_CONFORMANCE_H

#include "port/volume.h"

struct volume_conformance {
	const struct volume_ops *ops;
	struct volume_params params;	/* An empty place. */
	const char *scratch;		/* A folder for files to import and export. */
	void *data;
	/* The guest's side: the volume's first bytes become, or are, this number (1..255). */
	int (*write)(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err);
	int (*check)(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err);
	/* The same for a tree: what a container would leave there depends on this number and on nothing before. */
	int (*write_tree)(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err);
	int (*check_tree)(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err);
	bool has_limits;		/* A tree's size is kept. */
	/* Leaves a half-built volume behind, as a crash would. */
	int (*leave_half_built)(void *data, struct volume_driver *driver, struct err *err);
};

struct volume_case {
	const char *name;
	int (*run)(const struct volume_conformance *conformance, struct volume_driver *driver, struct err *err);
	bool closes;			/* Leaves no volume and has closed the driver. */
};

extern const struct volume_case volume_cases[];		/* Ends with a null name. */

/* Opens a driver, runs the case, removes every volume it left and closes the driver. */
int volume_conformance_run(const struct volume_conformance *conformance, const struct volume_case *test, struct err *err);

#endif
