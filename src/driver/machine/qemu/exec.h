/*
 * exec.h - what exec with and without a terminal share.
 *
 * Threads: any; blocking.
 */
#ifndef DRIVER_MACHINE_QEMU_EXEC_H
#define DRIVER_MACHINE_QEMU_EXEC_H

#include "driver/machine/qemu/qemu.h"

struct exec_argv { VEC(const char *) items; };	/* Borrowed texts; ends with a null pointer. */

/* The command with folder and environment; appends. */
void exec_wrap(const struct machine_exec *exec, struct exec_argv *argv);
void exec_kill(struct qemu *qemu, const char *uid, int64_t pid, const char *signal);	/* "-KILL" */
int exec_write_all(int fd, const char *bytes, size_t size, struct err *err);

int exec_in_terminal(struct qemu *qemu, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err);

#endif
