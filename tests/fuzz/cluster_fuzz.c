/*
 * The cluster and what is derived from it, under any sequence of valid and invalid operations: free is always total minus
 * what is bound, refusals change nothing, best fit and the policies choose only what can be bound.
 */
#include <string.h>

#include "3-scheduling/best_fit.h"
#include "3-scheduling/decide.h"
#include "3-scheduling/fit.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" }, { "bandwidth", "Mbit/s" } };
enum { DIMENSIONS = 3, BINDINGS = 64 };

static void check_refusal(int r, const struct err *err)
{
	check(r < 0 && err->code == r && err->msg[0]);
}

static struct request read_request(struct input *input)
{
	struct request request = { .need = { number(input, 1), number(input, 1), number(input, 1) } };
	uint8_t kind = byte(input);

	if (kind & 1) {
		request.gpu_count = (int16_t)(kind & 2 ? 1 : kind >> 4);
		request.gpu_milli = (int16_t)(kind & 2 ? number(input, 1) % 4096 * 5 : GPU_WHOLE_MILLI);
		request.gpu_models = byte(input) & 3;
	}
	if (kind == 128)
		request.need[DIMENSIONS] = 1;
	return request;
}

static void check_accounts(const struct cluster *cluster)
{
	for (uint32_t node = 0; node < cluster->node_end; node++) {
		int64_t used[DIMENSIONS] = { 0 }, milli = 0;
		uint32_t count = 0;
		struct err err;

		if (!cluster_shape(cluster, node)->is_present)
			continue;
		for (uint32_t b = CLUSTER_NONE; (b = cluster_next_binding(cluster, node, b)) != CLUSTER_NONE; count++) {
			struct cluster_binding binding;

			check(cluster_binding(cluster, b, &binding, &err) == 0 && binding.node == node);
			for (int d = 0; d < DIMENSIONS; d++)
				used[d] += binding.request.need[d];
			milli += request_gpu_milli(&binding.request);
		}
		check(count == cluster_shape(cluster, node)->bound_count);
		for (uint32_t d = 0; d < DIMENSIONS; d++)
			check(cluster_free_amount(cluster, d, node) == cluster_total(cluster, d, node) - used[d] &&
			      cluster_free_amount(cluster, d, node) >= 0);
		check(policy_free_gpu_milli(cluster, node) == cluster_shape(cluster, node)->gpu_count * GPU_WHOLE_MILLI - milli);
	}
}

struct world {
	struct cluster *cluster;
	struct decider *decider;
	struct best_fit *index;
	uint32_t bindings[BINDINGS], count;
};

static void remember(struct world *world, uint32_t binding)
{
	if (world->count < BINDINGS)
		world->bindings[world->count++] = binding;
}

static void change_node(struct world *world, struct input *input, uint8_t operation)
{
	int32_t total[DIMENSIONS] = { number(input, 1), number(input, 1), number(input, 1) };
	uint32_t node = byte(input), added;
	struct err err = { 0 };
	int r;

	if (operation == 0)
		r = cluster_add_node(world->cluster, &(struct cluster_node){ .name = node == 255 ? "" : "n", .total = total,
				     .gpu_count = node % 20, .gpu_model = node & 32 ? "A" : "B" }, &added, &err);
	else if (operation == 1)
		r = cluster_update_node(world->cluster, node, total, NULL, &err);
	else if (total[0] & 1)
		r = cluster_remove_node(world->cluster, node, &err);
	else
		r = cluster_cordon(world->cluster, node, total[1] & 1, &err);
	if (r < 0)
		check_refusal(r, &err);
}

static void bind_anywhere(struct world *world, struct input *input)
{
	struct request request = read_request(input);
	uint32_t node = byte(input), devices = byte(input), binding;
	uint64_t version = world->cluster->version;
	struct err err = { 0 };
	int r = cluster_bind(world->cluster, &request, node, devices, &binding, &err);

	if (r == 0) {
		remember(world, binding);
		return;
	}
	check_refusal(r, &err);
	check(world->cluster->version == version);
}

static void unbind(struct world *world, struct input *input)
{
	uint8_t which = byte(input);
	struct err err = { 0 };

	if (which < world->count) {
		check(cluster_unbind(world->cluster, world->bindings[which], &err) == 0);
		world->bindings[which] = world->bindings[--world->count];
	} else {
		int r = cluster_unbind(world->cluster, 1000000u + which, &err);

		check_refusal(r, &err);
	}
}

static void decide(struct world *world, struct input *input)
{
	struct request request = read_request(input);
	struct decision decision;
	struct err err = { 0 };
	uint32_t binding;
	bool is_fitting = false;
	int r = decider_choose(world->decider, &request, &decision, &err);

	decider_learn(world->decider, &request);
	if (cluster_check_request(world->cluster, &request, &err) < 0) {
		check_refusal(r, &err);
		return;
	}
	for (uint32_t node = 0; node < world->cluster->node_end; node++)
		is_fitting |= fit_node(world->cluster, &request, node);
	check((r == 0) == is_fitting);
	if (!request.gpu_count)
		check((best_fit_choose(world->index, &request) != CLUSTER_NONE) == is_fitting);
	if (r < 0)
		return;
	check(cluster_bind(world->cluster, &request, decision.node, decision.devices, &binding, &err) == 0);
	remember(world, binding);
}

/* What if? Nothing that happens to the copy is seen by the original. */
static void ask_what_if(const struct world *world, struct input *input)
{
	struct cluster *copy = cluster_snapshot(world->cluster);
	struct request request = read_request(input);
	struct err err = { 0 };
	uint32_t binding;

	for (uint32_t i = 0; i < world->count; i++)
		check(cluster_unbind(copy, world->bindings[i], &err) == 0);
	(void)cluster_bind(copy, &request, 0, 1, &binding, &err);
	check_accounts(copy);
	cluster_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, size };
	struct world world = { 0 };
	struct err err;

	check(cluster_new(dimensions, DIMENSIONS, &world.cluster, &err) == 0);
	world.decider = decider_new(world.cluster, policy_at(byte(&input) % 6));
	world.index = best_fit_new(world.cluster, scan_best());
	while (input.size) {
		uint8_t operation = byte(&input) % 12;

		if (operation < 3)
			change_node(&world, &input, operation);
		else if (operation < 5)
			bind_anywhere(&world, &input);
		else if (operation < 7)
			unbind(&world, &input);
		else if (operation < 11)
			decide(&world, &input);
		else
			ask_what_if(&world, &input);
	}
	check_accounts(world.cluster);
	best_fit_free(world.index);
	decider_free(world.decider);
	cluster_free(world.cluster);
	return 0;
}
