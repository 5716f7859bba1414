#include "3-scheduling/cluster.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"

enum { CPU, MEMORY, BANDWIDTH, DIMENSIONS };

static const struct cluster_dimension dimensions[DIMENSIONS] = {
	[CPU] = { "cpu", "m" }, [MEMORY] = { "memory", "MiB" }, [BANDWIDTH] = { "bandwidth", "Mbit/s" },
};

static struct cluster *make_cluster(void)
{
	struct cluster *cluster;
	struct err err = { 0 };

	assert_int_equal(cluster_new(dimensions, DIMENSIONS, &cluster, &err), 0);
	return cluster;
}

static uint32_t add_node(struct cluster *cluster, const char *name, int32_t cpu, int32_t memory, uint32_t gpus, const char *model)
{
	const struct cluster_node node = { .name = name, .total = (int32_t[]){ cpu, memory, 1000 }, .gpu_count = gpus, .gpu_model = model };
	struct err err = { 0 };
	uint32_t number = 99;

	assert_int_equal(cluster_add_node(cluster, &node, &number, &err), 0);
	return number;
}

static void test_declarations_are_checked(void **state)
{
	const struct cluster_dimension twice[] = { { "cpu", "m" }, { "cpu", "" } }, unnamed[] = { { "", "m" } };
	struct cluster *cluster = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cluster_new(dimensions, 0, &cluster, &err), -EINVAL);
	assert_int_equal(cluster_new(dimensions, DIMENSIONS_MAX + 1, &cluster, &err), -EINVAL);
	assert_int_equal(cluster_new(unnamed, 1, &cluster, &err), -EINVAL);
	assert_int_equal(cluster_new(twice, 2, &cluster, &err), -EEXIST);
	assert_string_equal(err.msg, "dimension 'cpu' is declared twice");
	assert_null(cluster);
}

static void test_bind_and_unbind(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	const struct request request = { .need = { 2000, 512 }, .gpu_count = 1, .gpu_milli = 300 };
	uint32_t node = add_node(cluster, "a", 4000, 1024, 2, "T4"), binding = 99;
	struct cluster_binding found;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cluster_bind(cluster, &request, node, 2, &binding, &err), 0);
	assert_int_equal(cluster_free_amount(cluster, CPU, node), 2000);
	assert_int_equal(cluster_free_amount(cluster, MEMORY, node), 512);
	assert_int_equal(cluster_gpus(cluster, node)->free_milli[0], 1000);
	assert_int_equal(cluster_gpus(cluster, node)->free_milli[1], 700);
	assert_int_equal(cluster_binding(cluster, binding, &found, &err), 0);
	assert_int_equal(found.devices, 2);
	assert_int_equal(found.request.need[MEMORY], 512);
	assert_int_equal(cluster_remove_node(cluster, node, &err), -EBUSY);
	assert_string_equal(err.msg, "node 'a' has 1 requests bound: unbind them first");
	assert_int_equal(cluster_unbind(cluster, binding, &err), 0);
	assert_int_equal(cluster_unbind(cluster, binding, &err), -ENOENT);
	assert_int_equal(cluster_free_amount(cluster, CPU, node), 4000);
	assert_int_equal(cluster_remove_node(cluster, node, &err), 0);
	assert_int_equal(cluster_bind(cluster, &request, node, 2, &binding, &err), -ENOENT);
	assert_int_equal(cluster->node_count, 0);
	assert_int_equal(cluster->binding_count, 0);
}

static void refuse(struct cluster *cluster, struct request request, uint32_t devices, int code, const char *message)
{
	uint64_t version = cluster->version;
	struct err err = { 0 };
	uint32_t binding = 99;

	assert_int_equal(cluster_bind(cluster, &request, 0, devices, &binding, &err), code);
	assert_string_equal(err.msg, message);
	assert_int_equal(binding, 99);
	assert_int_equal(cluster->version, version);
}

static void test_refusals_name_dimension_and_value(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	uint8_t other;
	struct err err = { 0 };

	(void)state;
	add_node(cluster, "a", 4000, 1024, 2, "T4");
	assert_int_equal(cluster_model(cluster, "A10", &other, &err), 0);
	refuse(cluster, (struct request){ .need = { 4000, 2048 } }, 0, -ENOSPC, "node 'a': needs 2GiB of memory, has 1GiB free of 1GiB");
	refuse(cluster, (struct request){ .need = { -1 } }, 0, -EINVAL, "cpu is -1m: use 0 or more");
	refuse(cluster, (struct request){ .need = { [5] = 7 } }, 0, -EINVAL, "dimension 5 is not declared, 7 of it cannot be had");
	refuse(cluster, (struct request){ .gpu_count = 17, .gpu_milli = 1000 }, 3, -EINVAL, "17 GPUs: 0 to 16 are possible");
	refuse(cluster, (struct request){ .gpu_count = 1 }, 1, -EINVAL, "0 thousandths of a GPU: 1 to 1000 are possible");
	refuse(cluster, (struct request){ .gpu_count = 2, .gpu_milli = 500 }, 3, -EINVAL, "500 thousandths of 2 GPUs: a share is of one GPU");
	refuse(cluster, (struct request){ .gpu_count = 1, .gpu_milli = 500 }, 3, -EINVAL, "node 'a': 2 GPUs were chosen, 1 are asked for");
	refuse(cluster, (struct request){ .gpu_count = 1, .gpu_milli = 500 }, 4, -ENOENT, "node 'a' has no GPU 2, only 2");
	refuse(cluster, (struct request){ .gpu_count = 1, .gpu_milli = 500, .gpu_models = 1u << other }, 1, -EINVAL,
	       "node 'a': its GPUs are T4, which the request does not accept");
}

static void test_update_keeps_what_is_bound(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	uint32_t node = add_node(cluster, "a", 4000, 1024, 0, NULL), binding;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cluster_bind(cluster, &(struct request){ .need = { 3000 } }, node, 0, &binding, &err), 0);
	assert_int_equal(cluster_update_node(cluster, node, (int32_t[]){ 2000, 1024, 1000 }, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, "node 'a': cpu cannot become 2 while 3 is bound");
	assert_int_equal(cluster_update_node(cluster, node, (int32_t[]){ 3500, 2048, 1000 }, NULL, &err), 0);
	assert_int_equal(cluster_free_amount(cluster, CPU, node), 500);
	assert_int_equal(cluster_free_amount(cluster, MEMORY, node), 2048);
	assert_int_equal(cluster_update_node(cluster, node, (int32_t[]){ 3500, -5, 1000 }, NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "node 'a': memory is -5MiB: use 0 or more");
}

static void test_reserved_is_not_for_instances(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	const struct cluster_node node = { .name = "a", .total = (int32_t[]){ 4000, 16384, 100 }, .reserved = (int32_t[]){ 0, 1024, 0 } };
	uint32_t number, binding;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cluster_add_node(cluster, &node, &number, &err), 0);
	assert_int_equal(cluster_total(cluster, MEMORY, number), 15360);
	assert_int_equal(cluster_bind(cluster, &(struct request){ .need = { 1000, 10035 } }, number, 0, &binding, &err), 0);
	refuse(cluster, (struct request){ .need = { 0, 8192 } }, number, -ENOSPC,
	       "node 'a': needs 8GiB of memory, has 5325MiB free after 1GiB reserved");
	refuse(cluster, (struct request){ .need = { 3500 } }, number, -ENOSPC, "node 'a': needs 3.5 of cpu, has 3 free of 4");
	assert_int_equal(cluster_update_node(cluster, number, node.total, (int32_t[]){ 0, 8192, 0 }, &err), -EBUSY);
	assert_string_equal(err.msg, "node 'a': memory cannot become 8GiB while 9.8GiB is bound");
	assert_int_equal(cluster_update_node(cluster, number, node.total, (int32_t[]){ 4001, 0, 0 }, &err), -EINVAL);
	assert_string_equal(err.msg, "node 'a': 4.001 of cpu are reserved, it has 4: reserve less");
	assert_int_equal(cluster_update_node(cluster, number, node.total, (int32_t[]){ 0, 0, -1 }, &err), -EINVAL);
	assert_string_equal(err.msg, "node 'a': reserved bandwidth is -1Mbit/s: use 0 or more");
	assert_int_equal(cluster_update_node(cluster, number, node.total, NULL, &err), 0);
	assert_int_equal(cluster_free_amount(cluster, MEMORY, number), 16384 - 10035);
}

static void test_snapshots_do_not_see_each_other(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	uint32_t node = add_node(cluster, "a", 4000, 1024, 1, "T4"), first, second;
	struct request request = { .need = { 1000 }, .gpu_count = 1, .gpu_milli = 400 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cluster_bind(cluster, &request, node, 1, &first, &err), 0);
	auto_cluster struct cluster *what_if = cluster_snapshot(cluster);

	assert_ptr_equal(what_if->free[CPU].pages[0], cluster->free[CPU].pages[0]);
	assert_int_equal(cluster_unbind(what_if, first, &err), 0);
	assert_int_equal(cluster_free_amount(what_if, CPU, node), 4000);
	assert_int_equal(cluster_free_amount(cluster, CPU, node), 3000);
	assert_int_equal(cluster_gpus(cluster, node)->free_milli[0], 600);
	assert_int_equal(cluster_bind(cluster, &request, node, 1, &second, &err), 0);
	assert_int_equal(cluster_gpus(what_if, node)->free_milli[0], 1000);
	assert_int_equal(what_if->binding_count, 0);
	assert_int_equal(cluster->binding_count, 2);
}

/* The naive model: every node and every binding by itself; free amounts are computed from scratch. */
enum { NODES = 40, BINDINGS = 400, OPERATIONS = 1000000, CHECK_EVERY = 997 };

struct naive_binding { bool is_bound; uint32_t number, node, devices; struct request request; };
struct naive_node { bool is_present; uint32_t number, gpu_count; int32_t total[DIMENSIONS]; };
struct naive {
	struct cluster *cluster;
	struct naive_node nodes[NODES];
	struct naive_binding bindings[BINDINGS];
	struct rng rng;
	uint64_t done, refused;
};

static int32_t below(struct naive *naive, uint64_t bound)
{
	return (int32_t)rng_below(&naive->rng, bound);
}

static void free_of(const struct naive *naive, uint32_t n, int32_t *free, int32_t *milli)
{
	memcpy(free, naive->nodes[n].total, sizeof(naive->nodes[n].total));
	for (uint32_t i = 0; i < GPUS_MAX; i++)
		milli[i] = i < naive->nodes[n].gpu_count ? GPU_WHOLE_MILLI : 0;
	for (int b = 0; b < BINDINGS; b++) {
		const struct naive_binding *binding = &naive->bindings[b];

		if (!binding->is_bound || binding->node != n)
			continue;
		for (int d = 0; d < DIMENSIONS; d++)
			free[d] -= binding->request.need[d];
		for (int i = 0; i < GPUS_MAX; i++)
			milli[i] -= binding->devices >> i & 1 ? binding->request.gpu_milli : 0;
	}
}

static bool is_node_equal(const struct naive *naive, uint32_t n)
{
	int32_t free[DIMENSIONS], milli[GPUS_MAX];
	uint32_t number = naive->nodes[n].number;
	bool is_equal = true;

	free_of(naive, n, free, milli);
	for (uint32_t d = 0; d < DIMENSIONS; d++)
		is_equal &= free[d] == cluster_free_amount(naive->cluster, d, number);
	for (int i = 0; i < GPUS_MAX; i++)
		is_equal &= milli[i] == cluster_gpus(naive->cluster, number)->free_milli[i];
	return is_equal;
}

static uint32_t bound_to(const struct naive *naive, uint32_t n)
{
	uint32_t count = 0;

	for (int b = 0; b < BINDINGS; b++)
		count += naive->bindings[b].is_bound && naive->bindings[b].node == n;
	return count;
}

static void random_node(struct naive *naive)
{
	uint32_t n = (uint32_t)below(naive, NODES);
	struct naive_node *node = &naive->nodes[n];
	int32_t usable[DIMENSIONS] = { below(naive, 64000) - 100, below(naive, 64000), below(naive, 1000) }, reserved[DIMENSIONS], total[DIMENSIONS];
	struct err err = { 0 };

	for (int d = 0; d < DIMENSIONS; d++) {
		reserved[d] = below(naive, 2) ? below(naive, 100) : 0;
		total[d] = usable[d] + reserved[d];
	}
	if (!node->is_present) {
		uint32_t gpus = (uint32_t)below(naive, GPUS_MAX + 2);
		const struct cluster_node description = { .name = "n", .total = total, .reserved = reserved, .gpu_count = gpus, .gpu_model = "M" };
		int r = cluster_add_node(naive->cluster, &description, &node->number, &err);

		assert_int_equal(r, usable[CPU] < 0 || gpus > GPUS_MAX ? -EINVAL : 0);
		if (r == 0) {
			node->is_present = true;
			node->gpu_count = gpus;
			memcpy(node->total, usable, sizeof(usable));
		}
	} else if (below(naive, 2)) {
		int r = cluster_remove_node(naive->cluster, node->number, &err);

		assert_int_equal(r, bound_to(naive, n) ? -EBUSY : 0);
		node->is_present = r < 0;
	} else {
		int32_t free[DIMENSIONS], milli[GPUS_MAX];
		bool is_possible = true;

		free_of(naive, n, free, milli);
		for (int d = 0; d < DIMENSIONS; d++)
			is_possible &= usable[d] >= node->total[d] - free[d] && usable[d] >= 0;
		int r = cluster_update_node(naive->cluster, node->number, total, reserved, &err);

		assert_int_equal(r == 0, is_possible);
		if (r == 0)
			memcpy(node->total, usable, sizeof(usable));
	}
}

static struct request random_request(struct naive *naive)
{
	struct request request = { .need = { below(naive, 9000) - 20, below(naive, 9000), below(naive, 300) } };

	if (below(naive, 2)) {
		request.gpu_count = (int16_t)(below(naive, 4) ? 1 : below(naive, 9));
		request.gpu_milli = (int16_t)(request.gpu_count == 1 && below(naive, 2) ? below(naive, 1100) : GPU_WHOLE_MILLI);
	}
	return request;
}

static bool can_bind(const struct naive *naive, uint32_t n, const struct request *request, uint32_t devices)
{
	int32_t free[DIMENSIONS], milli[GPUS_MAX];

	if (!naive->nodes[n].is_present || request->need[CPU] < 0 || __builtin_popcount(devices) != request->gpu_count ||
	    (request->gpu_count && (request->gpu_milli == 0 || request->gpu_milli > GPU_WHOLE_MILLI)))
		return false;
	free_of(naive, n, free, milli);
	for (int d = 0; d < DIMENSIONS; d++)
		if (request->need[d] > free[d])
			return false;
	for (uint32_t i = 0; i < 32; i++)
		if ((devices >> i & 1) && (i >= naive->nodes[n].gpu_count || milli[i] < request->gpu_milli))
			return false;
	return true;
}

static void random_bind(struct naive *naive, struct naive_binding *binding)
{
	uint32_t n = (uint32_t)below(naive, NODES), devices = 0;
	struct request request = random_request(naive);
	struct err err = { 0 };

	for (int i = 0; i < request.gpu_count + (below(naive, 50) == 0); i++)
		devices |= 1u << below(naive, 12);
	bool is_possible = can_bind(naive, n, &request, devices);
	uint32_t number = naive->nodes[n].is_present ? naive->nodes[n].number : CLUSTER_NODES_MAX;
	int r = cluster_bind(naive->cluster, &request, number, devices, &binding->number, &err);

	assert_int_equal(r == 0, is_possible);
	if (r == 0)
		*binding = (struct naive_binding){ .is_bound = true, .number = binding->number, .node = n, .devices = devices, .request = request };
	naive->refused += r < 0;
	naive->done += r == 0;
}

static void random_operation(struct naive *naive)
{
	struct naive_binding *binding = &naive->bindings[below(naive, BINDINGS)];
	struct err err = { 0 };

	if (below(naive, 40) == 0) {
		random_node(naive);
	} else if (binding->is_bound) {
		assert_int_equal(cluster_unbind(naive->cluster, binding->number, &err), 0);
		binding->is_bound = false;
	} else {
		random_bind(naive, binding);
	}
	if (below(naive, 500) == 0) {		/* A snapshot takes the place of the original. */
		struct cluster *old = naive->cluster;

		naive->cluster = cluster_snapshot(old);
		cluster_free(old);
	}
}

static void check_all(const struct naive *naive)
{
	for (uint32_t n = 0; n < NODES; n++) {
		uint32_t listed = 0, number = naive->nodes[n].number;

		if (!naive->nodes[n].is_present)
			continue;
		assert_true(is_node_equal(naive, n));
		for (uint32_t b = CLUSTER_NONE; (b = cluster_next_binding(naive->cluster, number, b)) != CLUSTER_NONE;)
			listed++;
		assert_int_equal(listed, bound_to(naive, n));
		assert_int_equal(listed, cluster_shape(naive->cluster, number)->bound_count);
	}
}

static void test_a_million_random_operations(void **state)
{
	struct naive naive = { .cluster = make_cluster() };

	(void)state;
	rng_init(&naive.rng, 20231107);
	for (int i = 0; i < OPERATIONS; i++) {
		random_operation(&naive);
		if (i % CHECK_EVERY == 0)
			check_all(&naive);
	}
	check_all(&naive);
	assert_true(naive.done > OPERATIONS / 20 && naive.refused > OPERATIONS / 20);
	cluster_free(naive.cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_declarations_are_checked),
		cmocka_unit_test(test_bind_and_unbind),
		cmocka_unit_test(test_refusals_name_dimension_and_value),
		cmocka_unit_test(test_update_keeps_what_is_bound),
		cmocka_unit_test(test_reserved_is_not_for_instances),
		cmocka_unit_test(test_snapshots_do_not_see_each_other),
		cmocka_unit_test(test_a_million_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
