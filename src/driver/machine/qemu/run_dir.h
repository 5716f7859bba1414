/*
 * run_dir.h - a machine's run directory, <directory>/<uid>/, the only thing we keep about it (common/run_folder.h).
 *
 *	qmp, events, migration	three monitors: for commands, for the watch, for a migration that goes on for long
 *	console, agent, terminal	the serial port, the guest agent's port, the port for `exec -t`
 *	vnc -> display/vnc	made by QEMU itself in a folder that belongs to its user
 *	log			what QEMU wrote to stderr
 *	nics			names of its taps, one per line
 *	killed			exists: we ended it
 *	frozen			exists: we asked the guest to hold its file systems still
 *	incoming		exists: started to take in a migration, the guest has not been let run here
 *	tls			for a moment: certificates on their way to QEMU
 *
 * Sockets are bound and connected to as /proc/self/fd/<dir>/<name>: state folders may have long
 * paths, socket addresses may not (108 bytes, unix(7)).
 *
 * Errors:  -ENOENT: there is no such machine.
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_QEMU_RUN_DIR_H
#define DRIVER_MACHINE_QEMU_RUN_DIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum run_socket { RUN_QMP, RUN_EVENTS, RUN_MIGRATION, RUN_CONSOLE, RUN_AGENT, RUN_TERMINAL };

/* Each returns an fd (O_CLOEXEC) or -errno. */
int run_dir_listen(int dir_fd, enum run_socket socket, struct err *err);
int run_dir_connect(int dir_fd, enum run_socket socket, int timeout_ms, struct err *err);
int run_dir_make_display(int dir_fd, uid_t user, gid_t group, struct err *err);
int run_dir_make_log(int dir_fd, struct err *err);

/* What QEMU said last, for people, without control characters; empty when it said nothing. */
void run_dir_last_words(int dir_fd, char *words, size_t size);

int run_dir_write_nics(int dir_fd, const char *text, struct err *err);
void run_dir_read_nics(int dir_fd, struct str *out);

int run_dir_mark_frozen(int dir_fd, bool is_frozen, struct err *err);
int run_dir_mark_incoming(int dir_fd, bool is_incoming, struct err *err);

#endif
