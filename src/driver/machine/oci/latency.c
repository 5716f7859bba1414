#include "driver/machine/oci/latency.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/mem.h"

/*
 * Measured with bench/latency.c: with turns of 0.1 ms an interactive task is looked at first whenever it wakes; batch
 * tasks take the longest turn there is.
 */
enum { INTERACTIVE_SLICE_NS = 100 * 1000, BATCH_SLICE_NS = 100 * 1000 * 1000, PROBE_SLICE_NS = 20 * 1000 * 1000 };

enum { PASSES_MAX = 16 };

/* struct sched_attr of linux/sched/types.h in its first version, under a name that no libc will ever take. */
struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static int get_attributes(pid_t tid, struct attributes *attributes)
{
	memset(attributes, 0, sizeof(*attributes));
	return (int)syscall(SYS_sched_getattr, tid, attributes, sizeof(*attributes), 0);
}

static int set_attributes(pid_t tid, struct attributes *attributes)
{
	attributes->size = sizeof(*attributes);
	return (int)syscall(SYS_sched_setattr, tid, attributes, 0);
}

/*
 * ---- Probe ----
 */

struct trial { bool has_taken_effect; int error; };

/* On a thread of its own, which ends afterwards. */
static void *try_slice(void *data)
{
	struct trial *trial = data;
	struct attributes attributes;

	if (get_attributes(0, &attributes) < 0) {
		trial->error = errno;
		return NULL;
	}
	attributes.policy = SCHED_OTHER;
	attributes.runtime = PROBE_SLICE_NS;
	if (set_attributes(0, &attributes) < 0 || get_attributes(0, &attributes) < 0)
		trial->error = errno;
	/* Older kernels accept the value and forget it. */
	trial->has_taken_effect = !trial->error && attributes.runtime == PROBE_SLICE_NS;
	return NULL;
}

int latency_probe(char *reason, size_t size)
{
	struct trial trial = { 0 };
	struct utsname host;
	pthread_t thread;
	int r = pthread_create(&thread, NULL, try_slice, &trial);

	if (r) {
		snprintf(reason, size, "could not start a thread to try it: %s", strerror(r));
		return -EOPNOTSUPP;
	}
	pthread_join(thread, NULL);
	if (trial.has_taken_effect)
		return 0;
	if (trial.error)
		snprintf(reason, size, "sched_setattr(2) is refused: %s", strerror(trial.error));
	else
		snprintf(reason, size, "Linux %s has no time slices per task: use 6.12 or newer", uname(&host) == 0 ? host.release : "here");
	return -EOPNOTSUPP;
}

/*
 * ---- Apply ----
 */

/* Becomes of this class. Returns 1 when it had to be changed, 0 when it was right, else -errno. */
static int apply_to_thread(pid_t tid, enum machine_latency latency)
{
	struct attributes attributes, wanted;

	if (get_attributes(tid, &attributes) < 0)
		return -errno;
	if (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH && attributes.policy != SCHED_IDLE)
		return 0;
	wanted = attributes;
	/* A batch task that wakes up does not push others aside. */
	wanted.policy = latency == MACHINE_LATENCY_BATCH ? SCHED_BATCH : SCHED_OTHER;
	/* 0 asks for the kernel's own, whatever that is: read back it is never 0. */
	wanted.runtime = latency == MACHINE_LATENCY_BATCH ? BATCH_SLICE_NS : latency == MACHINE_LATENCY_INTERACTIVE ? INTERACTIVE_SLICE_NS : 0;
	if (wanted.policy == attributes.policy && wanted.runtime == attributes.runtime)
		return 0;
	if (set_attributes(tid, &wanted) < 0 || get_attributes(tid, &wanted) < 0)
		return -errno;
	return wanted.policy != attributes.policy || wanted.runtime != attributes.runtime;
}

static int apply_to_all(DIR *tasks, pid_t pid, enum machine_latency latency, bool *ret_has_changed, struct err *err)
{
	struct dirent *entry;

	*ret_has_changed = false;
	rewinddir(tasks);
	while ((entry = readdir(tasks))) {
		pid_t tid = atoi(entry->d_name);
		int r = tid > 0 ? apply_to_thread(tid, latency) : 0;

		if (r < 0 && r != -ESRCH)
			return err_set(err, r, "latency class of process %d: %m", (int)pid);
		*ret_has_changed |= r > 0;
	}
	return 0;
}

int latency_apply(pid_t pid, enum machine_latency latency, struct err *err)
{
	bool has_changed = true;
	char path[64];
	DIR *tasks;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (!(tasks = opendir(path)))
		return errno == ENOENT ? err_set(err, -ESRCH, "process %d has ended", (int)pid) : err_set(err, -errno, "open %s: %m", path);
	/* A thread that was not changed yet may have started another meanwhile: until a pass finds nothing to do. */
	for (int i = 0; r == 0 && has_changed && i < PASSES_MAX; i++)
		r = apply_to_all(tasks, pid, latency, &has_changed, err);
	closedir(tasks);
	return r;
}
