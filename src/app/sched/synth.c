/*
 * strata-sched synth: how many decisions a second on a made-up cluster that is kept nearly full?
 *
 * Nodes of four shapes in eight dimensions; requests of 24 flavours, as clouds sell them (--random: every request is
 * another). After the cluster has been filled, each decision is one request placed; when it fits nowhere or the cluster is as
 * full as it should be, requests bound at random end first. The time of a decision is that of choosing, binding and ending.
 * --filters all: half of the nodes have a label that a third of the requests want and another third would rather leave to
 * them, a tenth has a taint that a tenth of the requests tolerate; each request belongs to one of 1,000 services, of which no two
 * instances share a node and which are spread over 8 zones; nodes have two NUMA nodes, within one of which a third of the
 * requests want to be, some of them on CPUs of their own.
 * The policy random-fit takes the first of random nodes that fits: what accounting costs without a decision.
 */
#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#include "3-scheduling/best_fit.h"
#include "3-scheduling/explain.h"
#include "3-scheduling/fit.h"
#include "app/sched/sched.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/vec.h"

enum { DIMENSIONS = 8, FLAVOURS = 24, FULL_PERCENT = 85, GPUS = 8, SERVICES = 1000, ZONES = 8, SKEW = 4, PROBES = 1000, DEMANDS = 4096, NUMA_NODES = 2 };

static const struct cluster_dimension dimensions[DIMENSIONS] = {
	{ "cpu", "m" }, { "memory", "MiB" }, { "disk", "GiB" }, { "iops", "" },
	{ "bandwidth", "Mbit/s" }, { "vf", "" }, { "rdma", "" }, { "accelerator", "" },
};
static const int32_t shapes[4][DIMENSIONS] = {
	{ 32000, 131072, 2000, 100000, 25000, 64, 16, 0 },	{ 64000, 262144, 4000, 200000, 50000, 64, 32, 4 },
	{ 96000, 393216, 8000, 400000, 100000, 128, 32, 8 },	{ 128000, 1048576, 16000, 800000, 100000, 128, 64, 0 },
};

struct bound { uint32_t binding; int32_t cpu; };

struct synth {
	struct ledger ledger;		/* With filters; else only its cluster is used. */
	struct cluster *cluster;
	struct decider *decider;
	struct best_fit *index;		/* Neither this nor that: random fit. */
	bool is_filtered;
	uint32_t ssd, reserved, services[SERVICES];
	struct demand *demands;
	struct request flavours[FLAVOURS];
	VEC(struct bound) bound;
	struct rng rng;
	int64_t cpu_total, cpu_used;
	uint64_t refused;
	bool is_random, has_gpus;
	int64_t explain;		/* Which decision; -1: none. */
	double cpu_us;			/* Per decision, with making the request. */
	struct sched_times times;
};

static void synth_done(struct synth *synth)
{
	best_fit_free(synth->index);
	decider_free(synth->decider);
	ledger_done(&synth->ledger);
	free(synth->demands);
	vec_done(&synth->bound);
	sched_times_done(&synth->times);
}

static int32_t drawn(struct synth *synth, int32_t least, int32_t most)
{
	return least + (int32_t)rng_below(&synth->rng, (uint64_t)(most - least + 1));
}

static struct request make_request(struct synth *synth)
{
	int32_t cores = 1 << drawn(synth, 0, 4);
	struct request request = { .need = { cores * 1000, cores * (1024 << drawn(synth, 0, 3)), drawn(synth, 10, 200), cores * drawn(synth, 100, 1000),
					     drawn(synth, 100, 2000), drawn(synth, 0, 2), drawn(synth, 0, 4) == 0, drawn(synth, 0, 15) == 0 } };

	if (synth->has_gpus && drawn(synth, 0, 2) == 0) {
		request.gpu_count = 1;
		request.gpu_milli = (int16_t)(drawn(synth, 0, 1) ? GPU_WHOLE_MILLI : 100 * drawn(synth, 1, 8));
	}
	return request;
}

static int make_nodes(struct synth *synth, int64_t count, struct err *err)
{
	int r = ledger_init(&synth->ledger, dimensions, DIMENSIONS, 0, 1, err);

	synth->cluster = synth->ledger.cluster;
	for (int64_t i = 0; i < count && r == 0; i++) {
		const int32_t *total = shapes[drawn(synth, 0, 3)];
		char name[32];

		snprintf(name, sizeof(name), "node%lld", (long long)i);
		const struct cluster_node node = { .name = name, .total = total, .gpu_count = synth->has_gpus && total[7] ? GPUS : 0, .gpu_model = "GPU" };
		uint32_t number;

		r = cluster_add_node(synth->cluster, &node, &number, err);
		synth->cpu_total += total[0];
	}
	return r;
}

static int label_nodes(struct synth *synth, struct err *err)
{
	struct places *places = &synth->ledger.places;
	int r = places_label(places, "disk=ssd", &synth->ssd, err);

	r = r ? r : places_taint(places, "reserved", &synth->reserved, err);
	for (int i = 0; i < SERVICES && r == 0; i++) {
		char name[32];

		snprintf(name, sizeof(name), "service%d", i);
		r = places_group(places, name, &synth->services[i], err);
	}
	for (uint32_t node = 0; node < synth->cluster->node_end && r == 0; node++) {
		r = places_set_domain(places, node, 0, (int16_t)(node % ZONES), err);
		r = r ? r : places_set_label(places, node, synth->ssd, drawn(synth, 0, 1), err);
		r = r ? r : places_set_taint(places, node, synth->reserved, drawn(synth, 0, 9) == 0, err);
	}
	return r;
}

static int set_topology(struct synth *synth, struct err *err)
{
	int r = 0;

	for (uint32_t node = 0; node < synth->cluster->node_end && r == 0; node++) {
		struct numa_node numa_nodes[NUMA_NODES] = { 0 };
		uint32_t cpus = (uint32_t)cluster_total(synth->cluster, 0, node) / 1000;

		for (uint32_t i = 0; i < NUMA_NODES; i++)
			numa_nodes[i].memory = cluster_total(synth->cluster, 1, node) / NUMA_NODES;
		for (uint32_t cpu = 0; cpu < cpus; cpu++)
			cpu_set_add(&numa_nodes[cpu * NUMA_NODES / cpus].cpus, cpu);
		r = topology_set(&synth->ledger.topology, node, numa_nodes, NUMA_NODES, err);
	}
	return r;
}

static void make_demand(struct synth *synth, struct demand *demand)
{
	uint32_t service = synth->services[drawn(synth, 0, SERVICES - 1)];
	int32_t label = drawn(synth, 0, 2), numa = drawn(synth, 0, 11);

	*demand = (struct demand){
		.request = synth->is_random ? make_request(synth) : synth->flavours[rng_below(&synth->rng, FLAVOURS)],
		.project = PROJECT_NONE, .groups = { service }, .group_count = 1,
		.constraints = {
			.tolerated_taints = drawn(synth, 0, 9) == 0 ? 1ull << synth->reserved : 0,
			.labels = { synth->ssd }, .label_count = label == 0,
			.without = { { service, DOMAIN_SELF } }, .without_count = 1,
			.spread = { { service, 0, SKEW } }, .spread_count = 1,
			.preferred = { { .kind = PREFER_NOT_LABEL, .weight = 1, .number = synth->ssd } }, .preferred_count = label == 1,
		},
		.numa = { .fit = numa < 4 ? NUMA_SINGLE : NUMA_ANYWHERE, .is_exclusive = numa == 0 },
	};
}

static int make_filters(struct synth *synth, struct err *err)
{
	int r = label_nodes(synth, err);

	r = r ? r : set_topology(synth, err);
	synth->is_filtered = true;
	synth->demands = alloc_array(NULL, DEMANDS, sizeof(*synth->demands));
	for (int i = 0; i < DEMANDS && r == 0; i++)
		make_demand(synth, &synth->demands[i]);
	return r;
}

static uint32_t random_fit(struct synth *synth, const struct request *request)
{
	for (int i = 0; i < PROBES; i++) {
		uint32_t node = (uint32_t)rng_below(&synth->rng, synth->cluster->node_end);

		if (fit_node(synth->cluster, request, node))
			return node;
	}
	return CLUSTER_NONE;
}

static int choose(struct synth *synth, const struct request *request, const struct demand *demand, struct decision *ret_decision, struct err *err)
{
	if (demand)
		return decider_choose_for(synth->decider, &synth->ledger, demand, ret_decision, err);
	if (synth->decider)
		return decider_choose(synth->decider, request, ret_decision, err);
	ret_decision->node = synth->index ? best_fit_choose(synth->index, request) : random_fit(synth, request);
	return ret_decision->node == CLUSTER_NONE ? -ENOSPC : 0;
}

static int end_one(struct synth *synth, struct err *err)
{
	size_t i = rng_below(&synth->rng, synth->bound.count);
	const struct bound *bound = &synth->bound.items[i];
	int r = synth->is_filtered ? ledger_unbind(&synth->ledger, bound->binding, err) : cluster_unbind(synth->cluster, bound->binding, err);

	synth->cpu_used -= bound->cpu;
	synth->bound.items[i] = synth->bound.items[synth->bound.count - 1];
	synth->bound.count--;
	return r;
}

/* 1: placed, 0: it fits nowhere. */
static int place_one(struct synth *synth, const struct request *request, const struct demand *demand, struct err *err)
{
	struct decision decision = { .node = CLUSTER_NONE };
	uint32_t binding;
	int r = choose(synth, request, demand, &decision, err);

	if (r == -ENOSPC)
		return 0;
	if (r == 0 && demand)
		r = ledger_bind(&synth->ledger, demand, decision.node, decision.devices, &binding, err);
	else if (r == 0)
		r = cluster_bind(synth->cluster, request, decision.node, decision.devices, &binding, err);
	if (r < 0)
		return r;
	*vec_push(&synth->bound) = (struct bound){ .binding = binding, .cpu = request->need[0] };
	synth->cpu_used += request->need[0];
	return 1;
}

static void explain(const struct synth *synth, const struct request *request, const struct demand *demand)
{
	auto_str struct str text = { 0 };

	if (demand)
		explain_demand(synth->decider, &synth->ledger, demand, 10, &text);
	else
		explain_request(synth->decider, synth->cluster, request, 10, &text);
	fputs(str_text(&text), stdout);
}

static int decide_one(struct synth *synth, bool is_timed, struct err *err)
{
	const struct demand *demand = synth->is_filtered ? &synth->demands[rng_below(&synth->rng, DEMANDS)] : NULL;
	struct request request;

	if (demand)
		request = demand->request;
	else
		request = synth->is_random ? make_request(synth) : synth->flavours[rng_below(&synth->rng, FLAVOURS)];
	if (is_timed && (int64_t)synth->times.count == synth->explain)
		explain(synth, &request, demand);
	uint64_t start = sched_now_ns();
	int r = 0;

	while (r == 0 && synth->cpu_used * 100 > synth->cpu_total * FULL_PERCENT)
		r = end_one(synth, err);
	r = r ? r : place_one(synth, &request, demand, err);
	if (r == 0 && synth->bound.count)
		r = end_one(synth, err);
	synth->refused += is_timed && r == 0;
	if (is_timed)
		sched_times_add(&synth->times, sched_now_ns() - start);
	return r < 0 ? r : 0;
}

static int decide_all(struct synth *synth, int64_t requests, struct err *err)
{
	int r = 0;

	/* Until the cluster is as full as it becomes: most of the time nothing fits that is large. */
	while (r == 0 && synth->cpu_used * 100 < synth->cpu_total * (FULL_PERCENT - 1)) {
		size_t before = synth->bound.count;

		r = decide_one(synth, false, err);
		if (synth->bound.count < before)
			break;
	}
	clock_t start = clock();

	for (int64_t i = 0; i < requests && r == 0; i++)
		r = decide_one(synth, true, err);
	synth->cpu_us = 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / (double)requests;
	return r;
}

static int choose_policy(struct synth *synth, const char *name, struct err *err)
{
	const struct policy *policy = policy_find(name);

	if (!policy)
		return err_set(err, -EINVAL, "policy '%s' does not exist: see strata-sched policies, or use best-fit", name);
	synth->decider = decider_new(synth->cluster, policy);
	if (policy->is_using_mix) {
		struct mix mix = { 0 };

		for (int i = 0; i < FLAVOURS; i++)
			mix_add(&mix, &synth->flavours[i]);
		decider_set_mix(synth->decider, &mix);
		mix_done(&mix);
	}
	return 0;
}

static void print_result(const struct synth *synth, struct sched_times *times, const char *policy, const char *scan)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("policy          %s%s%s\n", policy, scan ? ", rows compared by " : "", scan ? scan : "");
	printf("nodes           %u in %d dimensions, %zu requests bound, CPU %.1f%% used\n", synth->cluster->node_count, DIMENSIONS, synth->bound.count,
	       100 * (double)synth->cpu_used / (double)synth->cpu_total);
	printf("requests        %s, %llu fitted nowhere\n", synth->is_random ? "all different" : "of 24 flavours", (unsigned long long)synth->refused);
	printf("CPU time        %.2f us per decision, with making the request and reading the clock\n", synth->cpu_us);
	printf("memory          %ld MiB\n", usage.ru_maxrss / 1024);
	sched_times_print(times, stdout);
}

int sched_synth(const struct sched_options *options, struct err *err)
{
	const char *name = options->policy ? options->policy : options->filters ? "default" : "best-fit";
	bool is_best_fit = text_equal(name, "best-fit");
	__attribute__((cleanup(synth_done))) struct synth synth = { .is_random = options->is_random, .has_gpus = policy_find(name) != NULL,
									.explain = options->explain };
	const struct scan *scan = scan_at(0);
	int r;

	if (options->node_count < 1 || options->node_count > CLUSTER_NODES_MAX || options->requests < 1)
		return err_set(err, -EINVAL, "synth needs --nodes from 1 to %d and --requests from 1", CLUSTER_NODES_MAX);
	if (options->filters && (!text_equal(options->filters, "all") || !policy_find(name)))
		return err_set(err, -EINVAL, "--filters '%s' with policy '%s': use all, with a policy that strata-sched policies lists",
			       shown(options->filters), shown(name));
	if (options->explain >= 0 && (!policy_find(name) || options->explain >= options->requests))
		return err_set(err, -EINVAL, "--explain %lld with policy '%s' and %lld requests: use a policy that strata-sched policies lists, "
			       "and a smaller number",
			       (long long)options->explain, shown(name), (long long)options->requests);
	rng_init(&synth.rng, 1);
	for (unsigned int i = 0; options->scan && scan && !text_equal(scan->name, options->scan); i++)
		scan = scan_at(i + 1);
	if (!scan)
		return err_set(err, -EINVAL, "--scan '%s' is nothing that this CPU has: use portable, avx2 or avx512", options->scan);
	for (int i = 0; i < FLAVOURS; i++)
		synth.flavours[i] = make_request(&synth);
	r = make_nodes(&synth, options->node_count, err);
	if (r == 0 && options->filters)
		r = make_filters(&synth, err);
	if (r == 0 && is_best_fit)
		synth.index = best_fit_new(synth.cluster, options->scan ? scan : scan_best());
	else if (r == 0 && !text_equal(name, "random-fit"))
		r = choose_policy(&synth, name, err);
	r = r ? r : decide_all(&synth, options->requests, err);
	if (r == 0)
		print_result(&synth, &synth.times, name, is_best_fit ? (options->scan ? scan : scan_best())->name : NULL);
	return r;
}
