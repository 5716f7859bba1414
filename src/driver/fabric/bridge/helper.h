/*
 * helper.h - a dnsmasq process that outlives the daemon: found, started, told, ended.
 *
 * A process is ours when its command line names a configuration below our folder; the pid file
 * and the cgroup only say where to look, since a pid may have been given to somebody else.
 *
 * Errors:  -errno; see dnsmasq.h.
 * Threads: with the driver's mutex held.
 */
#ifndef DRIVER_FABRIC_BRIDGE_HELPER_H
#define DRIVER_FABRIC_BRIDGE_HELPER_H

#include <stdbool.h>

#include "base/err.h"

struct helper {
	const char *folder;		/* Holds "pid" and the configuration. */
	const char *cgroup;		/* Null: none of its own. */
};

/* Does it run with exactly this configuration? 'config' is a path below the folder. */
bool helper_runs(const struct helper *helper, const char *config);
/* Returns when it is ready to serve. */
int helper_start(const struct helper *helper, const char *config, struct err *err);
void helper_signal(const struct helper *helper, int signal);	/* Nobody there is fine. */
/* Ends all of it and removes its cgroup. -EBUSY: it does not end. */
int helper_stop(const struct helper *helper, struct err *err);

#endif
