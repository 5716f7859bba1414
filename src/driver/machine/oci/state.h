/*
 * state.h - a container's run directory, <directory>/<uid>/, the only thing we keep about it (common/run_folder.h).
 *
 *	config.json		the OCI bundle: what it was started with
 *	pid			its first process (crun)
 *	monitor			conmon
 *	attach, ctl, winsz	conmon's socket and pipes
 *	log			what conmon and crun said
 *	<uid>			the exit code, written by conmon when it has ended
 *	init, input, signal	it is an init system, it takes input, how it is asked to end (if not as usual)
 *	killed, stopping	exist: we ended it, we asked it to end
 *	oom			how many kills for memory have been reported
 *
 * Errors:  -ENOENT: there is no such machine.
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_OCI_STATE_H
#define DRIVER_MACHINE_OCI_STATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

int oci_state_write(int dir_fd, const char *name, const char *text, struct err *err);
/* False: there is no such file. At most 'size' - 1 bytes. */
bool oci_state_read(int dir_fd, const char *name, char *text, size_t size);
/* A number at the beginning of a file; 'fallback' when there is none. */
long oci_state_number(int dir_fd, const char *name, long fallback);

/* conmon may be our child and have ended while nobody watched it: then it is collected. */
void oci_state_collect_monitor(int dir_fd);

/* What conmon or crun said last, for people; empty when they said nothing. */
void oci_state_last_words(int dir_fd, char *words, size_t size);

#endif
