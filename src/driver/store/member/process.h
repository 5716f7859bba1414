/*
 * process.h - the etcd of this host as a process: found, started, ended.
 *
 * A process is ours when its command line names our data folder; the pid file and the cgroup only say where to look, since a
 * pid may have been given to somebody else.
 *
 * Errors:  -errno; -EBUSY it does not end.
 * Threads: as of port/member.h.
 */
#ifndef DRIVER_STORE_MEMBER_PROCESS_H
#define DRIVER_STORE_MEMBER_PROCESS_H

#include "base/str.h"
#include "port/member.h"

/* How it becomes part of a cluster, at its first start; later what is in its data goes. */
struct process_cluster {
	const char *members;		/* "uid=https://192.0.2.1:2380,..." */
	const char *token;		/* Of a new cluster; null: join the one that is. */
};

/* A handle on it, or -1. */
int process_open(const struct member_params *params);
/* 'cluster' may be null when it has data. One that runs is left alone. */
int process_start(const struct member_params *params, const struct process_cluster *cluster, struct err *err);
int process_stop(const struct member_params *params, struct err *err);

char *process_peer_url(const struct member_params *params);
char *process_data(const struct member_params *params);
/* Has it been part of a cluster? */
bool process_has_data(const struct member_params *params);
/* The last thing it said, for messages; empty when there is nothing. */
void process_last_words(const struct member_params *params, struct str *out);

#endif
