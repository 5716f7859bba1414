/*
 * end.h - the end of all processes in a cgroup, by a process that may depend on nothing: no memory is
 * allocated on the way through version 2, and nothing is waited for.
 *
 * Version 2 with cgroup.kill (Linux 5.14) is one write, also against forks. Else, and in version 1, every process in
 * the cgroup and below is killed again and again until none is left, some tens of times.
 */
#ifndef DRIVER_FENCE_PROCESS_END_H
#define DRIVER_FENCE_PROCESS_END_H

#include <stdbool.h>

/* Whether there was something to end. False also when it is absent, no cgroup, or the root of a hierarchy, which nobody means. */
bool fence_end(const char *cgroup);
bool fence_is_populated(const char *cgroup);

#endif
