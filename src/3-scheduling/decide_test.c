#include "3-scheduling/explain.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "3-scheduling/fit.h"
#include "base/mem.h"
#include "base/rng.h"

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };

/* Requests like those of a cluster for learning: some without GPU, shares of a few sizes, whole ones, few large ones. */
static const struct request kinds[] = {
	{ .need = { 3000, 5600 }, .gpu_count = 1, .gpu_milli = 810 },	{ .need = { 11300, 49000 }, .gpu_count = 1, .gpu_milli = 1000 },
	{ .need = { 8000, 30000 }, .gpu_count = 1, .gpu_milli = 470 },	{ .need = { 4000, 15000 }, .gpu_count = 1, .gpu_milli = 320 },
	{ .need = { 12000, 47000 }, .gpu_count = 1, .gpu_milli = 650 },	{ .need = { 4000, 8000 }, .gpu_count = 1, .gpu_milli = 160 },
	{ .need = { 12500, 57000 } },					{ .need = { 3000, 5600 }, .gpu_count = 1, .gpu_milli = 1000 },
	{ .need = { 18700, 64000 }, .gpu_count = 1, .gpu_milli = 1000 },	{ .need = { 80000, 300000 }, .gpu_count = 8, .gpu_milli = 1000 },
	{ .need = { 16000, 64000 }, .gpu_count = 2, .gpu_milli = 1000 },	{ .need = { 9000, 30000 }, .gpu_count = 1, .gpu_milli = 1000, .gpu_models = 2 },
};
static const uint8_t often[] = { 13, 18, 10, 6, 4, 2, 10, 6, 8, 1, 2, 2 };	/* Out of their sum. */

static uint32_t add_node(struct cluster *cluster, const char *name, int32_t cpu, int32_t memory, uint32_t gpus, const char *model)
{
	const struct cluster_node node = { .name = name, .total = (int32_t[]){ cpu, memory }, .gpu_count = gpus, .gpu_model = model };
	struct err err = { 0 };
	uint32_t number = 0;

	assert_int_equal(cluster_add_node(cluster, &node, &number, &err), 0);
	return number;
}

static struct cluster *make_cluster(struct rng *rng, uint32_t count)
{
	struct cluster *cluster;
	struct err err = { 0 };
	uint8_t model;

	assert_int_equal(cluster_new(dimensions, 2, &cluster, &err), 0);
	assert_int_equal(cluster_model(cluster, "A", &model, &err), 0);
	assert_int_equal(cluster_model(cluster, "B", &model, &err), 0);
	for (uint32_t i = 0; i < count; i++)
		switch (rng_below(rng, 4)) {
		case 0: add_node(cluster, "n", 96000, 393216, 8, "A"); break;
		case 1: add_node(cluster, "n", 104000, 524288, 2, "B"); break;
		case 2: add_node(cluster, "n", 32000, 131072, 4, "B"); break;
		default: add_node(cluster, "n", 16000, 122880, 2, "A"); break;
		}
	return cluster;
}

static const struct request *random_kind(struct rng *rng)
{
	uint32_t sum = 0, i = 0;

	for (size_t k = 0; k < ARRAY_COUNT(often); k++)
		sum += often[k];
	for (uint64_t drawn = rng_below(rng, sum); drawn >= often[i]; i++)
		drawn -= often[i];
	return &kinds[i];
}

static void full_mix(struct mix *mix)
{
	for (size_t k = 0; k < ARRAY_COUNT(kinds); k++)
		for (int i = 0; i < often[k]; i++)
			mix_add(mix, &kinds[k]);
}

/* What decide.h keeps must never differ from asking the policy about every node. */
static void check_by_scan(const struct cluster *cluster, const struct policy *policy, const struct typical *typical,
			  const struct request *request, int r, const struct decision *decision)
{
	float best = 0;
	uint32_t node = CLUSTER_NONE, devices = 0;

	for (uint32_t i = 0; i < cluster->node_end; i++) {
		struct policy_choice choice = { 0 };

		if (!fit_node(cluster, request, i))
			continue;
		policy->rate(cluster, typical, request, i, &choice);
		if (node != CLUSTER_NONE && (float)choice.cost >= best)
			continue;
		best = (float)choice.cost;
		node = i;
		devices = choice.devices;
	}
	assert_int_equal(r, node == CLUSTER_NONE ? -ENOSPC : 0);
	if (r == 0) {
		assert_int_equal(decision->node, node);
		assert_int_equal(decision->devices, devices);
	}
}

enum { STEPS = 3000, BOUND = 300 };

static void change_nodes(struct cluster *cluster, struct rng *rng, int step)
{
	struct err err = { 0 };

	if (step % 50 == 0)
		add_node(cluster, "new", 96000, 393216, 8, "A");
	if (step % 70 == 0)
		(void)cluster_remove_node(cluster, (uint32_t)rng_below(rng, cluster->node_end), &err);
	if (step % 20 == 0)
		(void)cluster_cordon(cluster, (uint32_t)rng_below(rng, cluster->node_end), rng_below(rng, 2), &err);
	if (step == STEPS / 2) {	/* More changes than the list holds. */
		uint32_t binding;

		for (uint32_t i = 0; i <= CLUSTER_CHANGES / 2; i++)
			if (cluster_bind(cluster, &(struct request){ .need = { 1 } }, 0, 0, &binding, &err) == 0)
				assert_int_equal(cluster_unbind(cluster, binding, &err), 0);
	}
}

static void walk(const struct policy *policy)
{
	struct rng rng;
	struct mix mix = { 0 };
	struct typical typical;
	uint32_t bound[BOUND];
	struct err err = { 0 };

	rng_init(&rng, 5);
	full_mix(&mix);
	auto_cluster struct cluster *cluster = make_cluster(&rng, 30);
	auto_decider struct decider *decider = decider_new(cluster, policy);

	memset(bound, 0xff, sizeof(bound));
	typical_init(&typical, &mix, 0.95, cluster);
	decider_set_mix(decider, &mix);
	for (int step = 1; step < STEPS; step++) {
		const struct request *request = random_kind(&rng);
		uint32_t *slot = &bound[rng_below(&rng, BOUND)];
		struct decision decision;

		change_nodes(cluster, &rng, step);
		if (*slot != CLUSTER_NONE) {
			assert_int_equal(cluster_unbind(cluster, *slot, &err), 0);
			*slot = CLUSTER_NONE;
			continue;
		}
		int r = decider_choose(decider, request, &decision, &err);

		check_by_scan(cluster, policy, &typical, request, r, &decision);
		if (r == 0)
			assert_int_equal(cluster_bind(cluster, request, decision.node, decision.devices, slot, &err), 0);
	}
	mix_done(&mix);
}

static void test_every_policy_decides_as_a_full_scan(void **state)
{
	const struct policy *policy;

	(void)state;
	for (size_t i = 0; (policy = policy_at(i)) != NULL; i++)
		walk(policy);
}

/* Fills a cluster to 130% of its GPUs; returns the allocated part. */
static double fill(const struct policy *policy, uint64_t seed, bool is_learning)
{
	struct rng rng;
	struct mix mix = { 0 };
	int64_t capacity = 0, arrived = 0, used = 0;
	struct err err = { 0 };
	uint32_t binding;

	rng_init(&rng, seed);
	full_mix(&mix);
	auto_cluster struct cluster *cluster = make_cluster(&rng, 150);
	auto_decider struct decider *decider = decider_new(cluster, policy);

	if (!is_learning)
		decider_set_mix(decider, &mix);
	for (uint32_t i = 0; i < cluster->node_end; i++)
		capacity += policy_free_gpu_milli(cluster, i);
	while (arrived * 10 < capacity * 13) {
		const struct request *request = random_kind(&rng);
		struct decision decision;

		arrived += request_gpu_milli(request);
		if (decider_choose(decider, request, &decision, &err) == 0) {
			assert_int_equal(cluster_bind(cluster, request, decision.node, decision.devices, &binding, &err), 0);
			used += request_gpu_milli(request);
		}
		if (is_learning)
			decider_learn(decider, request);
	}
	mix_done(&mix);
	return (double)used / (double)capacity;
}

static double mean_fill(const struct policy *policy, bool is_learning)
{
	double sum = 0;

	for (uint64_t seed = 1; seed <= 8; seed++)
		sum += fill(policy, seed, is_learning);
	return sum / 8;
}

static void test_the_default_wastes_least(void **state)
{
	double best = mean_fill(&policy_default, false);
	const struct policy *policy;

	(void)state;
	for (size_t i = 1; (policy = policy_at(i)) != NULL; i++)
		if (mean_fill(policy, false) >= best)
			fail_msg("%s allocates %.4f, default %.4f", policy->name, mean_fill(policy, false), best);
	assert_true(mean_fill(&policy_default, true) > best - 0.005);
}

static void test_fitting_nowhere_and_being_impossible(void **state)
{
	struct rng rng;
	struct decision decision = { .node = 77 };
	struct err err = { 0 };

	(void)state;
	rng_init(&rng, 1);
	auto_cluster struct cluster *cluster = make_cluster(&rng, 3);
	auto_decider struct decider *decider = decider_new(cluster, &policy_first_fit);

	assert_int_equal(decider_choose(decider, &(struct request){ .need = { 1 << 30 } }, &decision, &err), -ENOSPC);
	assert_string_equal(err.msg, "it fits none of 3 nodes");
	assert_int_equal(decider_choose(decider, &(struct request){ .need = { -5 } }, &decision, &err), -EINVAL);
	assert_string_equal(err.msg, "cpu is -5m: use 0 or more");
	assert_int_equal(decision.node, 77);
}

static void test_explain_names_numbers(void **state)
{
	struct cluster *made;
	struct err err = { 0 };
	struct str text = { 0 };
	uint32_t binding;

	(void)state;
	assert_int_equal(cluster_new(dimensions, 2, &made, &err), 0);
	auto_cluster struct cluster *cluster = made;
	auto_decider struct decider *decider = decider_new(cluster, &policy_binpack);

	add_node(cluster, "large", 4000, 1000, 0, NULL);
	add_node(cluster, "small", 2000, 1000, 0, NULL);
	add_node(cluster, "full", 1000, 1000, 1, "A");
	assert_int_equal(cluster_bind(cluster, &(struct request){ .need = { 900, 0 } }, 2, 0, &binding, &err), 0);
	explain_request(decider, cluster, &(struct request){ .need = { 1000, 500 } }, 10, &text);
	assert_string_equal(str_text(&text), "fits 2 of 3 nodes; policy 'binpack', lowest cost first:\n"
					     "small                cost 1.0000: left of dimensions 1.0000\n"
					     "large                cost 1.2500: left of dimensions 1.2500\n"
					     "full                 does not fit: needs 1 of cpu, has 0.1 free of 1\n");
	str_clear(&text);
	explain_request(decider, cluster, &(struct request){ .gpu_count = 2, .gpu_milli = 1000 }, 1, &text);
	assert_string_equal(str_text(&text), "fits 0 of 3 nodes; policy 'binpack', lowest cost first:\n"
					     "large                does not fit: needs 2 whole GPUs, 0 of its 0 are free\n");
	str_done(&text);
}

static void test_holes_that_are_filled_waste_less(void **state)
{
	struct mix mix = { 0 };
	struct typical typical;
	struct rng rng;

	(void)state;
	rng_init(&rng, 1);
	full_mix(&mix);
	auto_cluster struct cluster *cluster = make_cluster(&rng, 3);

	typical_init(&typical, &mix, 1, cluster);
	assert_int_equal(typical.count, ARRAY_COUNT(kinds));
	assert_true(typical.hole_waste_milli[0] == 0 && typical.hole_waste_milli[150] == 150);
	assert_true(typical.hole_waste_milli[160] < 160);
	/* Two of 470 leave less than one of 470 and what fits beside it otherwise; a hole of 350 takes 320. */
	assert_true(typical.hole_waste_milli[350] < typical.hole_waste_milli[310]);
	for (int hole = 0; hole <= GPU_WHOLE_MILLI; hole++)
		assert_true(typical.hole_waste_milli[hole] >= 0 && typical.hole_waste_milli[hole] <= (float)hole);
	mix_done(&mix);
	typical_init(&typical, &mix, 1, cluster);	/* Nothing is known yet. */
	assert_int_equal(typical.count, 0);
	assert_true(typical.hole_waste_milli[500] == 500);
}

static const struct request one_gpu = { .need = { 8000, 30000 }, .gpu_count = 1, .gpu_milli = 1000 };

struct few {				/* One node has what most requests do not need; many others do without. */
	uint32_t gpu_count, gpu_count_of_others;
	int32_t cpu;			/* More per GPU than others have, which invites to open it first. */
	int others_take;		/* How many requests for one GPU the others can take. */
	struct request needs_it;
};

static const struct few few[] = {
	{ 8, 4, 256000, 32, { .need = { 80000, 300000 }, .gpu_count = 8, .gpu_milli = 1000 } },
	{ 8, 8, 128000, 64, { .need = { 120000, 300000 }, .gpu_count = 8, .gpu_milli = 1000 } },
	{ 1, 4, 32000, 32, { .need = { 8000, 30000 }, .gpu_count = 1, .gpu_milli = 1000, .gpu_models = 2 } },
};

static void check_last_is_placed(const struct few *item)
{
	auto_decider struct decider *decider = NULL;
	struct rng rng = { 0 };
	struct mix mix = { 0 };
	struct decision decision;
	struct err err = { 0 };
	uint32_t binding;

	auto_cluster struct cluster *cluster = make_cluster(&rng, 0);

	add_node(cluster, "few", item->cpu, 786432, item->gpu_count, "B");
	for (int n = 0; n < 8; n++)
		add_node(cluster, "other", 96000, 393216, item->gpu_count_of_others, "A");
	decider = decider_new(cluster, &policy_default);
	for (int i = 0; i < item->others_take; i++)
		mix_add(&mix, &one_gpu);
	mix_add(&mix, &item->needs_it);
	decider_set_mix(decider, &mix);
	for (int i = 0; i < item->others_take; i++) {
		assert_int_equal(decider_choose(decider, &one_gpu, &decision, &err), 0);
		assert_int_equal(cluster_bind(cluster, &one_gpu, decision.node, decision.devices, &binding, &err), 0);
	}
	assert_int_equal(decider_choose(decider, &item->needs_it, &decision, &err), 0);
	mix_done(&mix);
}

static void test_what_few_nodes_have_is_left_to_who_needs_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(few); i++)
		check_last_is_placed(&few[i]);
}

static void test_mix_counts_kinds(void **state)
{
	struct mix mix = { 0 };
	struct rng rng;
	size_t count;

	(void)state;
	rng_init(&rng, 3);
	for (int i = 0; i < 5000; i++) {
		struct request request = { .need = { (int32_t)rng_below(&rng, 100), (int32_t)rng_below(&rng, 10) } };

		mix_add(&mix, &request);
	}
	assert_int_equal(mix.total, 5000);
	assert_true(mix.kind_count > 900 && mix.kind_count <= 1000);
	uint32_t *order = mix_typical(&mix, 0.5, &count);

	for (size_t i = 1; i < count; i++)
		assert_true(mix.kinds[order[i]].count <= mix.kinds[order[i - 1]].count);
	assert_true(count < mix.kind_count / 2);
	free(order);
	mix_done(&mix);
}

/* Ever different requests: decisions stay right, and only so much is remembered. */
static void test_kinds_that_are_rare_are_forgotten(void **state)
{
	const struct request frequent = { .need = { 1000, 1000 } };
	struct mix mix = { 0 };
	struct decision decision;
	struct err err = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 1);
	auto_cluster struct cluster *cluster = make_cluster(&rng, 3);
	auto_decider struct decider *decider = decider_new(cluster, &policy_default);

	for (int32_t i = 0; i < 3 * DECIDER_KINDS_REMEMBERED; i++) {
		const struct request request = { .need = { 1, i } };

		assert_int_equal(decider_choose(decider, &request, &decision, &err), 0);
		decider_learn(decider, &request);
		decider_learn(decider, &frequent);
	}
	for (int32_t i = 0; i < 100; i++) {
		mix_add(&mix, &(struct request){ .need = { i } });
		mix_add(&mix, &(struct request){ .need = { 7 } });
	}
	mix_keep(&mix, 10);
	assert_int_equal(mix.kind_count, 10);
	assert_int_equal(mix.kinds[0].request.need[0], 7);
	assert_int_equal(mix.kinds[0].count, 101);
	assert_int_equal(mix.total, 110);
	mix_done(&mix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_policy_decides_as_a_full_scan),
		cmocka_unit_test(test_the_default_wastes_least),
		cmocka_unit_test(test_fitting_nowhere_and_being_impossible),
		cmocka_unit_test(test_explain_names_numbers),
		cmocka_unit_test(test_holes_that_are_filled_waste_less),
		cmocka_unit_test(test_what_few_nodes_have_is_left_to_who_needs_it),
		cmocka_unit_test(test_mix_counts_kinds),
		cmocka_unit_test(test_kinds_that_are_rare_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
