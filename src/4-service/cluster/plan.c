#include "4-service/cluster/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { MEMBERS_MAX = 3 };

void plan_add(struct plan *plan, const char *uid)
{
	*vec_push(&plan->uids) = text_copy(uid);
}

void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->uids.count; i++)
		free(plan->uids.items[i]);
	vec_done(&plan->uids);
}

bool plan_has(const struct plan *plan, const char *uid)
{
	for (size_t i = 0; i < plan->uids.count; i++)
		if (text_equal(plan->uids.items[i], uid))
			return true;
	return false;
}

bool plan_equal(const struct plan *a, const struct plan *b)
{
	for (size_t i = 0; i < a->uids.count; i++)
		if (!plan_has(b, a->uids.items[i]))
			return false;
	return a->uids.count == b->uids.count;
}

static const struct plan_host *find(const struct plan_host *hosts, size_t count, const char *uid)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(hosts[i].uid, uid))
			return &hosts[i];
	return NULL;
}

/* The oldest that is up and not chosen yet. */
static const struct plan_host *next(const struct plan_host *hosts, size_t count, const struct plan *plan)
{
	const struct plan_host *best = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct plan_host *host = &hosts[i];

		if (!host->is_up || plan_has(plan, host->uid))
			continue;
		if (!best || host->created_at < best->created_at ||
		    (host->created_at == best->created_at && strcmp(host->uid, best->uid) < 0))
			best = host;
	}
	return best;
}

/* The one that stays alone; who is up goes before the others. */
static void keep_one(const struct plan_host *hosts, size_t count, struct plan *plan)
{
	struct plan one = { 0 };
	const char *uid = plan->uids.items[0];

	for (size_t i = plan->uids.count; i-- > 0;)
		if (find(hosts, count, plan->uids.items[i])->is_up)
			uid = plan->uids.items[i];
	plan_add(&one, uid);
	plan_done(plan);
	*plan = one;
}

void plan_make(const struct plan_host *hosts, size_t count, const struct plan *present, struct plan *ret_plan)
{
	struct plan plan = { 0 };
	const struct plan_host *host;

	for (size_t i = 0; i < present->uids.count && plan.uids.count < MEMBERS_MAX; i++)
		if (find(hosts, count, present->uids.items[i]))
			plan_add(&plan, present->uids.items[i]);
	while (plan.uids.count < (count < MEMBERS_MAX ? 1 : MEMBERS_MAX) && (host = next(hosts, count, &plan)))
		plan_add(&plan, host->uid);
	if (plan.uids.count > 1 && plan.uids.count < MEMBERS_MAX)
		keep_one(hosts, count, &plan);
	*ret_plan = plan;
}
