#include "3-scheduling/cluster_private.h"

#include <errno.h>
#include <string.h>

#include "3-scheduling/fit.h"
#include "base/mem.h"

int cluster_check_request(const struct cluster *cluster, const struct request *request, struct err *err)
{
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (request->need[d] < 0)
			return err_set(err, -EINVAL, "%s is %d%s: use 0 or more", cluster->dimensions[d].name, request->need[d],
				       cluster->dimensions[d].unit);
	for (uint32_t d = cluster->dimension_count; d < DIMENSIONS_MAX; d++)
		if (request->need[d])
			return err_set(err, -EINVAL, "dimension %u is not declared, %d of it cannot be had", d, request->need[d]);
	if (request->gpu_count < 0 || request->gpu_count > GPUS_MAX)
		return err_set(err, -EINVAL, "%d GPUs: 0 to %d are possible", request->gpu_count, GPUS_MAX);
	if (request->gpu_count && (request->gpu_milli <= 0 || request->gpu_milli > GPU_WHOLE_MILLI))
		return err_set(err, -EINVAL, "%d thousandths of a GPU: 1 to %d are possible", request->gpu_milli, GPU_WHOLE_MILLI);
	if (request->gpu_count > 1 && request->gpu_milli != GPU_WHOLE_MILLI)
		return err_set(err, -EINVAL, "%d thousandths of %d GPUs: a share is of one GPU", request->gpu_milli, request->gpu_count);
	return 0;
}

static int check_devices(const struct cluster *cluster, const struct request *request, uint32_t node, uint32_t devices, struct err *err)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);
	const struct cluster_gpus *gpus = cluster_gpus(cluster, node);
	const char *name = cluster_node_name(cluster, node);

	if (__builtin_popcount(devices) != request->gpu_count)
		return err_set(err, -EINVAL, "node '%s': %d GPUs were chosen, %d are asked for", name, __builtin_popcount(devices),
			       request->gpu_count);
	if (request->gpu_count && request->gpu_models && !(request->gpu_models >> shape->gpu_model & 1))
		return err_set(err, -EINVAL, "node '%s': its GPUs are %s, which the request does not accept", name,
			       shape->gpu_count ? cluster->models[shape->gpu_model] : "none");
	for (uint32_t i = 0; i < 32; i++) {
		if (!(devices >> i & 1))
			continue;
		if (i >= shape->gpu_count)
			return err_set(err, -ENOENT, "node '%s' has no GPU %u, only %u", name, i, shape->gpu_count);
		if (gpus->free_milli[i] < request->gpu_milli)
			return err_set(err, -ENOSPC, "node '%s': GPU %u has %d thousandths free, %d are needed", name, i, gpus->free_milli[i],
				       request->gpu_milli);
	}
	return 0;
}

static int check_bind(const struct cluster *cluster, const struct request *request, uint32_t node, uint32_t devices, struct err *err)
{
	int r = cluster_check_node(cluster, node, err);

	if (r == 0)
		r = cluster_check_request(cluster, request, err);
	if (r < 0)
		return r;
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (request->need[d] > cluster_free_amount(cluster, d, node)) {
			auto_str struct str why = { 0 };

			fit_explain_amount(cluster, d, request->need[d], request->need[d], node, &why);
			return err_set(err, -ENOSPC, "node '%s': %s", cluster_node_name(cluster, node), str_text(&why));
		}
	if (cluster->first_free_binding == CLUSTER_NONE && cluster->binding_end == CLUSTER_BINDINGS_MAX)
		return err_set(err, -ENOSPC, "%d requests are bound: no more can be", CLUSTER_BINDINGS_MAX);
	return check_devices(cluster, request, node, devices, err);
}

static struct binding *edit_binding(struct cluster *cluster, uint32_t i)
{
	return cow_edit(&cluster->bindings, i);
}

static uint32_t take_binding_number(struct cluster *cluster)
{
	uint32_t i = cluster->first_free_binding;

	if (i != CLUSTER_NONE) {
		cluster->first_free_binding = ((const struct binding *)cow_at(&cluster->bindings, i))->next;
		return i;
	}
	i = cluster->binding_end++;
	cow_grow(&cluster->bindings, cluster->binding_end);
	return i;
}

/* Adds (sign 1) or takes (sign -1) what a binding holds to what is free on its node. */
static void account(struct cluster *cluster, const struct binding *binding, int32_t sign)
{
	struct cluster_shape *shape = cow_edit(&cluster->shapes, binding->node);

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (binding->need[d])		/* Else the page need not become ours. */
			*(int32_t *)cow_edit(&cluster->free[d], binding->node) += sign * binding->need[d];
	if (binding->devices) {
		struct cluster_gpus *gpus = cow_edit(&cluster->gpus, binding->node);

		for (uint32_t left = binding->devices; left; left &= left - 1)
			gpus->free_milli[__builtin_ctz(left)] = (int16_t)(gpus->free_milli[__builtin_ctz(left)] + sign * binding->gpu_milli);
	}
	shape->bound_count -= (uint32_t)sign;
	cluster_changed(cluster, binding->node);
	cluster->binding_count -= (uint32_t)sign;
}

int cluster_bind(struct cluster *cluster, const struct request *request, uint32_t node, uint32_t devices,
		 uint32_t *ret_binding, struct err *err)
{
	int r = check_bind(cluster, request, node, devices, err);

	if (r < 0)
		return r;

	uint32_t i = take_binding_number(cluster);
	struct binding *binding = edit_binding(cluster, i);
	struct cluster_shape *shape = cow_edit(&cluster->shapes, node);

	*binding = (struct binding){ .node = node, .next = shape->first_binding, .previous = CLUSTER_NONE, .devices = devices,
				     .gpu_models = request->gpu_models, .gpu_count = request->gpu_count, .gpu_milli = request->gpu_milli };
	memcpy(binding->need, request->need, cluster->dimension_count * sizeof(int32_t));
	account(cluster, binding, -1);
	if (shape->first_binding != CLUSTER_NONE)
		edit_binding(cluster, shape->first_binding)->previous = i;
	shape->first_binding = i;
	*ret_binding = i;
	return 0;
}

static const struct binding *find_binding(const struct cluster *cluster, uint32_t i, struct err *err)
{
	const struct binding *binding = i < cluster->binding_end ? cow_at(&cluster->bindings, i) : NULL;

	if (binding && binding->node != CLUSTER_NONE)
		return binding;
	err_set(err, -ENOENT, "binding %u does not exist: it may have been undone already", i);
	return NULL;
}

int cluster_unbind(struct cluster *cluster, uint32_t i, struct err *err)
{
	if (!find_binding(cluster, i, err))
		return err->code;

	struct binding *binding = edit_binding(cluster, i);

	account(cluster, binding, 1);
	if (binding->previous != CLUSTER_NONE)
		edit_binding(cluster, binding->previous)->next = binding->next;
	else
		((struct cluster_shape *)cow_edit(&cluster->shapes, binding->node))->first_binding = binding->next;
	if (binding->next != CLUSTER_NONE)
		edit_binding(cluster, binding->next)->previous = binding->previous;
	binding->node = CLUSTER_NONE;
	binding->next = cluster->first_free_binding;
	cluster->first_free_binding = i;
	return 0;
}

int cluster_binding(const struct cluster *cluster, uint32_t i, struct cluster_binding *ret_binding, struct err *err)
{
	const struct binding *binding = find_binding(cluster, i, err);

	if (!binding)
		return err->code;
	*ret_binding = (struct cluster_binding){
		.node = binding->node, .devices = binding->devices,
		.request = { .gpu_models = binding->gpu_models, .gpu_count = binding->gpu_count, .gpu_milli = binding->gpu_milli } };
	memcpy(ret_binding->request.need, binding->need, cluster->dimension_count * sizeof(int32_t));
	return 0;
}

uint32_t cluster_next_binding(const struct cluster *cluster, uint32_t node, uint32_t i)
{
	if (i == CLUSTER_NONE)
		return node < cluster->node_end && cluster_shape(cluster, node)->is_present ? cluster_shape(cluster, node)->first_binding : i;
	return ((const struct binding *)cow_at(&cluster->bindings, i))->next;
}
