/*
 * loop.h - the event loop: one thread, one loop, every wait in one place.
 *
 * Sources are file descriptors, timers, signals, child processes (pidfd) and
 * messages from other threads.  The clock is real or virtual: a virtual loop
 * never sleeps; when nothing else is ready it jumps to the next timer, so a
 * day passes in milliseconds and is the same every time (epoll fds and
 * signals still work, and are looked at before the clock may jump).
 *
 * Errors:  -errno from the kernel; programmer errors are assertions.
 * Memory:  a source lives until loop_remove(), or until loop_free(); a
 *          one-shot source (timer, child) removes itself before its callback runs,
 *          and sets the caller's pointer to it to null when one was registered
 *          ('ret_source', which therefore must stay where it is); loop_remove()
 *          does so too. loop_free() drops undelivered messages: their 'drop' is
 *          called so that they can free what they carry.
 * Threads: loop_post() from any thread; everything else from the loop's own.
 * Order:   messages are delivered in the order posted; timers by due time,
 *          then by order of creation.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct loop;
struct loop_source;

enum loop_clock { LOOP_CLOCK_REAL, LOOP_CLOCK_VIRTUAL };

/* 'start_ms' is where a virtual clock begins, as wall time (ms since 1970, UTC). */
int loop_new(enum loop_clock clock, int64_t start_ms, struct loop **ret_loop, struct err *err);
/*
 * A loop within a virtual one, for one of several simulated hosts: it has the parent's clock and order and turns with it (only the
 * parent is stepped), but a wall clock of its own, and is freed alone, between two turns, as when that host goes down. The parent outlives it.
 */
struct loop *loop_new_child(struct loop *parent, int64_t start_ms);
void loop_free(struct loop *loop);

uint64_t loop_now_ms(const struct loop *loop);	/* Monotonic; read once per turn. */
int64_t loop_wall_ms(const struct loop *loop);	/* Since 1970, UTC. */
enum loop_clock loop_clock_kind(const struct loop *loop);
void loop_set_wall(struct loop *loop, int64_t wall_ms);	/* Virtual only: somebody sets the clock. Timers do not care. */

/* 'events' as in epoll(7): EPOLLIN, EPOLLOUT, ...; level-triggered. The fd stays the caller's. */
typedef void loop_fd_fn(void *data, int fd, uint32_t events);
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
		struct loop_source **ret_source, struct err *err);
void loop_change_fd(struct loop_source *source, uint32_t events);

/* Fires once, 'delay_ms' from now. 'ret_source' may be null. */
typedef void loop_timer_fn(void *data);
void loop_add_timer(struct loop *loop, uint64_t delay_ms, loop_timer_fn *fn, void *data,
		    struct loop_source **ret_source);

/* The signal is blocked in the calling thread, for good, and read through signalfd(2). */
typedef void loop_signal_fn(void *data, int signal);
int loop_add_signal(struct loop *loop, int signal, loop_signal_fn *fn, void *data,
		    struct loop_source **ret_source, struct err *err);

/*
 * Fires once when the process ends.  'pidfd' stays the caller's.  'status' is
 * as from waitpid(2) when the process is our child (it is then reaped),
 * else -1: the status of a stranger cannot be known.
 */
typedef void loop_child_fn(void *data, int status);
int loop_add_child(struct loop *loop, int pidfd, loop_child_fn *fn, void *data,
		   struct loop_source **ret_source, struct err *err);

/* Null is fine. After this the callback does not run again. */
void loop_remove(struct loop_source *source);

/* A message: runs 'fn' once in the loop's thread. 'drop' (may be null) runs instead if the loop ends first. */
typedef void loop_message_fn(void *data);
void loop_post(struct loop *loop, loop_message_fn *fn, loop_message_fn *drop, void *data);

/* Until loop_stop(); with the virtual clock also until nothing is left that could happen. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);		/* From a callback; the current turn ends first. */

/*
 * One turn: waits at most 'timeout_ms' (-1: for ever) and runs what is ready.
 * Returns whether anything ran. With the virtual clock it never sleeps,
 * whatever 'timeout_ms' says; it returns false when no fd is ready and neither
 * messages nor timers are left.
 */
bool loop_step(struct loop *loop, int timeout_ms);

#endif
