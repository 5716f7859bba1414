#include <errno.h>
#include <math.h>

#include "3-scheduling/rebalance_private.h"
#include "base/mem.h"

double used_part(const struct cluster *cluster, uint32_t node)
{
	return 1 - policy_free_part(cluster, node);
}

/* ---- Expected use ---- */

static double excess(const struct cluster *cluster, const int64_t *load, uint32_t node, int percent)
{
	double most = 0;

	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double total = cluster_total(cluster, d, node);

		if (load[d])
			most = fmax(most, total > 0 ? (double)load[d] / total - percent / 100.0 : 1);
	}
	return most;
}

double overload_of(const struct rebalancing *rebalancing, uint32_t node)
{
	return rebalancing->load ? excess(rebalancing->ledger->cluster, rebalancing->load[node], node, LOAD_HIGH_PERCENT) : 0;
}

double rebalance_overload(const struct ledger *ledger, const struct usage *usage, uint32_t node)
{
	int64_t load[DIMENSIONS_MAX] = { 0 };

	for (uint32_t b = CLUSTER_NONE; (b = cluster_next_binding(ledger->cluster, node, b)) != CLUSTER_NONE;)
		for (int d = 0; d < DIMENSIONS_MAX; d++)
			load[d] += usage[b].amount[d];
	return excess(ledger->cluster, load, node, LOAD_HIGH_PERCENT);
}

static void add_load(struct rebalancing *rebalancing, uint32_t binding, uint32_t node, int sign)
{
	for (int d = 0; rebalancing->load && d < DIMENSIONS_MAX; d++)
		rebalancing->load[node][d] += sign * rebalancing->wanted->usage[binding].amount[d];
}

static void read_load(struct rebalancing *rebalancing)
{
	const struct cluster *cluster = rebalancing->ledger->cluster;

	if (!rebalancing->wanted->usage)
		return;
	rebalancing->load = alloc((cluster->node_end + 1) * sizeof(*rebalancing->load));
	for (uint32_t node = 0; node < cluster->node_end; node++)
		for (uint32_t b = CLUSTER_NONE; (b = cluster_next_binding(cluster, node, b)) != CLUSTER_NONE;)
			add_load(rebalancing, b, node, 1);
}

/* What is that busy already takes nothing over, and needs no look later. */
static int cordon_busy(struct rebalancing *rebalancing, struct err *err)
{
	const struct cluster *cluster = rebalancing->ledger->cluster;
	int r = 0;

	for (uint32_t node = 0; rebalancing->load && node < cluster->node_end && r == 0; node++)
		if (cluster_shape(cluster, node)->is_present && excess(cluster, rebalancing->load[node], node, LOAD_LOW_PERCENT) > 0)
			r = ledger_cordon(rebalancing->ledger, node, true, err);
	return r;
}

int cordon_empty(struct rebalancing *rebalancing, struct err *err)
{
	const struct cluster *cluster = rebalancing->ledger->cluster;
	int r = 0;

	for (uint32_t node = 0; node < cluster->node_end && r == 0; node++)
		if (cluster_shape(cluster, node)->is_present && !cluster_shape(cluster, node)->bound_count)
			r = ledger_cordon(rebalancing->ledger, node, true, err);
	return r;
}

/* ---- Moving ---- */

/* The policy's choice of those that stay calm with it. What does not is cordoned for the rest of the proposal. */
static int choose_target(struct rebalancing *rebalancing, const struct demand *demand, uint32_t binding, struct decision *ret_decision, struct err *err)
{
	for (;;) {
		int r = decider_choose_for(rebalancing->decider, rebalancing->ledger, demand, ret_decision, err);

		if (r < 0 || !rebalancing->load)
			return r;
		add_load(rebalancing, binding, ret_decision->node, 1);
		bool is_calm = excess(rebalancing->ledger->cluster, rebalancing->load[ret_decision->node], ret_decision->node, LOAD_LOW_PERCENT) <= 0;

		add_load(rebalancing, binding, ret_decision->node, -1);
		if (is_calm)
			return 0;
		r = ledger_cordon(rebalancing->ledger, ret_decision->node, true, err);
		if (r < 0)
			return r;
	}
}

int move_binding(struct rebalancing *rebalancing, uint32_t binding, enum rebalance_goal goal, struct err *err)
{
	struct ledger *ledger = rebalancing->ledger;
	const struct demand *demand = ledger_demand(ledger, binding);
	struct cluster_binding bound;
	struct decision decision;
	size_t mark = ledger_mark(ledger);
	uint32_t again;
	int r = cluster_binding(ledger->cluster, binding, &bound, err);

	if (r < 0)
		return r;
	int64_t cost = demand->request.need[rebalancing->wanted->cost_dimension];

	if (rebalancing->is_moved[binding] || rebalancing->plan->cost + cost > rebalancing->wanted->budget)
		return err_set(err, -ENOSPC, "binding %u may not move again, or costs more than is left", binding);
	/* First away, so that it is not in its own company; its number is the next to be given. */
	r = ledger_unbind(ledger, binding, err);
	r = r ? r : ledger_cordon(ledger, bound.node, true, err);
	r = r ? r : choose_target(rebalancing, demand, binding, &decision, err);
	r = r ? r : ledger_bind(ledger, demand, decision.node, decision.devices, &again, err);
	if (r < 0) {
		ledger_undo(ledger, mark);
		return r;
	}
	add_load(rebalancing, binding, bound.node, -1);
	add_load(rebalancing, binding, decision.node, 1);
	rebalancing->is_moved[binding] = true;
	rebalancing->plan->cost += cost;
	*vec_push(&rebalancing->plan->moves) = (struct move){ .binding = binding, .from = bound.node, .to = decision.node,
							      .devices = decision.devices, .cost = cost, .goal = (uint8_t)goal };
	return 0;
}

void take_back(struct rebalancing *rebalancing, size_t count, size_t mark)
{
	struct plan *plan = rebalancing->plan;

	while (plan->moves.count > count) {
		const struct move *move = &plan->moves.items[--plan->moves.count];

		add_load(rebalancing, move->binding, move->to, -1);
		add_load(rebalancing, move->binding, move->from, 1);
		rebalancing->is_moved[move->binding] = false;
		plan->cost -= move->cost;
	}
	ledger_undo(rebalancing->ledger, mark);
}

/* ---- All goals ---- */

static int pursue(struct rebalancing *rebalancing, uint32_t goals, struct err *err)
{
	int r = cordon_busy(rebalancing, err);

	if (r == 0 && goals & 1 << GOAL_OVERLOAD && rebalancing->load)
		r = relieve_overload(rebalancing, err);
	r = r ? r : cordon_empty(rebalancing, err);
	if (r == 0 && goals & 1 << GOAL_FRAGMENTATION && rebalancing->typical.count)
		r = gather_fragments(rebalancing, err);
	if (r == 0 && goals & 1 << GOAL_EMPTYING)
		r = empty_hosts(rebalancing, err);
	return r;
}

static int check(const struct ledger *ledger, const struct rebalance *wanted, struct err *err)
{
	if (wanted->cost_dimension >= ledger->cluster->dimension_count || wanted->budget < 0 || wanted->goals >= 1 << GOAL_COUNT)
		return err_set(err, -EINVAL, "dimension %u, budget %lld or goals %u is wrong: use one of %u dimensions, 0 or more, less than %d",
			       wanted->cost_dimension, (long long)wanted->budget, wanted->goals, ledger->cluster->dimension_count, 1 << GOAL_COUNT);
	return 0;
}

static void begin(struct rebalancing *rebalancing)
{
	struct ledger *ledger = rebalancing->ledger;

	rebalancing->decider = decider_new(ledger->cluster, rebalancing->wanted->policy);
	decider_set_mix(rebalancing->decider, rebalancing->wanted->mix);
	typical_init(&rebalancing->typical, rebalancing->wanted->mix, 0.95, ledger->cluster);
	rebalancing->is_moved = alloc((ledger->cluster->binding_end + 1) * sizeof(bool));
	ledger_begin(ledger);
}

/* The ledger is as before; what was planned is all that is left. */
static int end(struct rebalancing *rebalancing, int r, struct plan *ret_plan)
{
	ledger_undo(rebalancing->ledger, 0);
	ledger_keep(rebalancing->ledger);
	decider_free(rebalancing->decider);
	free(rebalancing->is_moved);
	free(rebalancing->load);
	if (r == 0)
		*ret_plan = *rebalancing->plan;
	else
		plan_done(rebalancing->plan);
	return r;
}

int rebalance(struct ledger *ledger, const struct rebalance *wanted, struct plan *ret_plan, struct err *err)
{
	struct plan plan = { 0 };
	struct rebalancing rebalancing = { .ledger = ledger, .wanted = wanted, .plan = &plan };
	int r = check(ledger, wanted, err);

	if (r < 0)
		return r;
	read_load(&rebalancing);
	begin(&rebalancing);
	r = pursue(&rebalancing, wanted->goals ? wanted->goals : (1 << GOAL_COUNT) - 1, err);
	return end(&rebalancing, r, ret_plan);
}

int drain(struct ledger *ledger, const struct rebalance *wanted, uint32_t node, struct plan *ret_plan, struct err *err)
{
	struct plan plan = { 0 };
	struct rebalance without_limits = *wanted;
	struct rebalancing rebalancing = { .ledger = ledger, .wanted = &without_limits, .plan = &plan };
	int r = check(ledger, wanted, err);

	r = r ? r : cluster_check_node(ledger->cluster, node, err);
	if (r < 0)
		return r;
	without_limits.budget = INT64_MAX;
	begin(&rebalancing);
	return end(&rebalancing, drain_host(&rebalancing, node, err), ret_plan);
}

void plan_done(struct plan *plan)
{
	vec_done(&plan->moves);
	vec_done(&plan->emptied);
	vec_done(&plan->stuck);
}

void plan_explain(const struct ledger *ledger, const struct rebalance *rebalance, const struct plan *plan, size_t i, struct str *text)
{
	const struct move *move = &plan->moves.items[i];
	const char *from = cluster_node_name(ledger->cluster, move->from);
	char cost[UNITS_TEXT_SIZE];

	str_printf(text, "move binding %u (%s) from '%s' to '%s': ", move->binding,
		   cluster_amount(ledger->cluster, rebalance->cost_dimension, move->cost, cost), from, cluster_node_name(ledger->cluster, move->to));
	switch ((enum rebalance_goal)move->goal) {
	case GOAL_OVERLOAD: str_printf(text, "ends %.0f%% of overload on '%s'", 100 * move->gain, from); break;
	case GOAL_FRAGMENTATION: str_printf(text, "makes %.0f%% of a host usable again", 100 * move->gain); break;
	case GOAL_EMPTYING: str_printf(text, "empties '%s', which uses %.0f%% of what it has", from, 100 * used_part(ledger->cluster, move->from)); break;
	case GOAL_COUNT: break;
	}
}
