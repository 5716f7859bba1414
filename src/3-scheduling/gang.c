#include "3-scheduling/gang.h"

#include <errno.h>

#include "base/mem.h"

/* What is hard to place: many GPUs first, then much of the first dimensions. */
static int compare_size(const void *a, const void *b, void *arg)
{
	const struct gang_member *members = arg, *x = &members[*(const uint32_t *)a], *y = &members[*(const uint32_t *)b];
	const struct request *p = &x->demand->request, *q = &y->demand->request;

	if (request_gpu_milli(p) != request_gpu_milli(q))
		return request_gpu_milli(p) < request_gpu_milli(q) ? 1 : -1;
	for (int d = 0; d < DIMENSIONS_MAX; d++)
		if (p->need[d] != q->need[d])
			return p->need[d] < q->need[d] ? 1 : -1;
	return x < y ? -1 : x > y;
}

static int place_member(struct ledger *ledger, struct decider *decider, struct gang_member *member, struct err *err)
{
	struct decision decision;
	int r = decider_choose_for(decider, ledger, member->demand, &decision, err);

	r = r ? r : ledger_bind(ledger, member->demand, decision.node, decision.devices, &member->binding, err);
	if (r == 0) {
		member->node = decision.node;
		member->devices = decision.devices;
	}
	return r;
}

int gang_place(struct ledger *ledger, struct decider *decider, struct gang_member *members, size_t count, struct err *err)
{
	int r = 0;

	if (count == 0 || count > GANG_MAX)
		return err_set(err, -EINVAL, "a gang has 1 to %d members, not %zu", GANG_MAX, count);
	auto_free uint32_t *order = alloc_array(NULL, count, sizeof(*order));
	auto_free struct gang_member *placed = alloc_array(NULL, count, sizeof(*placed));	/* The caller's stay as they are until it is sure. */

	for (uint32_t i = 0; i < count; i++) {
		order[i] = i;
		placed[i] = members[i];
	}
	qsort_r(order, count, sizeof(*order), compare_size, placed);
	ledger_begin(ledger);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = place_member(ledger, decider, &placed[order[i]], err);
		if (r < 0)
			err_prefix(err, "member %u of the gang, after %zu of %zu had a place", order[i], i, count);
	}
	if (r < 0)
		ledger_undo(ledger, 0);
	ledger_keep(ledger);
	for (size_t i = 0; i < count && r == 0; i++)
		members[i] = placed[i];
	return r;
}
