/*
 * each.h - commands that take several names: all are tried, each failure is told, and one is
 * enough for exit code 1.
 */
#ifndef CLI_EACH_H
#define CLI_EACH_H

#include "5-interface/cli/command.h"
#include "5-interface/cli/wait.h"

typedef int each_fn(struct cli *cli, const char *name, void *data, struct err *err);

/* For every argument. With one argument its error is returned as it is. */
int each_argument(struct cli *cli, each_fn *fn, void *data, struct err *err);

/* Sends a request for one name; 'ret_revision' is that of the object in the answer. */
typedef int each_request_fn(struct cli *cli, const struct kind *kind, const char *name, int64_t *ret_revision,
			    struct err *err);

struct each_job {
	const struct kind *kind;
	each_request_fn *request;
	wait_look_fn *look;		/* Null: nothing to wait for. */
	bool is_patient;		/* As in struct wait. */
};

/* First all requests, then the waiting (unless --no-wait): so ten machines stop together. */
int each_request(struct cli *cli, const struct each_job *job, struct err *err);

/* "strata: ..." as one line. */
void cli_complain(struct cli *cli, const struct err *err);

#endif
