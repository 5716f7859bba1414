/*
 * thread.h - a thread beside the loop: named, and without signals, which are the loop's.
 *
 * Errors:  -EAGAIN too many threads.
 * Threads: any.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

#include "base/err.h"

/* 'name' has at most 15 characters. pthread_join(3) it. */
int thread_start(const char *name, void *(*fn)(void *data), void *data, pthread_t *ret_thread, struct err *err);

#endif
