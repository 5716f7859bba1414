/*
 * fence.h - the fence port: guests that may only run while a lease is good, ended from beside the daemon when it is not.
 *
 * The daemon renews a lease in the cluster's store and says here until when it holds. When that time
 * passes, the watchdog ends every process in the cgroups under its guard, whether the daemon is well, hangs,
 * is stopped or has been killed, and goes on ending what appears there until the deadline is renewed or the
 * guard is taken away. So another host may start these guests when it knows that the time is over.
 *
 * Life cycle: open finds what the daemon before has left: its guards, its deadline, what was ended meanwhile
 *          (status). guard before an instance is started, unguard after it has ended. An instance may be
 *          started when guard and renew succeeded and now < deadline. close leaves guards and watchdog where
 *          they are; there is one daemon at a time (-EBUSY). After a reboot nothing is guarded.
 * Time:    nanoseconds of now_ns (CLOCK_BOOTTIME, which counts while the host sleeps). The deadline is
 *          computed from when the renewal that succeeded was *sent*: the store counts from later.
 * Watchdog: is started by the first guard, and by open where there are guards, if it can. renew looks after it: when it has
 *          died or hangs another is started before the deadline moves. -EIO: there is none and none can be started; nothing
 *          guarded may be started, and what runs must end before the deadline.
 *
 * Cgroups: one in which something was ended is removed and made anew before an instance starts in it: Linux (seen in 6.18)
 *          kills at birth what clone3(CLONE_INTO_CGROUP) puts where cgroup.kill was written before.
 *
 * Errors:  -EINVAL, -EIO (above), -EBUSY, -ENOSPC (no room for another guard), -E2BIG beyond FENCE_GUARDS_MAX.
 * Memory:  'ret_x' passes to the caller on success.
 * Threads: any; each call is short (renew: no system call that waits) but those that start the watchdog (some ms).
 */
#ifndef PORT_FENCE_H
#define PORT_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/vec.h"

enum {
	FENCE_UID_LENGTH = 63,
	FENCE_CGROUP_LENGTH = 255,
	FENCE_GUARDS_MAX = LIMIT_INSTANCES_PER_NODE,
};
#define FENCE_AHEAD_MAX_NS (UINT64_C(3600) * 1000000000)	/* A deadline further away is a mistake. */

struct fence_guard {
	char *uid, *cgroup;
	int64_t ended_at_ms;		/* Since 1970: when the watchdog ended processes of it; 0: never since it is guarded. */
};

struct fence_status {
	uint64_t deadline_ns;		/* 0: never renewed since the host started. */
	pid_t watchdog;			/* 0: none runs. */
	VEC(struct fence_guard) guards;	/* In no order. */
};
void fence_status_done(struct fence_status *status);
#define auto_fence_status __attribute__((cleanup(fence_status_done)))

/* The guard of 'uid', or null. */
const struct fence_guard *fence_status_find(const struct fence_status *status, const char *uid);

struct fence_params {
	/* Driver "process": */
	const char *directory;		/* For its state; made when missing. On a tmpfs (below /run) no disk can keep it waiting. */
	const char *program;		/* Path of strata-fence. */
	const char *cgroup;		/* Where the watchdog lives (v2, made when missing), beside those it guards; null: ours. */
	void *world;			/* Driver "sim": struct sim_fence *, outlives the driver. */
	struct fault *fault;		/* Driver "sim"; may be null. */
};

struct fence_ops;
struct fence_driver { const struct fence_ops *ops; };	/* Embedded first in the driver's own struct. */

struct fence_ops {
	const char *name;
	int (*open)(const struct fence_params *params, struct fence_driver **ret_driver, struct err *err);
	void (*close)(struct fence_driver *driver);	/* Null is fine. A watchdog that guards nothing is ended. */
	uint64_t (*now_ns)(struct fence_driver *driver);
	/* An earlier deadline than the present one changes nothing: answers may come in another order than they were asked for. */
	int (*renew)(struct fence_driver *driver, uint64_t deadline_ns, struct err *err);
	/* 'cgroup': absolute path (v2), with all below it; it need not exist yet. Guarded already is fine, and forgets that it was ended. */
	int (*guard)(struct fence_driver *driver, const char *uid, const char *cgroup, struct err *err);
	int (*unguard)(struct fence_driver *driver, const char *uid, struct err *err);	/* Not guarded is fine. */
	int (*status)(struct fence_driver *driver, struct fence_status *ret_status, struct err *err);
};

extern const struct fence_ops fence_process;
extern const struct fence_ops fence_sim;

/* For drivers: what renew and guard refuse. */
int fence_check_deadline(uint64_t deadline_ns, uint64_t now_ns, struct err *err);
int fence_check_guard(const char *uid, const char *cgroup, struct err *err);

#endif
