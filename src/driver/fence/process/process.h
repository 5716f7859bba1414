/*
 * process.h - the "process" driver within its folder: the daemon's side of the page, and of the watchdog's life.
 *
 * Threads: the functions below are called with the lock held.
 */
#ifndef DRIVER_FENCE_PROCESS_PROCESS_H
#define DRIVER_FENCE_PROCESS_PROCESS_H

#include <pthread.h>

#include "driver/fence/process/page.h"

struct process_fence {
	struct fence_driver base;
	pthread_mutex_t lock;
	char *program, *directory, *cgroup;
	int fd;				/* Of the page, with the daemon's lock. */
	struct fence_page *page;
	pid_t watchdog;			/* 0: none that we know of. */
	int pidfd;			/* Of it, or -1. */
};

/* Finds the one that runs, also when we did not start it. */
void fence_adopt(struct process_fence *fence);
/* There is one that works: another is started when it is gone, and put in its place when it does not wake up. */
int fence_ensure(struct process_fence *fence, struct err *err);
/* Ends it at once and waits for that. None is fine. */
void fence_dismiss(struct process_fence *fence, int signal);
void fence_wake(struct process_fence *fence);

#endif
