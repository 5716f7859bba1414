#include "driver/fabric/bridge/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

int namespace_open(pid_t pid, int *ret_fd, struct err *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, -ESRCH, "process %d has ended: its network namespace went with it", (int)pid);
	if (fd < 0)
		return err_set(err, -errno, "open network namespace of process %d: %m", (int)pid);
	*ret_fd = fd;
	return 0;
}

struct visit { int fd; namespace_fn *fn; void *data; struct err *err; int result; };

static void *run_visit(void *data)
{
	struct visit *visit = data;

	if (setns(visit->fd, CLONE_NEWNET) < 0)
		visit->result = err_set(visit->err, -errno, "enter network namespace: %m");
	else
		visit->result = visit->fn(visit->data, visit->err);
	return NULL;
}

int namespace_run(int fd, namespace_fn *fn, void *data, struct err *err)
{
	struct visit visit = { .fd = fd, .fn = fn, .data = data, .err = err };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run_visit, &visit);

	if (r)
		return err_set(err, -r, "start a thread: %m");
	pthread_join(thread, NULL);
	return visit.result;
}
