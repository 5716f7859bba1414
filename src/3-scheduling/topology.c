#include "3-scheduling/topology.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

enum refusal { FITS, UNKNOWN, PIN_ABSENT, PIN_TAKEN, PIN_SPREAD, UNEVEN, NO_ROOM };

struct plan {
	struct hold hold;		/* What the instance would have. */
	enum refusal refusal;
	uint32_t cpu;			/* For the text. */
};

void cpu_set_add(struct cpu_set *set, uint32_t cpu)
{
	set->words[cpu / 64] |= 1ull << (cpu % 64);
}

static bool cpu_set_has(const struct cpu_set *set, uint32_t cpu)
{
	return set->words[cpu / 64] >> (cpu % 64) & 1;
}

uint32_t cpu_set_count(const struct cpu_set *set)
{
	uint32_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(set->words); i++)
		count += (uint32_t)__builtin_popcountll(set->words[i]);
	return count;
}

int topology_init(struct topology *topology, const struct cluster *cluster, uint32_t cpu, uint32_t memory, struct err *err)
{
	if (cpu >= cluster->dimension_count || memory >= cluster->dimension_count || cpu == memory)
		return err_set(err, -EINVAL, "dimensions %u and %u for CPU and memory: use two of %u", cpu, memory, cluster->dimension_count);
	*topology = (struct topology){ .cluster = cluster, .cpu = cpu, .memory = memory, .first_free_hold = HOLD_NONE };
	return 0;
}

static void forget_cpus(struct host_cpus *host)
{
	free(host->taken);
	free(host->pins);
}

void topology_done(struct topology *topology)
{
	for (uint32_t i = 0; i < topology->host_capacity; i++)
		forget_cpus(&topology->hosts[i]);
	free(topology->hosts);
	vec_done(&topology->zones);
	vec_done(&topology->holds);
	*topology = (struct topology){ 0 };
}

/* ---- Describing hosts ---- */

static int check_numa_nodes(const struct topology *topology, uint32_t node, const struct numa_node *numa_nodes, uint32_t count, struct err *err)
{
	struct cpu_set all = { 0 };

	int r = cluster_check_node(topology->cluster, node, err);

	if (r < 0)
		return r;
	const char *name = cluster_node_name(topology->cluster, node);

	if (count < 1 || count > NUMA_NODES_MAX)
		return err_set(err, -EINVAL, "node '%s': %u NUMA nodes: 1 to %d are possible", name, count, NUMA_NODES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (numa_nodes[i].memory < 0)
			return err_set(err, -EINVAL, "node '%s': NUMA node %u has a memory of %d: use 0 or more", name, i, numa_nodes[i].memory);
		for (size_t w = 0; w < ARRAY_COUNT(all.words); w++) {
			if (all.words[w] & numa_nodes[i].cpus.words[w])
				return err_set(err, -EINVAL, "node '%s': NUMA node %u has CPU %zu, which another one has too", name, i,
					       64 * w + (size_t)__builtin_ctzll(all.words[w] & numa_nodes[i].cpus.words[w]));
			all.words[w] |= numa_nodes[i].cpus.words[w];
		}
	}
	return 0;
}

static struct host_cpus *host_at(struct topology *topology, uint32_t node)
{
	if (node >= topology->host_capacity) {
		uint32_t capacity = node + node / 4 + 16;

		topology->hosts = alloc_array(topology->hosts, capacity, sizeof(*topology->hosts));
		memset(topology->hosts + topology->host_capacity, 0, (capacity - topology->host_capacity) * sizeof(*topology->hosts));
		topology->host_capacity = capacity;
	}
	return &topology->hosts[node];
}

static const struct host_cpus *known_host(const struct topology *topology, uint32_t node)
{
	return node < topology->host_capacity && topology->hosts[node].zone_count ? &topology->hosts[node] : NULL;
}

int topology_set(struct topology *topology, uint32_t node, const struct numa_node *numa_nodes, uint32_t count, struct err *err)
{
	int r = check_numa_nodes(topology, node, numa_nodes, count, err);

	if (r < 0)
		return r;
	struct host_cpus *host = host_at(topology, node);

	if (host->hold_count)
		return err_set(err, -EBUSY, "node '%s': %u instances hold CPUs or NUMA nodes there: move them first",
			       cluster_node_name(topology->cluster, node), host->hold_count);
	if (host->zone_count != count) {	/* Those it had are not used again: hosts seldom change. */
		host->first_zone = (uint32_t)topology->zones.count;
		for (host->zone_count = 0; host->zone_count < count; host->zone_count++)
			vec_push(&topology->zones);
	}
	for (uint32_t i = 0; i < count; i++) {
		int32_t cpu = (int32_t)cpu_set_count(&numa_nodes[i].cpus) * 1000, memory = numa_nodes[i].memory;

		topology->zones.items[host->first_zone + i] = (struct zone){ .cpus = numa_nodes[i].cpus, .cpu_total = cpu, .cpu_free = cpu,
									     .memory_total = memory, .memory_free = memory };
	}
	return 0;
}

void topology_forget(struct topology *topology, uint32_t node)
{
	if (node < topology->host_capacity) {
		forget_cpus(&topology->hosts[node]);
		topology->hosts[node] = (struct host_cpus){ 0 };
	}
}

/* ---- Does it fit? ---- */

int topology_check(const struct topology *topology, const struct request *request, const struct numa_demand *demand, struct err *err)
{
	int32_t cpu = request->need[topology->cpu];

	if (demand->fit > NUMA_SPLIT)
		return err_set(err, -EINVAL, "NUMA fit %u: use 0 to %d", demand->fit, NUMA_SPLIT);
	if (demand->is_exclusive && (cpu % 1000 || !cpu))
		return err_set(err, -EINVAL, "%g exclusive CPUs: use a whole number of 1 or more", cpu / 1000.0);
	if (demand->pinned && !cpu_set_count(demand->pinned))
		return err_set(err, -EINVAL, "it is pinned to no CPU: name one or more");
	if (demand->pinned && demand->fit == NUMA_SPLIT)
		return err_set(err, -EINVAL, "it is pinned to CPUs and split over all NUMA nodes: choose one of the two");
	if (demand->pinned && demand->is_exclusive && (int32_t)cpu_set_count(demand->pinned) * 1000 != cpu)
		return err_set(err, -EINVAL, "%g exclusive CPUs, pinned to %u: name as many as are asked for", cpu / 1000.0,
			       cpu_set_count(demand->pinned));
	return 0;
}

static struct zone *zone_at(const struct topology *topology, const struct host_cpus *host, uint32_t zone)
{
	return &topology->zones.items[host->first_zone + zone];
}

/* Nobody has it alone, nor is pinned to it where 'is_alone'. */
static bool is_cpu_free(const struct host_cpus *host, uint32_t cpu, bool is_alone)
{
	return !(host->taken && cpu_set_has(host->taken, cpu)) && !(is_alone && host->pins && host->pins[cpu]);
}

static uint32_t free_cpus(const struct topology *topology, const struct host_cpus *host, uint32_t zone)
{
	const struct cpu_set *cpus = &zone_at(topology, host, zone)->cpus;
	uint32_t count = 0;

	for (uint32_t w = 0; w < ARRAY_COUNT(cpus->words); w++) {
		uint64_t left = cpus->words[w] & ~(host->taken ? host->taken->words[w] : 0);

		count += (uint32_t)__builtin_popcountll(left);
		for (; left && host->pins; left &= left - 1)
			count -= host->pins[64 * w + (uint32_t)__builtin_ctzll(left)] > 0;
	}
	/* What others share of the NUMA node needs CPUs too. */
	uint32_t unshared = (uint32_t)zone_at(topology, host, zone)->cpu_free / 1000;

	return count < unshared ? count : unshared;
}

static void choose_cpus(const struct topology *topology, const struct host_cpus *host, uint32_t zone, uint32_t count, struct cpu_set *ret_cpus)
{
	const struct cpu_set *cpus = &zone_at(topology, host, zone)->cpus;

	for (uint32_t w = 0; w < ARRAY_COUNT(cpus->words); w++)
		for (uint64_t left = cpus->words[w]; left && count; left &= left - 1) {
			uint32_t cpu = 64 * w + (uint32_t)__builtin_ctzll(left);

			if (!is_cpu_free(host, cpu, true))
				continue;
			cpu_set_add(ret_cpus, cpu);
			count--;
		}
}

static bool has_room(const struct topology *topology, const struct host_cpus *host, uint32_t zone, struct zone_share share, bool is_exclusive)
{
	const struct zone *at = zone_at(topology, host, zone);

	if (share.cpu > at->cpu_free || share.memory > at->memory_free)
		return false;
	return !is_exclusive || (int32_t)free_cpus(topology, host, zone) * 1000 >= share.cpu;
}

/* The NUMA node with most CPU free that has room and, where it is pinned, all of the CPUs. */
static void plan_single(const struct topology *topology, const struct host_cpus *host, struct zone_share whole,
			const struct numa_demand *demand, struct plan *plan)
{
	uint32_t best = NUMA_NODES_MAX;
	bool has_pins = false;

	for (uint32_t zone = 0; zone < host->zone_count; zone++) {
		bool is_inside = true;

		for (size_t w = 0; demand->pinned && w < ARRAY_COUNT(demand->pinned->words); w++)
			is_inside &= !(demand->pinned->words[w] & ~zone_at(topology, host, zone)->cpus.words[w]);
		has_pins |= is_inside;
		if (!is_inside || !has_room(topology, host, zone, whole, demand->is_exclusive && !demand->pinned))
			continue;
		if (best == NUMA_NODES_MAX || zone_at(topology, host, zone)->cpu_free > zone_at(topology, host, best)->cpu_free)
			best = zone;
	}
	if (best == NUMA_NODES_MAX) {
		plan->refusal = has_pins ? NO_ROOM : PIN_SPREAD;
		return;
	}
	plan->hold.share[best] = whole;
	if (demand->is_exclusive && !demand->pinned)
		choose_cpus(topology, host, best, (uint32_t)whole.cpu / 1000, &plan->hold.cpus);
}

static void plan_split(const struct topology *topology, const struct host_cpus *host, struct zone_share whole, bool is_exclusive, struct plan *plan)
{
	int32_t parts = (int32_t)host->zone_count;
	const struct zone_share share = { whole.cpu / parts + (whole.cpu % parts > 0), whole.memory / parts + (whole.memory % parts > 0) };

	if (is_exclusive && whole.cpu / 1000 % parts) {
		plan->refusal = UNEVEN;
		return;
	}
	for (uint32_t zone = 0; zone < host->zone_count; zone++) {
		if (!has_room(topology, host, zone, share, is_exclusive)) {
			plan->refusal = NO_ROOM;
			return;
		}
		plan->hold.share[zone] = share;
		if (is_exclusive)
			choose_cpus(topology, host, zone, (uint32_t)share.cpu / 1000, &plan->hold.cpus);
	}
}

/* Whole CPUs wherever they are: of as few NUMA nodes as possible. */
static void plan_anywhere(const struct topology *topology, const struct host_cpus *host, uint32_t count, struct plan *plan)
{
	uint32_t has[NUMA_NODES_MAX];

	for (uint32_t zone = 0; zone < host->zone_count; zone++)
		has[zone] = free_cpus(topology, host, zone);
	while (count) {
		uint32_t most = 0;

		for (uint32_t zone = 1; zone < host->zone_count; zone++)
			most = has[zone] > has[most] ? zone : most;
		if (!has[most]) {
			plan->refusal = NO_ROOM;
			return;
		}
		uint32_t part = has[most] < count ? has[most] : count;

		choose_cpus(topology, host, most, part, &plan->hold.cpus);
		plan->hold.share[most].cpu = (int32_t)part * 1000;
		has[most] = 0;
		count -= part;
	}
}

static uint32_t zone_of(const struct topology *topology, const struct host_cpus *host, uint32_t cpu)
{
	uint32_t zone = 0;

	while (zone < host->zone_count && !cpu_set_has(&zone_at(topology, host, zone)->cpus, cpu))
		zone++;
	return zone;
}

/* Are the CPUs there, and for the taking? Exclusive ones count where they are. */
static void plan_pinned(const struct topology *topology, const struct host_cpus *host, const struct numa_demand *demand, struct plan *plan)
{
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
		if (!cpu_set_has(demand->pinned, cpu))
			continue;
		uint32_t zone = zone_of(topology, host, cpu);

		plan->cpu = cpu;
		if (zone == host->zone_count) {
			plan->refusal = PIN_ABSENT;
			return;
		}
		if (!is_cpu_free(host, cpu, demand->is_exclusive)) {
			plan->refusal = PIN_TAKEN;
			return;
		}
		if (demand->is_exclusive && demand->fit != NUMA_SINGLE)
			plan->hold.share[zone].cpu += 1000;
	}
	plan->hold.cpus = *demand->pinned;
	for (uint32_t zone = 0; zone < host->zone_count; zone++)
		if (!has_room(topology, host, zone, plan->hold.share[zone], false))
			plan->refusal = NO_ROOM;
}

static void make_plan(const struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node,
		      struct plan *plan)
{
	const struct host_cpus *host = known_host(topology, node);
	const struct zone_share whole = { request->need[topology->cpu], request->need[topology->memory] };

	*plan = (struct plan){ .refusal = host ? FITS : UNKNOWN, .hold = { .host = node, .is_exclusive = demand->is_exclusive,
									   .is_pinned = demand->pinned && !demand->is_exclusive } };
	if (host && demand->pinned)
		plan_pinned(topology, host, demand, plan);
	if (!host || plan->refusal)
		return;
	if (demand->fit == NUMA_SINGLE)
		plan_single(topology, host, whole, demand, plan);
	else if (demand->fit == NUMA_SPLIT)
		plan_split(topology, host, whole, demand->is_exclusive, plan);
	else if (demand->is_exclusive && !demand->pinned)
		plan_anywhere(topology, host, (uint32_t)whole.cpu / 1000, plan);
}

bool topology_fits(const struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node)
{
	struct plan plan;

	if (!numa_demand_is_anything(demand))
		return true;
	make_plan(topology, request, demand, node, &plan);
	return plan.refusal == FITS;
}

static const char *amount(const struct topology *topology, uint32_t dimension, int64_t value, char buffer[UNITS_TEXT_SIZE])
{
	return cluster_amount(topology->cluster, dimension, value, buffer);
}

static void explain_room(const struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node,
			 struct str *text)
{
	static const char *const where[] = { [NUMA_ANYWHERE] = "", [NUMA_SINGLE] = " in one NUMA node", [NUMA_SPLIT] = " in equal parts on all NUMA nodes" };
	const struct host_cpus *host = known_host(topology, node);
	char cpu[UNITS_TEXT_SIZE], memory[UNITS_TEXT_SIZE];

	str_printf(text, "needs %s%s CPUs and %s%s; its NUMA nodes have", amount(topology, topology->cpu, request->need[topology->cpu], cpu),
		   demand->is_exclusive ? " exclusive" : "", amount(topology, topology->memory, request->need[topology->memory], memory),
		   where[demand->fit]);
	for (uint32_t zone = 0; zone < host->zone_count; zone++) {
		const struct zone *at = zone_at(topology, host, zone);
		int64_t cpu_free = demand->is_exclusive ? (int64_t)free_cpus(topology, host, zone) * 1000 : at->cpu_free;

		str_printf(text, "%s %s and %s", zone ? "," : "", amount(topology, topology->cpu, cpu_free, cpu),
			   amount(topology, topology->memory, at->memory_free, memory));
	}
	str_append(text, " free");
}

void topology_explain(const struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node,
		      struct str *text)
{
	struct plan plan = { .refusal = FITS };

	if (numa_demand_is_anything(demand))
		make_plan(topology, request, demand, node, &plan);
	switch (plan.refusal) {
	case FITS: break;
	case UNKNOWN: str_append(text, "its CPUs and NUMA nodes are not known"); break;
	case PIN_ABSENT: str_printf(text, "has no CPU %u", plan.cpu); break;
	case PIN_TAKEN: str_printf(text, "another instance has CPU %u", plan.cpu); break;
	case PIN_SPREAD: str_append(text, "the CPUs it is pinned to are not in one NUMA node"); break;
	case UNEVEN: str_printf(text, "has %u NUMA nodes, over which %d exclusive CPUs cannot be split evenly", known_host(topology, node)->zone_count,
				request->need[topology->cpu] / 1000); break;
	case NO_ROOM: explain_room(topology, request, demand, node, text); break;
	}
}

/* ---- Taking and giving back ---- */

static uint32_t take_hold_number(struct topology *topology)
{
	uint32_t i = topology->first_free_hold;

	if (i == HOLD_NONE) {
		vec_push(&topology->holds);
		return (uint32_t)topology->holds.count - 1;
	}
	topology->first_free_hold = topology->holds.items[i].host;
	return i;
}

static void account_cpus(struct host_cpus *host, const struct hold *hold, int sign)
{
	if (hold->is_exclusive && !host->taken)
		host->taken = alloc(sizeof(*host->taken));
	if (hold->is_pinned && !host->pins)
		host->pins = alloc(CPUS_MAX * sizeof(*host->pins));
	for (uint32_t w = 0; w < ARRAY_COUNT(hold->cpus.words); w++) {
		if (hold->is_exclusive)
			host->taken->words[w] ^= hold->cpus.words[w];
		for (uint64_t left = hold->is_pinned ? hold->cpus.words[w] : 0; left; left &= left - 1) {
			uint16_t *pins = &host->pins[64 * w + (uint32_t)__builtin_ctzll(left)];

			*pins = (uint16_t)(*pins + sign);
		}
	}
}

/* Takes (sign 1) or gives back (-1). */
static void account_hold(struct topology *topology, const struct hold *hold, int sign)
{
	struct host_cpus *host = &topology->hosts[hold->host];

	for (uint32_t i = 0; i < host->zone_count; i++) {
		struct zone *zone = zone_at(topology, host, i);

		zone->cpu_free -= sign * hold->share[i].cpu;
		zone->memory_free -= sign * hold->share[i].memory;
	}
	account_cpus(host, hold, sign);
	host->hold_count += (uint32_t)sign;
}

uint32_t topology_put_back(struct topology *topology, const struct hold *hold)
{
	uint32_t number = take_hold_number(topology);

	topology->holds.items[number] = *hold;
	account_hold(topology, hold, 1);
	return number;
}

int topology_take(struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node,
		  uint32_t *ret_hold, struct err *err)
{
	struct plan plan;
	int r = topology_check(topology, request, demand, err);

	*ret_hold = HOLD_NONE;
	if (r < 0 || !numa_demand_is_anything(demand))
		return r;
	make_plan(topology, request, demand, node, &plan);
	if (plan.refusal) {
		auto_str struct str why = { 0 };

		topology_explain(topology, request, demand, node, &why);
		return err_set(err, -ENOSPC, "node %u: %s", node, str_text(&why));
	}
	*ret_hold = topology_put_back(topology, &plan.hold);
	return 0;
}

struct hold topology_release(struct topology *topology, uint32_t number)
{
	struct hold hold = topology->holds.items[number];

	account_hold(topology, &hold, -1);
	topology->holds.items[number].host = topology->first_free_hold;
	topology->first_free_hold = number;
	return hold;
}
