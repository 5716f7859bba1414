/*
 * bundle.h - config.json, what crun is told: OCI runtime specification 1.0.2.
 *
 * Limits are not in it: limits.c sets them between create and start, in the same way as it
 * changes them later.
 */
#ifndef DRIVER_MACHINE_OCI_BUNDLE_H
#define DRIVER_MACHINE_OCI_BUNDLE_H

#include "base/str.h"
#include "driver/machine/oci/capability.h"
#include "driver/machine/oci/user.h"
#include "port/machine.h"

struct bundle {
	const struct machine_config *config;
	const char *base;		/* As in rootfs.h. */
	const char *cgroup;		/* "/strata-1/machines/<uid>/container" */
	bool is_hybrid;			/* Cgroups of version 1 hold the controllers. */
	struct user user;
	struct capability_sets capabilities;
};

bool bundle_has_terminal(const struct machine_container *container);
/* -EINVAL, -ENOENT: a device that is not there. */
int bundle_write(const struct bundle *bundle, struct str *out, struct err *err);

/* What a new process needs, for bundle_write() and exec. */
struct bundle_process {
	const char *const *argv;
	const char *const *env, *const *more_env;	/* Either may be null; later ones win. */
	const char *directory;
	const struct user *user;
	const struct capability_sets *capabilities;
	bool has_terminal, has_new_privileges;
	unsigned rows, columns;
};
void bundle_write_process(struct json_writer *writer, const char *key, const struct bundle_process *process);

#endif
