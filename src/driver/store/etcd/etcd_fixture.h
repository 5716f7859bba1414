/*
 * etcd_fixture.h - real etcds for tests: one, or three that form a cluster; on loopback, or each in a network namespace
 * of its own behind a cable that can be cut (in tools/sandbox only, where they leave nothing behind).
 *
 * What does not work fails the running cmocka test. All of it is gone with etcd_cluster_stop(), or with the test.
 * Threads: one at a time.
 */
#ifndef DRIVER_STORE_ETCD_ETCD_FIXTURE_H
#define DRIVER_STORE_ETCD_ETCD_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

#include "port/store.h"

enum { ETCD_MAX_MEMBERS = 3 };

struct etcd_member {
	char *address, *url, *peer_url;
	pid_t pid;			/* 0: does not run. */
	int pidfd;
};

struct etcd_cluster_params {
	size_t count;
	bool has_cables, has_tls;
	const char *const *options;	/* More words for the command line of each, ended by null; may be null. */
};

struct etcd_cluster {
	struct etcd_cluster_params how;
	char *folder;
	struct etcd_member members[ETCD_MAX_MEMBERS];
	const char *endpoints[ETCD_MAX_MEMBERS];
	char *prefix;
	struct store_etcd_params params;	/* For store_params; its prefix is new after each etcd_cluster_new_prefix(). */
	unsigned prefixes;
};

/* Ends the program with 77 (skipped) when etcd or libcurl is not installed. */
void etcd_require(void);

/* Can each member have a network namespace here? */
bool etcd_can_cut(void);

void etcd_cluster_start(struct etcd_cluster *cluster, const struct etcd_cluster_params *how);
void etcd_cluster_stop(struct etcd_cluster *cluster);
void etcd_cluster_new_prefix(struct etcd_cluster *cluster);

void etcd_member_start(struct etcd_cluster *cluster, size_t member);
void etcd_member_kill(struct etcd_cluster *cluster, size_t member);		/* kill -9 */
void etcd_member_cut(struct etcd_cluster *cluster, size_t member, bool is_cut);

#endif
