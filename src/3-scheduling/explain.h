/*
 * explain.h - why here, and why not there: decisions in words, with numbers.
 *
 * Threads: as the decider's.
 */
#ifndef SCHEDULING_EXPLAIN_H
#define SCHEDULING_EXPLAIN_H

#include "3-scheduling/decide.h"
#include "base/str.h"

/* Appends a line per node: its cost and the terms of it, or why not; the best comes first and at most 'limit' of both sorts. */
void explain_request(const struct decider *decider, const struct cluster *cluster, const struct request *request, size_t limit, struct str *text);
/* The same with all that is demanded; what is preferred and not met stands before the cost. */
void explain_demand(const struct decider *decider, const struct ledger *ledger, const struct demand *demand, size_t limit, struct str *text);
/*
 * One node: true and its cost when it would do; then the text appended names the terms, else all that speaks against it.
 * 'ret_unmet' is what its unmet preferences weigh.
 */
bool explain_node(const struct decider *decider, const struct ledger *ledger, const struct demand *demand, uint32_t node, double *ret_cost,
		  uint32_t *ret_unmet, struct str *text);
/*
 * Appends in one sentence why it is nowhere: with one node all that speaks against it, with more how many nodes are refused
 * for which first reason: "none of 3 nodes will do: 2 lack memory (needs 4GiB, the most free is 1GiB), 1 is cordoned".
 */
void explain_refusal(const struct ledger *ledger, const struct demand *demand, struct str *text);

#endif
