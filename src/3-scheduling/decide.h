/*
 * decide.h - asks a policy about all nodes, quickly: costs are kept until a node changes.
 *
 * For each kind of request a tournament tree over all nodes holds the cost of each (infinite where it does not fit).
 * Before a decision the nodes that changed since the last one of that kind are rated again, as the cluster's list of
 * changes says; the root is then the best node. A decision costs one rating per changed node and log2(nodes) steps.
 *
 * The mix is what the caller knew beforehand, or what decider_learn() has seen: the typical requests are derived
 * again whenever those seen have grown by an eighth.
 *
 * Memory: 12 bytes per node and kind; kinds that were not asked for lately make room at DECIDER_KINDS_MAX. Of more than
 *         DECIDER_KINDS_REMEMBERED kinds the less frequent half is forgotten.
 * Threads: as the cluster's. The decider borrows cluster and policy.
 */
#ifndef SCHEDULING_DECIDE_H
#define SCHEDULING_DECIDE_H

#include "3-scheduling/ledger.h"
#include "3-scheduling/policy.h"

enum { DECIDER_KINDS_MAX = 256, DECIDER_KINDS_REMEMBERED = 4096 };

struct decider;

struct decision {
	uint32_t node, devices;
	double cost;
};

struct decider *decider_new(const struct cluster *cluster, const struct policy *policy);
void decider_free(struct decider *decider);
static inline void decider_freep(struct decider **decider) { decider_free(*decider); }
#define auto_decider __attribute__((cleanup(decider_freep)))

void decider_set_mix(struct decider *decider, const struct mix *mix);
/* What is impossible teaches nothing. */
void decider_learn(struct decider *decider, const struct request *request);

/* -ENOSPC: it fits nowhere (explain.h says why); -EINVAL: it is impossible. */
int decider_choose(struct decider *decider, const struct request *request, struct decision *ret_decision, struct err *err);
/*
 * The same for all that an instance demands, of the nodes of the ledger's cluster, which is the decider's. Those that leave
 * the fewest preferences unmet come first, then the policy decides. Also -EDQUOT.
 */
int decider_choose_for(struct decider *decider, const struct ledger *ledger, const struct demand *demand, struct decision *ret_decision,
		       struct err *err);
/* What the policy says about one node, which the request fits. */
void decider_rate(const struct decider *decider, const struct request *request, uint32_t node, struct policy_choice *ret_choice);
const char *decider_policy_name(const struct decider *decider);

#endif
