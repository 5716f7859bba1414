#include "3-scheduling/best_fit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "3-scheduling/fit.h"
#include "base/rng.h"

static struct cluster *make_cluster(uint32_t count)
{
	struct cluster_dimension dimensions[DIMENSIONS_MAX] = { 0 };
	struct cluster *cluster;
	struct err err = { 0 };

	for (uint32_t d = 0; d < count; d++)
		dimensions[d].name[0] = (char)('a' + d);
	assert_int_equal(cluster_new(dimensions, count, &cluster, &err), 0);
	return cluster;
}

static void add_node(struct cluster *cluster, struct rng *rng)
{
	int32_t total[DIMENSIONS_MAX];
	struct err err = { 0 };
	uint32_t node;

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		total[d] = (int32_t)rng_below(rng, 4) * 500;
	assert_int_equal(cluster_add_node(cluster, &(struct cluster_node){ .name = "n", .total = total }, &node, &err), 0);
}

static uint32_t best_by_scan(const struct cluster *cluster, const struct best_fit *index, const struct request *request)
{
	uint32_t best = CLUSTER_NONE;

	for (uint32_t node = 0; node < cluster->node_end; node++)
		if (fit_node(cluster, request, node) &&
		    (best == CLUSTER_NONE || best_fit_left(index, node) < best_fit_left(index, best)))
			best = node;
	return best;
}

enum { STEPS = 20000, BOUND = 900, SCANS = 3, FLAVOURS = 12 };

static void random_request(struct rng *rng, uint32_t dimensions, struct request *request)
{
	for (uint32_t d = 0; d < dimensions; d++)
		request->need[d] = rng_below(rng, 3) ? (int32_t)rng_below(rng, 400) : 0;
}

/* All variants side by side, against a loop over all nodes, while nodes come and go. */
static void walk(uint32_t dimensions, uint64_t seed)
{
	auto_cluster struct cluster *cluster = make_cluster(dimensions);
	struct best_fit *indices[SCANS] = { 0 };
	struct request flavours[FLAVOURS] = { 0 };
	uint32_t bound[BOUND], placed = 0;
	struct rng rng;
	struct err err = { 0 };

	rng_init(&rng, seed);
	memset(bound, 0xff, sizeof(bound));
	for (int i = 0; i < FLAVOURS; i++)
		random_request(&rng, dimensions, &flavours[i]);
	for (int i = 0; i < 150; i++)
		add_node(cluster, &rng);
	for (unsigned int i = 0; i < SCANS && scan_at(i); i++)
		indices[i] = best_fit_new(cluster, scan_at(i));
	for (int step = 1; step < STEPS; step++) {
		struct request request = { 0 };
		uint32_t *slot = &bound[rng_below(&rng, BOUND)], expected = CLUSTER_NONE;

		if (step % 40 == 0)
			add_node(cluster, &rng);
		if (step % 50 == 0)
			(void)cluster_remove_node(cluster, (uint32_t)rng_below(&rng, cluster->node_end), &err);
		if (step % 30 == 0)
			(void)cluster_cordon(cluster, (uint32_t)rng_below(&rng, cluster->node_end), rng_below(&rng, 2), &err);
		if (*slot != CLUSTER_NONE) {
			assert_int_equal(cluster_unbind(cluster, *slot, &err), 0);
			*slot = CLUSTER_NONE;
		}
		if (rng_below(&rng, 4))
			request = flavours[rng_below(&rng, FLAVOURS)];
		else
			random_request(&rng, dimensions, &request);
		for (int i = 0; i < SCANS && indices[i]; i++) {
			uint32_t node = best_fit_choose(indices[i], &request);

			if (i == 0)
				expected = best_by_scan(cluster, indices[0], &request);
			assert_int_equal(node, expected);
		}
		if (expected != CLUSTER_NONE)
			assert_int_equal(cluster_bind(cluster, &request, expected, 0, slot, &err), 0);
		placed += expected != CLUSTER_NONE;
	}
	assert_true(placed > STEPS / 10);
	for (int i = 0; i < SCANS; i++)
		best_fit_free(indices[i]);
}

static void test_all_variants_decide_as_a_full_scan(void **state)
{
	(void)state;
	walk(3, 1);
	walk(8, 2);
	walk(11, 3);
}

static void test_variants_find_the_same_rows(void **state)
{
	int32_t *rows = aligned_alloc(64, 65 * 16 * sizeof(*rows)), need[16] = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 9);
	for (int round = 0; round < 20000; round++) {
		uint32_t stride = round % 2 ? 8 : 16, count = (uint32_t)rng_below(&rng, 64), from = (uint32_t)rng_below(&rng, count + 1);

		for (uint32_t i = 0; i < 65 * 16; i++)
			rows[i] = (int32_t)rng_below(&rng, 12) - 1;
		for (uint32_t i = 0; i < stride; i++)
			need[i] = (int32_t)rng_below(&rng, 3);
		for (unsigned int i = 1; scan_at(i); i++)
			assert_int_equal(scan_at(i)->first(rows, stride, from, count, need), scan_at(0)->first(rows, stride, from, count, need));
	}
	assert_non_null(scan_best());
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_variants_decide_as_a_full_scan),
		cmocka_unit_test(test_variants_find_the_same_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
