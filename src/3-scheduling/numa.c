#include "3-scheduling/numa.h"

#include <math.h>

#include "3-scheduling/fit.h"
#include "3-scheduling/policy.h"
#include "base/mem.h"
#include "base/str.h"

/* How much it counts that the halves of a server stay alike, against that the server is full: from 0.1 to 2 makes little difference. */
#define BALANCE 0.5

bool numa_fits(const struct numa *numa, const struct request *request, bool is_split, uint32_t node)
{
	for (uint32_t i = 0; i < (is_split ? numa->parts : 1); i++)
		if (!fit_node(numa->cluster, request, node + i))
			return false;
	return true;
}

static uint32_t first_fit(const struct numa *numa, const struct request *request, bool is_split)
{
	for (uint32_t node = 0; node < numa->server_count * numa->parts; node += is_split ? numa->parts : 1)
		if (numa_fits(numa, request, is_split, node))
			return node;
	return CLUSTER_NONE;
}

/* The best of one server: the fullest wins, within it the emptier NUMA node. */
static void choose_in(const struct numa *numa, const struct request *request, bool is_split, uint32_t first, uint32_t *best, double *least)
{
	double rooms[NUMA_PARTS_MAX], all = 0;

	for (uint32_t i = 0; i < numa->parts; i++)
		all += rooms[i] = policy_free_part(numa->cluster, first + i);
	for (uint32_t i = 0; i < (is_split ? 1 : numa->parts); i++) {
		double others = numa->parts > 1 ? (all - rooms[i]) / (numa->parts - 1) : rooms[i];
		double cost = is_split ? all : all - BALANCE * (rooms[i] - others);

		if (cost >= *least || !numa_fits(numa, request, is_split, first + i))
			continue;
		*least = cost;
		*best = first + i;
	}
}

static uint32_t choose(const struct numa *numa, const struct request *request, bool is_split)
{
	uint32_t best = CLUSTER_NONE;
	double least = INFINITY;

	for (uint32_t first = 0; first < numa->server_count * numa->parts; first += numa->parts)
		choose_in(numa, request, is_split, first, &best, &least);
	return best;
}

static uint32_t balance(const struct numa *numa, const struct request *request, bool is_split)
{
	uint32_t best = CLUSTER_NONE;
	double widest = 0;

	for (uint32_t first = 0; !is_split && first < numa->server_count * numa->parts; first += numa->parts) {
		double difference = policy_free_part(numa->cluster, first) - policy_free_part(numa->cluster, first + numa->parts - 1);
		uint32_t emptier = difference >= 0 ? first : first + numa->parts - 1;
		uint32_t other = first + first + numa->parts - 1 - emptier;
		bool is_emptier_able = numa_fits(numa, request, false, emptier);

		if (fabs(difference) <= widest || !(is_emptier_able || numa_fits(numa, request, false, other)))
			continue;
		widest = fabs(difference);
		best = is_emptier_able ? emptier : other;
	}
	return best == CLUSTER_NONE ? first_fit(numa, request, is_split) : best;
}

const struct numa_policy numa_default = { .name = "default", .choose = choose };
const struct numa_policy numa_first_fit = { .name = "first-fit", .choose = first_fit };
const struct numa_policy numa_balance = { .name = "balance", .choose = balance };

const struct numa_policy *numa_policy_find(const char *name)
{
	static const struct numa_policy *const policies[] = { &numa_default, &numa_first_fit, &numa_balance };

	for (size_t i = 0; i < ARRAY_COUNT(policies); i++)
		if (text_equal(policies[i]->name, name))
			return policies[i];
	return NULL;
}

static void explain_free(const struct numa *numa, uint32_t node, struct str *text)
{
	char amount[UNITS_TEXT_SIZE];

	for (uint32_t d = 0; d < numa->cluster->dimension_count; d++)
		str_printf(text, "%s%s %s", d ? ", " : "", numa->cluster->dimensions[d].name,
			   cluster_amount(numa->cluster, d, cluster_free_amount(numa->cluster, d, node), amount));
}

static void explain_server(const struct numa *numa, const struct request *request, bool is_split, uint32_t server, struct str *text)
{
	str_printf(text, "server %u:", server);
	for (uint32_t i = 0; i < numa->parts; i++) {
		uint32_t node = server * numa->parts + i;

		str_printf(text, "%s NUMA node %u has ", i ? ";" : "", node);
		explain_free(numa, node, text);
		str_append(text, " free");
		if (!is_split)
			str_append(text, numa_fits(numa, request, false, node) ? ", would do" : ", too little");
	}
	if (is_split)
		str_append(text, numa_fits(numa, request, true, server * numa->parts) ? ": would do" : ": too little");
	str_append_char(text, '\n');
}

void numa_explain(const struct numa *numa, const struct numa_policy *policy, const struct request *request, bool is_split, uint32_t limit,
		  struct str *text)
{
	uint32_t node = policy->choose(numa, request, is_split);
	char amount[UNITS_TEXT_SIZE];

	str_append(text, is_split ? "needs of every NUMA node of one server:" : "needs of one NUMA node:");
	for (uint32_t d = 0; d < numa->cluster->dimension_count; d++)
		str_printf(text, "%s %s %s", d ? "," : "", numa->cluster->dimensions[d].name, cluster_amount(numa->cluster, d, request->need[d], amount));
	str_append_char(text, '\n');
	for (uint32_t server = 0; server < numa->server_count && server < limit; server++)
		explain_server(numa, request, is_split, server, text);
	if (node == CLUSTER_NONE)
		str_printf(text, "policy '%s' waits: it fits nowhere\n", policy->name);
	else
		str_printf(text, "policy '%s' chooses %s %u\n", policy->name, is_split ? "server" : "NUMA node", is_split ? node / numa->parts : node);
}
