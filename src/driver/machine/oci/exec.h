/*
 * exec.h - what exec with and without a terminal share.
 *
 * Threads: any; blocking.
 */
#ifndef DRIVER_MACHINE_OCI_EXEC_H
#define DRIVER_MACHINE_OCI_EXEC_H

#include "base/json.h"
#include "driver/machine/oci/oci.h"

struct session {
	const struct oci *oci;
	const char *uid;
	const struct machine_exec *exec;
	int run_dir;
	pid_t container;		/* Its first process. */
	int process, log, pid_file;	/* In memory: what crun is told, says, and the command's pid. */
	int pidfd;			/* Of crun, which ends with the command. */
};

/* What the command needs, as JSON for crun: that of the container with what 'exec' changes. */
int oci_exec_describe(const struct session *session, struct str *out, struct err *err);

bool oci_exec_is_cancelled(const struct session *session);
/* Starts crun; 'console' is null, or the socket to which it sends the terminal. */
int oci_exec_start(struct session *session, const char *console, struct err *err);
void oci_exec_kill(const struct session *session);
/* It has ended. */
int oci_exec_finish(struct session *session, int *ret_exit_code, struct err *err);

int oci_exec_in_terminal(struct session *session, int *ret_exit_code, struct err *err);

#endif
