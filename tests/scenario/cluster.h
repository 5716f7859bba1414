/*
 * cluster.h - several simulated hosts for scenario tests: on each the real core and agent over sim drivers, all on one store.
 *
 * Every host has its own cache, link, clock and watchdog (app/simulate/host.h); everything happens in one virtual loop, so a
 * seed is a history.
 */
#ifndef SCENARIO_CLUSTER_H
#define SCENARIO_CLUSTER_H

#include "4-service/core.h"
#include "app/simulate/host.h"
#include "host.h"

enum { CLUSTER_MAX = 9 };

struct member { struct sim_host host; struct rng rng; struct view *view; struct core *core; };

struct cluster {
	struct sim_house house;
	struct member members[CLUSTER_MAX];
	size_t count;
	char directory[64];
	uint64_t calls, answers;	/* Sent; come. The rest went down with a daemon. */
};

/* All daemons are up; nothing has happened yet. */
void cluster_init(struct cluster *cluster, size_t count, uint64_t seed);
void cluster_done(struct cluster *cluster);

void cluster_kill(struct cluster *cluster, size_t i);		/* The daemon; its machines live on. Down already is fine. */
void cluster_start(struct cluster *cluster, size_t i);		/* The daemon; its link is healed. Up already is fine. */
void cluster_power_off(struct cluster *cluster, size_t i);	/* The host. cluster_start() turns it on again. */

/* So much virtual time; ends early, with false, when the witness has seen something. */
bool cluster_run(struct cluster *cluster, uint64_t ms);
/* Until 'is_true', at most so long; returns whether it is. */
bool cluster_run_until(struct cluster *cluster, bool (*is_true)(struct cluster *cluster, void *data), void *data, uint64_t max_ms);
uint64_t cluster_now(const struct cluster *cluster);

int cluster_leader(struct cluster *cluster);			/* Who says so itself, or -1. */
/* To the leader, or whoever is up; 'answer' (may be null) comes while time passes, or never. */
void cluster_send(struct cluster *cluster, enum call_op op, const char *kind, const char *name, const char *body, struct answer *answer);
/* Waits for it, tries again when nobody leads, and expects success. */
void cluster_do(struct cluster *cluster, enum call_op op, const char *kind, const char *name, const char *body);
/* As the leader's readers see it, or null. The caller frees. */
struct json *cluster_get(struct cluster *cluster, const char *folder, const char *name);
/* Its status.state, or "". The caller frees. */
char *cluster_state(struct cluster *cluster, const char *folder, const char *name);
int cluster_where(struct cluster *cluster, const char *instance);	/* The host on which its machine runs, or -1. */

#endif
