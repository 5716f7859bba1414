/*
 * policy.h - which of the nodes that fit is best: one file below policy/ and one const table per answer.
 *
 * A policy gives a node a cost for a request, and the devices it would use there; the lowest cost wins, among equal
 * ones the lowest node. A cost depends on the request, on the state of that node and on the typical requests only,
 * so that decide.h may keep it until the node changes.
 *
 * Threads: policies have no state. Units: costs are the policy's own; the terms that explain name theirs.
 */
#ifndef SCHEDULING_POLICY_H
#define SCHEDULING_POLICY_H

#include "3-scheduling/cluster.h"
#include "3-scheduling/typical.h"

enum { POLICY_TERMS_MAX = 6 };

struct policy_choice {
	double cost;
	uint32_t devices;
	struct { const char *name; double value; } terms[POLICY_TERMS_MAX];
	uint32_t term_count;
};

struct policy {
	const char *name;
	const char *summary;
	bool is_using_mix;
	/* The request fits the node. */
	void (*rate)(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		     struct policy_choice *ret_choice);
};

extern const struct policy policy_default, policy_first_fit, policy_binpack, policy_spread, policy_dotproduct, policy_fragmentation;

const struct policy *policy_find(const char *name);	/* Null when there is none of that name. */
const struct policy *policy_at(size_t i);		/* Null after the last; the first is the default. */

/* For policies: the devices that leave the least free (share), or the first whole ones. */
uint32_t policy_tightest_devices(const struct cluster *cluster, const struct request *request, uint32_t node);
void policy_term(struct policy_choice *choice, const char *name, double value);
/* Free part of the node's GPUs, in thousandths of one. */
int32_t policy_free_gpu_milli(const struct cluster *cluster, uint32_t node);
/* The free part of the node's scarcest dimension, 0 to 1; its GPUs count as one. */
double policy_free_part(const struct cluster *cluster, uint32_t node);

#endif
