/*
 * filter.h - which nodes are allowed at all: labels, taints, what else runs there, failure domains.
 *
 * 'struct places' stands beside a cluster and knows what the cluster does not: the labels and taints of each node, and
 * which groups of instances (a fleet, a service) run where. A label is one text, such as "disk=ssd" or "zone=b"; a
 * taint keeps everything away that does not tolerate it. Names of labels, taints and groups become numbers once
 * (places_label() ...), so that deciding compares bits.
 *
 * A failure domain of kind k (zone, rack: the caller's numbers) is a number per node; without one a node is in none.
 * A spread constraint says: among the domains of that kind the fullest may have at most 'skew' more of the group than
 * the emptiest that has any node (as Kubernetes' topologySpreadConstraints with DoNotSchedule).
 *
 * What is preferred forbids nothing: of the allowed nodes those win whose unmet preferences weigh least, and among equals
 * the policy decides (decide.h).
 *
 * Errors: -EINVAL, -ENOSPC (a limit below), -ENOENT; naming the value. Memory: places_done(). Threads: one at a time.
 */
#ifndef SCHEDULING_FILTER_H
#define SCHEDULING_FILTER_H

#include "3-scheduling/cluster.h"
#include "base/map.h"
#include "base/str.h"

enum {
	LABELS_MAX = 1024,		/* Different ones in a cluster. */
	TAINTS_MAX = 64,
	GROUPS_MAX = 65536,
	DOMAIN_KINDS_MAX = 4,
	DOMAINS_MAX = 4096,		/* Per kind. */
	CONSTRAINTS_MAX = 8,		/* Of one sort in one request. */
	DOMAIN_SELF = DOMAIN_KINDS_MAX,	/* The node itself as a failure domain. */
};

struct names { struct map numbers; char **texts; uint32_t count, capacity; };

struct places {
	const struct cluster *cluster;
	struct names labels, taints, groups;
	uint64_t *node_labels;		/* LABELS_MAX bits per node. */
	uint64_t *node_taints;
	int16_t *domains[DOMAIN_KINDS_MAX];	/* Per node; -1: in none. */
	int16_t domain_count[DOMAIN_KINDS_MAX];
	uint32_t *domain_nodes[DOMAIN_KINDS_MAX];	/* Nodes per domain. */
	uint32_t node_capacity;
	struct group_counts *counts;	/* By group. */
	uint32_t count_capacity;
};

struct near { uint32_t group; uint8_t domain_kind; };	/* Of the same domain of that kind. */

enum preference_kind { PREFER_LABEL, PREFER_NOT_LABEL, PREFER_WITH, PREFER_WITHOUT };

struct preference {
	uint8_t kind;			/* enum preference_kind */
	uint8_t domain_kind;		/* Of WITH and WITHOUT. */
	uint16_t weight;		/* 1 or more. */
	uint32_t number;		/* The label, or the group. */
};

struct constraints {
	uint64_t tolerated_taints;	/* Bits. */
	uint32_t labels[CONSTRAINTS_MAX], label_count;		/* The node has all of these, */
	uint32_t any_labels[CONSTRAINTS_MAX], any_label_count;	/* one of these, if there are any, */
	uint32_t not_labels[CONSTRAINTS_MAX], not_label_count;	/* and none of these. */
	struct near with[CONSTRAINTS_MAX];			/* One of the group runs there already. */
	uint32_t with_count;
	struct near without[CONSTRAINTS_MAX];			/* None of the group runs there. */
	uint32_t without_count;
	struct { uint32_t group; uint8_t domain_kind; uint32_t skew; } spread[CONSTRAINTS_MAX];
	uint32_t spread_count;
	struct preference preferred[CONSTRAINTS_MAX];
	uint32_t preferred_count;
};

void places_init(struct places *places, const struct cluster *cluster);
void places_done(struct places *places);
#define auto_places __attribute__((cleanup(places_done)))

int places_label(struct places *places, const char *text, uint32_t *ret_label, struct err *err);
int places_taint(struct places *places, const char *text, uint32_t *ret_taint, struct err *err);
int places_group(struct places *places, const char *text, uint32_t *ret_group, struct err *err);

int places_set_label(struct places *places, uint32_t node, uint32_t label, bool is_set, struct err *err);
int places_set_taint(struct places *places, uint32_t node, uint32_t taint, bool is_set, struct err *err);
int places_set_domain(struct places *places, uint32_t node, uint8_t kind, int16_t domain, struct err *err);

/* The node is no more, and its number may be given to another; nothing of a group runs there. */
void places_forget(struct places *places, uint32_t node);

/* An instance of the group was bound to (change 1) or left (-1) the node. */
int places_count(struct places *places, uint32_t group, uint32_t node, int change, struct err *err);

/* Numbers within limits, nothing required and forbidden at once? */
int constraints_check(const struct places *places, const struct constraints *constraints, struct err *err);
bool constraints_allow(const struct places *places, const struct constraints *constraints, uint32_t node);
/* The weights of the preferences that the node does not meet. */
uint32_t constraints_unmet(const struct places *places, const struct constraints *constraints, uint32_t node);
/* Appends why not, or nothing: "lacks label 'disk=ssd'". */
void constraints_explain(const struct places *places, const struct constraints *constraints, uint32_t node, struct str *text);

#endif
