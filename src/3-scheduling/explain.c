#include "3-scheduling/explain.h"

#include <stdlib.h>

#include "3-scheduling/fit.h"
#include "base/mem.h"

struct subject {			/* What is explained. */
	const struct decider *decider;
	const struct cluster *cluster;
	struct request request;		/* As it is charged. */
	const struct ledger *ledger;	/* Null with 'demand': nothing but the request. */
	const struct demand *demand;
};

struct rated { uint32_t node, unmet; struct policy_choice choice; };

static int compare_rated(const void *a, const void *b)
{
	const struct rated *x = a, *y = b;

	if (x->unmet != y->unmet)
		return x->unmet < y->unmet ? -1 : 1;
	if (x->choice.cost != y->choice.cost)
		return x->choice.cost < y->choice.cost ? -1 : 1;
	return x->node < y->node ? -1 : 1;
}

static bool is_possible(const struct subject *subject, uint32_t node)
{
	return fit_node(subject->cluster, &subject->request, node) && (!subject->demand || ledger_allows(subject->ledger, subject->demand, node));
}

static void explain_terms(const struct policy_choice *choice, struct str *text)
{
	for (uint32_t i = 0; i < choice->term_count; i++)
		str_printf(text, "%s%s %.4f", i ? ", " : "", choice->terms[i].name, choice->terms[i].value);
}

static void explain_choice(const struct subject *subject, const struct rated *rated, struct str *text)
{
	str_printf(text, "%-20s ", cluster_node_name(subject->cluster, rated->node));
	if (rated->unmet)
		str_printf(text, "unmet preferences weigh %u, ", rated->unmet);
	str_printf(text, "cost %.4f%s", rated->choice.cost, rated->choice.term_count ? ": " : "");
	explain_terms(&rated->choice, text);
	str_append_char(text, '\n');
}

static void explain_refused(const struct subject *subject, uint32_t node, struct str *text)
{
	str_printf(text, "%-20s does not fit: ", cluster_node_name(subject->cluster, node));
	if (subject->demand)
		ledger_explain(subject->ledger, subject->demand, node, text);
	else
		fit_explain(subject->cluster, &subject->request, &subject->request, node, text);
	str_append_char(text, '\n');
}

static void explain(const struct subject *subject, size_t limit, struct str *text)
{
	const struct cluster *cluster = subject->cluster;
	auto_free struct rated *rated = alloc_array(NULL, cluster->node_end + 1, sizeof(*rated));
	size_t fitting = 0, refused = 0;

	for (uint32_t node = 0; node < cluster->node_end; node++) {
		if (!is_possible(subject, node))
			continue;
		rated[fitting].node = node;
		rated[fitting].unmet = subject->demand ? constraints_unmet(&subject->ledger->places, &subject->demand->constraints, node) : 0;
		decider_rate(subject->decider, &subject->request, node, &rated[fitting++].choice);
	}
	qsort(rated, fitting, sizeof(*rated), compare_rated);
	str_printf(text, "fits %zu of %u nodes; policy '%s', lowest cost first:\n", fitting, cluster->node_count, decider_policy_name(subject->decider));
	for (size_t i = 0; i < fitting && i < limit; i++)
		explain_choice(subject, &rated[i], text);
	for (uint32_t node = 0; node < cluster->node_end && refused < limit; node++) {
		if (!cluster_shape(cluster, node)->is_present || is_possible(subject, node))
			continue;
		explain_refused(subject, node, text);
		refused++;
	}
}

void explain_request(const struct decider *decider, const struct cluster *cluster, const struct request *request, size_t limit, struct str *text)
{
	explain(&(struct subject){ .decider = decider, .cluster = cluster, .request = *request }, limit, text);
}

void explain_demand(const struct decider *decider, const struct ledger *ledger, const struct demand *demand, size_t limit, struct str *text)
{
	explain(&(struct subject){ .decider = decider, .cluster = ledger->cluster, .request = ledger_charge(ledger, demand), .ledger = ledger,
				   .demand = demand }, limit, text);
}

bool explain_node(const struct decider *decider, const struct ledger *ledger, const struct demand *demand, uint32_t node, double *ret_cost,
		  uint32_t *ret_unmet, struct str *text)
{
	struct request charged = ledger_charge(ledger, demand);
	struct policy_choice choice;

	if (!fit_node(ledger->cluster, &charged, node) || !ledger_allows(ledger, demand, node)) {
		ledger_explain(ledger, demand, node, text);
		return false;
	}
	decider_rate(decider, &charged, node, &choice);
	*ret_cost = choice.cost;
	*ret_unmet = constraints_unmet(&ledger->places, &demand->constraints, node);
	explain_terms(&choice, text);
	return true;
}

/* ---- In one sentence ---- */

struct reasons {			/* Nodes by the first reason that speaks against them. */
	uint32_t cordoned, gpus, places, numa, size, dimension[DIMENSIONS_MAX];
	int32_t most_free[DIMENSIONS_MAX];
};

static void count_reason(const struct ledger *ledger, const struct demand *demand, const struct request *charged, uint32_t node,
			 struct reasons *reasons)
{
	const struct cluster *cluster = ledger->cluster;

	if (cluster_shape(cluster, node)->is_cordoned) {
		reasons->cordoned++;
		return;
	}
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (charged->need[d] > cluster_free_amount(cluster, d, node)) {
			int32_t free_amount = cluster_free_amount(cluster, d, node);

			reasons->dimension[d]++;
			reasons->most_free[d] = free_amount > reasons->most_free[d] ? free_amount : reasons->most_free[d];
			return;
		}
	if (!fit_node(cluster, charged, node))
		reasons->gpus++;
	else if (!constraints_allow(&ledger->places, &demand->constraints, node))
		reasons->places++;
	else if (!topology_fits(&ledger->topology, charged, &demand->numa, node))
		reasons->numa++;
	else
		reasons->size++;
}

static const char *next(bool *is_first)
{
	const char *between = *is_first ? ": " : ", ";

	*is_first = false;
	return between;
}

static void explain_reasons(const struct cluster *cluster, const struct request *charged, const struct reasons *reasons, struct str *text)
{
	const struct { uint32_t count; const char *one, *many; } sorts[] = {
		{ reasons->cordoned, "is cordoned", "are cordoned" }, { reasons->gpus, "lacks GPUs", "lack GPUs" },
		{ reasons->places, "is not allowed by labels, taints, affinity or spread", "are not allowed by labels, taints, affinity or spread" },
		{ reasons->numa, "lacks CPUs or room in its NUMA nodes", "lack CPUs or room in their NUMA nodes" },
		{ reasons->size, "is smaller than the instance", "are smaller than the instance" },
	};
	char wanted[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
	bool is_first = true;

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (reasons->dimension[d])
			str_printf(text, "%s%u %s %s (needs %s, the most free is %s)", next(&is_first), reasons->dimension[d],
				   reasons->dimension[d] == 1 ? "lacks" : "lack", cluster->dimensions[d].name,
				   cluster_amount(cluster, d, charged->need[d], wanted), cluster_amount(cluster, d, reasons->most_free[d], most));
	for (size_t i = 0; i < ARRAY_COUNT(sorts); i++)
		if (sorts[i].count)
			str_printf(text, "%s%u %s", next(&is_first), sorts[i].count, sorts[i].count == 1 ? sorts[i].one : sorts[i].many);
}

void explain_refusal(const struct ledger *ledger, const struct demand *demand, struct str *text)
{
	const struct cluster *cluster = ledger->cluster;
	struct request charged = ledger_charge(ledger, demand);
	struct reasons reasons = { 0 };

	for (uint32_t node = 0; node < cluster->node_end; node++) {
		if (!cluster_shape(cluster, node)->is_present)
			continue;
		if (cluster->node_count == 1) {
			str_printf(text, "node '%s': ", cluster_node_name(cluster, node));
			ledger_explain(ledger, demand, node, text);
			return;
		}
		count_reason(ledger, demand, &charged, node, &reasons);
	}
	str_printf(text, "none of %u nodes will do", cluster->node_count);
	explain_reasons(cluster, &charged, &reasons, text);
}
