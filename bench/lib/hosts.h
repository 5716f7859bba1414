/*
 * hosts.h - several simulated nodes that share one etcd, all on this machine.
 *
 * Errors:  0 or -errno with the reason in *err.
 * Memory:  hosts_done() ends the daemons; the members of etcd end with the process namespace (bench.h).
 * Threads: one.
 */
#ifndef BENCH_LIB_HOSTS_H
#define BENCH_LIB_HOSTS_H

#include "node.h"
#include "port/store.h"

enum { HOSTS_NODES_MAX = 3, HOSTS_MEMBERS_MAX = 3 };

struct hosts {
	const struct bench *bench;	/* Borrowed. */
	char *configs[HOSTS_NODES_MAX];	/* Paths of the nodes' settings. */
	char *prefix;			/* Of their keys. */
	size_t member_count;		/* Of etcd. */
	struct node nodes[HOSTS_NODES_MAX];	/* On hosts "alpha", "beta", "gamma". */
	size_t node_count;
};

/* Starts an etcd of so many members, once in a program. */
int hosts_start_etcd(const struct bench *bench, size_t members, struct err *err);
uint16_t hosts_port(size_t member);

/* New nodes with nothing stored: returns when one of them leads and all are ready. 'round' makes folders and keys unlike others. */
int hosts_start(struct hosts *hosts, const struct bench *bench, size_t members, size_t nodes, int round, struct err *err);
void hosts_done(struct hosts *hosts);
#define auto_hosts __attribute__((cleanup(hosts_done)))

/* The node that leads, as 'asked' says: null while none does. */
int hosts_leader(struct hosts *hosts, struct node *asked, struct node **ret_leader, struct err *err);

/* The nodes' store, opened beside them. */
int hosts_open_store(const struct hosts *hosts, struct loop *loop, struct store **ret_store, struct err *err);

#endif
