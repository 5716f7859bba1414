#include "3-scheduling/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "3-scheduling/cluster_private.h"
#include "base/mem.h"
#include "base/str.h"

static int check_dimension(const struct cluster_dimension *dimensions, size_t i, struct err *err)
{
	if (!dimensions[i].name[0] || !memchr(dimensions[i].name, 0, sizeof(dimensions[i].name)) ||
	    !memchr(dimensions[i].unit, 0, sizeof(dimensions[i].unit)))
		return err_set(err, -EINVAL, "dimension %zu has no name, or one that is too long", i);
	for (size_t other = 0; other < i; other++)
		if (text_equal(dimensions[i].name, dimensions[other].name))
			return err_set(err, -EEXIST, "dimension '%s' is declared twice", dimensions[i].name);
	return 0;
}

int cluster_new(const struct cluster_dimension *dimensions, size_t count, struct cluster **ret_cluster, struct err *err)
{
	if (count == 0 || count > DIMENSIONS_MAX)
		return err_set(err, -EINVAL, "a cluster has 1 to %d dimensions, not %zu", DIMENSIONS_MAX, count);
	for (size_t i = 0; i < count; i++) {
		int r = check_dimension(dimensions, i, err);

		if (r < 0)
			return r;
	}
	struct cluster *cluster = alloc(sizeof(*cluster));

	memcpy(cluster->dimensions, dimensions, count * sizeof(*dimensions));
	cluster->dimension_count = (uint32_t)count;
	cluster->first_absent = cluster->first_free_binding = CLUSTER_NONE;
	for (size_t d = 0; d < count; d++) {
		cow_init(&cluster->free[d], sizeof(int32_t));
		cow_init(&cluster->total[d], sizeof(int32_t));
		cow_init(&cluster->reserved[d], sizeof(int32_t));
	}
	cow_init(&cluster->gpus, sizeof(struct cluster_gpus));
	cow_init(&cluster->shapes, sizeof(struct cluster_shape));
	cow_init(&cluster->names, CLUSTER_NAME_SIZE);
	cow_init(&cluster->bindings, binding_size(cluster));
	cow_init(&cluster->changes, sizeof(uint32_t));
	cow_grow(&cluster->changes, CLUSTER_CHANGES);
	*ret_cluster = cluster;
	return 0;
}

struct cluster *cluster_snapshot(const struct cluster *cluster)
{
	struct cluster *copy = alloc(sizeof(*copy));

	*copy = *cluster;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		cow_share(&copy->free[d], &cluster->free[d]);
		cow_share(&copy->total[d], &cluster->total[d]);
		cow_share(&copy->reserved[d], &cluster->reserved[d]);
	}
	cow_share(&copy->gpus, &cluster->gpus);
	cow_share(&copy->shapes, &cluster->shapes);
	cow_share(&copy->names, &cluster->names);
	cow_share(&copy->bindings, &cluster->bindings);
	cow_share(&copy->changes, &cluster->changes);
	return copy;
}

void cluster_free(struct cluster *cluster)
{
	if (!cluster)
		return;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		cow_done(&cluster->free[d]);
		cow_done(&cluster->total[d]);
		cow_done(&cluster->reserved[d]);
	}
	cow_done(&cluster->gpus);
	cow_done(&cluster->shapes);
	cow_done(&cluster->names);
	cow_done(&cluster->bindings);
	cow_done(&cluster->changes);
	free(cluster);
}

int cluster_model(struct cluster *cluster, const char *name, uint8_t *ret_model, struct err *err)
{
	for (uint32_t i = 0; i < cluster->model_count; i++)
		if (text_equal(cluster->models[i], name)) {
			*ret_model = (uint8_t)i;
			return 0;
		}
	if (!name[0] || strlen(name) >= CLUSTER_NAME_SIZE)
		return err_set(err, -EINVAL, "GPU model '%s' has no name, or one of more than %d bytes", shown(name), CLUSTER_NAME_SIZE - 1);
	if (cluster->model_count == GPU_MODELS_MAX)
		return err_set(err, -ENOSPC, "GPU model '%s' is one more than %d", shown(name), GPU_MODELS_MAX);
	memcpy(cluster->models[cluster->model_count], name, strlen(name) + 1);
	*ret_model = (uint8_t)cluster->model_count++;
	return 0;
}

static int check_totals(const struct cluster *cluster, const char *name, const int32_t *total, const int32_t *reserved, struct err *err)
{
	char had[UNITS_TEXT_SIZE], kept[UNITS_TEXT_SIZE];

	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		int32_t host = reserved ? reserved[d] : 0;

		if (total[d] < 0 || host < 0)
			return err_set(err, -EINVAL, "node '%s': %s%s is %d%s: use 0 or more", shown(name), total[d] < 0 ? "" : "reserved ",
				       cluster->dimensions[d].name, total[d] < 0 ? total[d] : host, cluster->dimensions[d].unit);
		if (host > total[d])
			return err_set(err, -EINVAL, "node '%s': %s of %s are reserved, it has %s: reserve less", shown(name),
				       cluster_amount(cluster, d, host, kept), cluster->dimensions[d].name,
				       cluster_amount(cluster, d, total[d], had));
	}
	return 0;
}

static int check_node(const struct cluster *cluster, const struct cluster_node *node, struct err *err)
{
	if (!node->name || !node->name[0] || strlen(node->name) >= CLUSTER_NAME_SIZE)
		return err_set(err, -EINVAL, "node '%s': the name should have 1 to %d bytes", node->name ? shown(node->name) : "",
			       CLUSTER_NAME_SIZE - 1);
	if (node->gpu_count > GPUS_MAX)
		return err_set(err, -EINVAL, "node '%s': %u GPUs, %d are the most", shown(node->name), node->gpu_count, GPUS_MAX);
	if (cluster->first_absent == CLUSTER_NONE && cluster->node_end == CLUSTER_NODES_MAX)
		return err_set(err, -ENOSPC, "node '%s' is one more than %d", shown(node->name), CLUSTER_NODES_MAX);
	return check_totals(cluster, node->name, node->total, node->reserved, err);
}

static uint32_t take_node_number(struct cluster *cluster)
{
	uint32_t node = cluster->first_absent;

	if (node != CLUSTER_NONE) {
		cluster->first_absent = cluster_shape(cluster, node)->first_binding;
		return node;
	}
	node = cluster->node_end++;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		cow_grow(&cluster->free[d], cluster->node_end);
		cow_grow(&cluster->total[d], cluster->node_end);
		cow_grow(&cluster->reserved[d], cluster->node_end);
	}
	cow_grow(&cluster->gpus, cluster->node_end);
	cow_grow(&cluster->shapes, cluster->node_end);
	cow_grow(&cluster->names, cluster->node_end);
	return node;
}

static void set_total(struct cluster *cluster, uint32_t d, uint32_t node, int32_t used, const int32_t *total, const int32_t *reserved)
{
	int32_t host = reserved ? reserved[d] : 0;

	*(int32_t *)cow_edit(&cluster->total[d], node) = total[d] - host;
	*(int32_t *)cow_edit(&cluster->reserved[d], node) = host;
	*(int32_t *)cow_edit(&cluster->free[d], node) = total[d] - host - used;
}

int cluster_add_node(struct cluster *cluster, const struct cluster_node *node, uint32_t *ret_node, struct err *err)
{
	struct cluster_gpus gpus = { 0 };
	uint8_t model = 0;
	int r = check_node(cluster, node, err);

	if (r == 0 && node->gpu_count)
		r = cluster_model(cluster, node->gpu_model ? node->gpu_model : "", &model, err);
	if (r < 0)
		return r;

	uint32_t number = take_node_number(cluster);

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		set_total(cluster, d, number, 0, node->total, node->reserved);
	for (uint32_t i = 0; i < node->gpu_count; i++)
		gpus.free_milli[i] = GPU_WHOLE_MILLI;
	*(struct cluster_gpus *)cow_edit(&cluster->gpus, number) = gpus;
	*(struct cluster_shape *)cow_edit(&cluster->shapes, number) = (struct cluster_shape){
		.is_present = 1, .gpu_count = (uint8_t)node->gpu_count, .gpu_model = model,
		.first_binding = CLUSTER_NONE };
	cluster_changed(cluster, number);
	memcpy(cow_edit(&cluster->names, number), node->name, strlen(node->name) + 1);
	cluster->node_count++;
	*ret_node = number;
	return 0;
}

void cluster_changed(struct cluster *cluster, uint32_t node)
{
	((struct cluster_shape *)cow_edit(&cluster->shapes, node))->version = ++cluster->version;
	*(uint32_t *)cow_edit(&cluster->changes, (uint32_t)(cluster->version % CLUSTER_CHANGES)) = node;
}

int cluster_check_node(const struct cluster *cluster, uint32_t node, struct err *err)
{
	if (node >= cluster->node_end || !cluster_shape(cluster, node)->is_present)
		return err_set(err, -ENOENT, "node %u does not exist: it may have been removed meanwhile", node);
	return 0;
}

int cluster_update_node(struct cluster *cluster, uint32_t node, const int32_t *total, const int32_t *reserved, struct err *err)
{
	char wanted[UNITS_TEXT_SIZE], bound[UNITS_TEXT_SIZE];
	int r = cluster_check_node(cluster, node, err);

	if (r == 0)
		r = check_totals(cluster, cluster_node_name(cluster, node), total, reserved, err);
	if (r < 0)
		return r;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		int32_t used = cluster_total(cluster, d, node) - cluster_free_amount(cluster, d, node);
		int32_t usable = total[d] - (reserved ? reserved[d] : 0);

		if (usable < used)
			return err_set(err, -EBUSY, "node '%s': %s cannot become %s while %s is bound", cluster_node_name(cluster, node),
				       cluster->dimensions[d].name, cluster_amount(cluster, d, usable, wanted), cluster_amount(cluster, d, used, bound));
	}
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		set_total(cluster, d, node, cluster_total(cluster, d, node) - cluster_free_amount(cluster, d, node), total, reserved);
	cluster_changed(cluster, node);
	return 0;
}

int cluster_remove_node(struct cluster *cluster, uint32_t node, struct err *err)
{
	int r = cluster_check_node(cluster, node, err);

	if (r < 0)
		return r;
	if (cluster_shape(cluster, node)->bound_count)
		return err_set(err, -EBUSY, "node '%s' has %u requests bound: unbind them first", cluster_node_name(cluster, node),
			       cluster_shape(cluster, node)->bound_count);
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		*(int32_t *)cow_edit(&cluster->free[d], node) = -1;	/* So that nothing fits, without a look at the shape. */
		*(int32_t *)cow_edit(&cluster->total[d], node) = *(int32_t *)cow_edit(&cluster->reserved[d], node) = 0;
	}
	*(struct cluster_gpus *)cow_edit(&cluster->gpus, node) = (struct cluster_gpus){ 0 };
	*(struct cluster_shape *)cow_edit(&cluster->shapes, node) = (struct cluster_shape){
		.first_binding = cluster->first_absent };
	cluster_changed(cluster, node);
	cluster->first_absent = node;
	cluster->node_count--;
	return 0;
}

int cluster_cordon(struct cluster *cluster, uint32_t node, bool is_cordoned, struct err *err)
{
	int r = cluster_check_node(cluster, node, err);

	if (r < 0)
		return r;
	((struct cluster_shape *)cow_edit(&cluster->shapes, node))->is_cordoned = is_cordoned;
	cluster_changed(cluster, node);
	return 0;
}

const char *cluster_amount(const struct cluster *cluster, uint32_t dimension, int64_t amount, char buffer[UNITS_TEXT_SIZE])
{
	static const struct { const char *unit; int shift; } sizes[] = { { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
	const char *unit = cluster->dimensions[dimension].unit;

	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
		if (text_equal(unit, sizes[i].unit) && amount >= 0)
			return units_format_size((uint64_t)amount << sizes[i].shift, buffer);
	if (text_equal(unit, "m"))
		snprintf(buffer, UNITS_TEXT_SIZE, "%.10g", (double)amount / 1000);
	else
		snprintf(buffer, UNITS_TEXT_SIZE, "%lld%s", (long long)amount, unit);
	return buffer;
}
