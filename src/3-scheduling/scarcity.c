#include "3-scheduling/scarcity.h"

#include "base/vec.h"

struct node_class {			/* Nodes with as many GPUs of one model. */
	uint8_t model, gpu_count;
	double gpus;			/* Of all of them together. */
	int32_t most[DIMENSIONS_MAX];	/* That one of them has. */
	double demand;			/* Per GPU. */
	bool is_able;			/* To serve the kind that is looked at. */
};

struct supply { VEC(struct node_class) classes; double gpus; };

static struct node_class *find_class(struct supply *supply, const struct cluster_shape *shape)
{
	for (size_t i = 0; i < supply->classes.count; i++) {
		struct node_class *class = &supply->classes.items[i];

		if (class->model == shape->gpu_model && class->gpu_count == shape->gpu_count)
			return class;
	}
	struct node_class *class = vec_push(&supply->classes);

	class->model = shape->gpu_model;
	class->gpu_count = shape->gpu_count;
	return class;
}

static void count_supply(struct supply *supply, const struct cluster *cluster)
{
	for (uint32_t node = 0; node < cluster->node_end; node++) {
		const struct cluster_shape *shape = cluster_shape(cluster, node);

		if (!shape->is_present || shape->is_cordoned || !shape->gpu_count)
			continue;
		struct node_class *class = find_class(supply, shape);

		class->gpus += shape->gpu_count;
		supply->gpus += shape->gpu_count;
		for (uint32_t d = 0; d < cluster->dimension_count; d++) {
			int32_t total = cluster_total(cluster, d, node);

			class->most[d] = total > class->most[d] ? total : class->most[d];
		}
	}
}

static bool is_able(const struct node_class *class, const struct request *request)
{
	if (class->gpu_count < request->gpu_count || (request->gpu_models && !(request->gpu_models >> class->model & 1)))
		return false;
	for (int d = 0; d < DIMENSIONS_MAX; d++)
		if (class->most[d] < request->need[d])
			return false;
	return true;
}

static void demand_from_able(struct supply *supply, const struct request *request, double gpus)
{
	double able = 0;

	for (size_t i = 0; i < supply->classes.count; i++) {
		struct node_class *class = &supply->classes.items[i];

		class->is_able = is_able(class, request);
		able += class->is_able ? class->gpus : 0;
	}
	for (size_t i = 0; i < supply->classes.count; i++)
		supply->classes.items[i].demand += supply->classes.items[i].is_able ? gpus / able : 0;
}

void scarcity_init(struct scarcity *scarcity, const struct mix *mix, const struct cluster *cluster)
{
	struct supply supply = { 0 };
	double asked = 0;

	*scarcity = (struct scarcity){ 0 };
	count_supply(&supply, cluster);
	for (uint32_t k = 0; k < mix->kind_count; k++)
		asked += (double)mix->kinds[k].count * request_gpu_milli(&mix->kinds[k].request);
	for (uint32_t k = 0; k < mix->kind_count; k++) {
		const struct mix_kind *kind = &mix->kinds[k];

		if (kind->count && kind->request.gpu_count)
			demand_from_able(&supply, &kind->request, (double)kind->count * request_gpu_milli(&kind->request) / asked * supply.gpus);
	}
	for (size_t i = 0; i < supply.classes.count; i++) {
		const struct node_class *class = &supply.classes.items[i];

		scarcity->demand[class->model][class->gpu_count] = (float)class->demand;
	}
	vec_done(&supply.classes);
}
