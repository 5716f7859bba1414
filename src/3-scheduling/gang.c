#include "3-scheduling/gang.h"

#include <errno.h>

#include "base/mem.h"

/* What is hard to place: many GPUs first, then much of the first dimensions. */
static int compare_size(const void *a, const void *b, void *arg)
{
	const struct gang_member *members = arg, *x = &members[*(const uint32_t *)a], *y = &members[*(const uint32_t *)b];
	int32_t gpus_x = request_gpu_milli(&x->request), gpus_y = request_gpu_milli(&y->request);

	if (gpus_x != gpus_y)
		return gpus_x < gpus_y ? 1 : -1;
	for (int d = 0; d < DIMENSIONS_MAX; d++)
		if (x->request.need[d] != y->request.need[d])
			return x->request.need[d] < y->request.need[d] ? 1 : -1;
	return x < y ? -1 : x > y;
}

static int place_member(struct cluster *cluster, struct decider *decider, struct gang_member *member, struct err *err)
{
	struct decision decision;
	int r = decider_choose(decider, &member->request, &decision, err);

	r = r ? r : cluster_bind(cluster, &member->request, decision.node, decision.devices, &member->binding, err);
	if (r == 0) {
		member->node = decision.node;
		member->devices = decision.devices;
	}
	return r;
}

static void undo(struct cluster *cluster, const struct gang_member *members, const uint32_t *order, size_t placed)
{
	struct err err;

	while (placed-- > 0)
		if (cluster_unbind(cluster, members[order[placed]].binding, &err) < 0)
			abort();
}

int gang_place(struct cluster *cluster, struct decider *decider, struct gang_member *members, size_t count, struct err *err)
{
	if (count == 0 || count > GANG_MAX)
		return err_set(err, -EINVAL, "a gang has 1 to %d members, not %zu", GANG_MAX, count);
	auto_free uint32_t *order = alloc_array(NULL, count, sizeof(*order));
	auto_free struct gang_member *placed = alloc_array(NULL, count, sizeof(*placed));	/* The caller's stay as they are until it is sure. */

	for (uint32_t i = 0; i < count; i++) {
		order[i] = i;
		placed[i] = members[i];
	}
	qsort_r(order, count, sizeof(*order), compare_size, placed);
	for (size_t i = 0; i < count; i++) {
		int r = place_member(cluster, decider, &placed[order[i]], err);

		if (r < 0) {
			undo(cluster, placed, order, i);
			return err_prefix(err, "member %u of the gang, after %zu of %zu had a place", order[i], i, count);
		}
	}
	for (size_t i = 0; i < count; i++)
		members[i] = placed[i];
	return 0;
}
