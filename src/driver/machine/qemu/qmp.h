/*
 * qmp.h - commands to QEMU, over a short connection per operation.
 *
 * QEMU serves one client per monitor socket; the next waits in the backlog. So operations on
 * one machine keep apart by themselves, also across daemons, and a stuck machine costs its
 * callers a timeout and nobody else anything.
 *
 * Errors:  -ENOENT the machine does not run, -ETIMEDOUT it does not answer, -EPROTO it answers
 *          nonsense, else what QEMU said, in its words.
 * Threads: blocking, for workers; a connection belongs to one.
 */
#ifndef DRIVER_MACHINE_QEMU_QMP_H
#define DRIVER_MACHINE_QEMU_QMP_H

#include "base/json.h"
#include "driver/machine/common/deadline.h"
#include "driver/machine/qemu/line_buffer.h"
#include "driver/machine/qemu/run_dir.h"

enum { QMP_TIMEOUT_MS = 10000, QMP_JOB_TIMEOUT_MS = 600000 };

struct qmp {
	int fd;
	struct deadline deadline;	/* For the whole connection. */
	struct line_buffer lines;
};

/* 'run_dir': an open run directory, 'which': one of its monitors. Greets and negotiates. */
int qmp_open(struct qmp *qmp, int run_dir, enum run_socket which, int64_t timeout_ms, struct err *err);
void qmp_close(struct qmp *qmp);	/* Also when half open or { 0 } with fd -1. */
#define auto_qmp __attribute__((cleanup(qmp_close)))

/* 'arguments': a JSON object, or null. 'ret_reply' (may be null): the whole message; its "return" is the answer. */
int qmp_call(struct qmp *qmp, const char *command, const char *arguments, struct json **ret_reply, struct err *err);
/* With a file descriptor for QEMU. */
int qmp_call_fd(struct qmp *qmp, const char *command, const char *arguments, int fd, struct json **ret_reply, struct err *err);

/* Waits until QEMU has told of something that happened, at most that long; what it was is for the caller to ask. */
int qmp_wait_event(struct qmp *qmp, int timeout_ms, struct err *err);

/* Waits for the job to end and dismisses it; its error is ours. */
int qmp_wait_job(struct qmp *qmp, const char *job, struct err *err);

#endif
