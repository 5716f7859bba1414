/*
 * rebalance.h - which instances should move, and why?
 *
 * Three goals, in this order, within one budget:
 *
 * overload      - where the expected use of what runs there passes 90% of what the host has, instances leave until it does not.
 * fragmentation - instances move where that makes more of what is free usable to typical requests.
 * emptying      - hosts with little on them are emptied onto others that run something already: all of a host's or none.
 *
 * It cannot swing back and forth: as long as the expected use stays the same, each proposal that is carried out lowers, in
 * this order, how far hosts are overloaded, how many hosts are in use, how much is stranded. No move brings its target
 * above 75% of expected use, so that none makes an overload, and only overload opens an empty host. The use to expect is
 * best a high percentile over a day or more (forecast/usage.h): the use of this moment swings by itself.
 *
 * Where an instance may go is what its demand says (constraints, NUMA, quotas), and the policy's choice among those. An
 * instance moves at most once in a proposal, in the order in which the moves are listed.
 *
 * It only proposes: the ledger is as before. Units: a move costs the amount of the cost dimension (memory, say) that is
 * carried over; gains are in hosts. Errors: -EINVAL. Memory: plan_done(). Threads: as the ledger's.
 */
#ifndef SCHEDULING_REBALANCE_H
#define SCHEDULING_REBALANCE_H

#include "3-scheduling/decide.h"

enum rebalance_goal { GOAL_OVERLOAD, GOAL_FRAGMENTATION, GOAL_EMPTYING, GOAL_COUNT };	/* Of rebalance(); drain() empties as well. */

struct usage { int32_t amount[DIMENSIONS_MAX]; };	/* Expected of one instance, as the cluster's dimensions. */

struct rebalance {
	const struct policy *policy;
	const struct mix *mix;		/* What to expect; may be empty. */
	const struct usage *usage;	/* By number of the binding, binding_end of them; null: nothing is known. */
	uint32_t goals;			/* Bits 1 << GOAL_...; 0: all. */
	uint32_t cost_dimension;
	int64_t budget;			/* The most that all moves together may cost. */
};

struct move {
	uint32_t binding, from, to, devices;
	int64_t cost;
	double gain;			/* Of the overload that ends, of stranded room that becomes usable, of the host that is emptied. */
	uint8_t goal;
};

struct plan {
	VEC(struct move) moves;
	VEC(uint32_t) emptied;		/* Hosts, by the moves of GOAL_EMPTYING. */
	VEC(uint32_t) stuck;		/* Bindings that find no place elsewhere: of drain() only. */
	int64_t cost;
};

int rebalance(struct ledger *ledger, const struct rebalance *rebalance, struct plan *ret_plan, struct err *err);
/*
 * What if the node had to be empty? All that can move does, the largest first, also to empty or busy hosts and whatever it
 * costs: goals, budget and use are not looked at.
 */
int drain(struct ledger *ledger, const struct rebalance *rebalance, uint32_t node, struct plan *ret_plan, struct err *err);
void plan_done(struct plan *plan);
#define auto_plan __attribute__((cleanup(plan_done)))

/* "move binding 5 (2GiB) from 'a' to 'b': empties 'a', which uses 3% of what it has" */
void plan_explain(const struct ledger *ledger, const struct rebalance *rebalance, const struct plan *plan, size_t i, struct str *text);

/* How far the expected use passes the limit, in hosts: the worst dimension. For tests and dashboards. */
double rebalance_overload(const struct ledger *ledger, const struct usage *usage, uint32_t node);
/* The part of the host that is free but of no use to what is typical, in hosts. */
double rebalance_stranded(const struct cluster *cluster, const struct typical *typical, uint32_t node);

#endif
