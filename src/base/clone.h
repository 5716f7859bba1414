/*
 * clone.h - a child process that borrows our memory until it calls exec: vfork(2) with a
 * stack of its own, a pidfd and, on request, birth inside a cgroup. No page table is copied,
 * so the size of the daemon does not matter, and joining a cgroup at birth spares the
 * grace period (some 10 ms) that moving a process costs the kernel.
 *
 * 'fn' must not return, must be marked CHILD_CODE like all it calls, and may only make raw
 * system calls on data prepared beforehand: no malloc, no locks, no stdio.
 *
 * Threads: any; only the calling one is suspended. It must have all signals blocked.
 */
#ifndef BASE_CLONE_H
#define BASE_CLONE_H

#include <sys/types.h>

/* Sanitizers would leave marks of the child's stack frames and locks in our memory. */
#define CHILD_CODE __attribute__((no_sanitize("address", "thread")))

/*
 * 'cgroup_fd' is a folder of cgroup v2 or -1; 'stack' is aligned to 16 bytes. Returns the
 * pid, or -errno: with a cgroup also the reasons why it cannot be joined.
 */
pid_t clone_vfork(void (*fn)(void *data), void *data, void *stack, size_t stack_size, int cgroup_fd,
		  int *ret_pidfd);

#endif
