/*
 * wait.h - waiting for an object of the daemon to get where it was sent, by long polls.
 *
 * A failure that an object shows from before the request is not that of the request: so a failure
 * counts only when the object has changed since, or has not for a whole long poll. In the same way -EAGAIN says that
 * its node is lost, when the command offers --no-wait: its work goes on anyway.
 *
 * Errors:  what 'look' says; -EINTR after Ctrl-C and -ETIMEDOUT after --timeout: the work goes on then.
 */
#ifndef CLI_WAIT_H
#define CLI_WAIT_H

#include "5-interface/cli/progress.h"
#include "5-interface/cli/request.h"

enum wait_answer { WAIT_MORE, WAIT_DONE };	/* Or -errno: it will not get there. */

/* 'object' is null when there is none (any more). */
typedef int wait_look_fn(void *data, const void *object, struct err *err);

struct wait {
	const struct kind *kind;
	const char *path;		/* Of the object. */
	const char *name;		/* For people. */
	int64_t revision;		/* Of the object when the request was answered. */
	wait_look_fn *look;
	void *data;
	int64_t default_timeout_ms;	/* When --timeout is not given; 0: none. */
	bool is_patient;		/* The command's --timeout means something else. */
};

/* The error of an object that does not get there begins with its kind and name. */
int wait_for(struct cli *cli, const struct wait *wait, struct err *err);

/* Looks that many commands share. Only wait_until_ready() uses its data: the kind. */
wait_look_fn wait_until_running, wait_until_stopped, wait_until_paused, wait_until_created, wait_until_gone,
	wait_until_ready, wait_until_restored, wait_until_restored_volume, wait_until_agent;

/* What the object is doing, for the progress line. */
void wait_describe(const struct kind *kind, const void *object, struct progress *progress);

#endif
