#include "4-service/cluster/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { MEMBERS_MAX = 3 };

void roster_add(struct roster *roster, const char *uid)
{
	*vec_push(&roster->uids) = text_copy(uid);
}

void roster_done(struct roster *roster)
{
	for (size_t i = 0; i < roster->uids.count; i++)
		free(roster->uids.items[i]);
	vec_done(&roster->uids);
}

bool roster_has(const struct roster *roster, const char *uid)
{
	for (size_t i = 0; i < roster->uids.count; i++)
		if (text_equal(roster->uids.items[i], uid))
			return true;
	return false;
}

bool roster_equal(const struct roster *a, const struct roster *b)
{
	for (size_t i = 0; i < a->uids.count; i++)
		if (!roster_has(b, a->uids.items[i]))
			return false;
	return a->uids.count == b->uids.count;
}

static const struct roster_host *find(const struct roster_host *hosts, size_t count, const char *uid)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(hosts[i].uid, uid))
			return &hosts[i];
	return NULL;
}

/* The oldest that is up and not chosen yet. */
static const struct roster_host *next(const struct roster_host *hosts, size_t count, const struct roster *roster)
{
	const struct roster_host *best = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct roster_host *host = &hosts[i];

		if (!host->is_up || roster_has(roster, host->uid))
			continue;
		if (!best || host->created_at < best->created_at ||
		    (host->created_at == best->created_at && strcmp(host->uid, best->uid) < 0))
			best = host;
	}
	return best;
}

/* The one that stays alone; who is up goes before the others. */
static void keep_one(const struct roster_host *hosts, size_t count, struct roster *roster)
{
	struct roster one = { 0 };
	const char *uid = roster->uids.items[0];

	for (size_t i = roster->uids.count; i-- > 0;)
		if (find(hosts, count, roster->uids.items[i])->is_up)
			uid = roster->uids.items[i];
	roster_add(&one, uid);
	roster_done(roster);
	*roster = one;
}

void roster_make(const struct roster_host *hosts, size_t count, const struct roster *present, struct roster *ret_roster)
{
	struct roster roster = { 0 };
	const struct roster_host *host;

	for (size_t i = 0; i < present->uids.count && roster.uids.count < MEMBERS_MAX; i++)
		if (find(hosts, count, present->uids.items[i]))
			roster_add(&roster, present->uids.items[i]);
	while (roster.uids.count < (count < MEMBERS_MAX ? 1 : MEMBERS_MAX) && (host = next(hosts, count, &roster)))
		roster_add(&roster, host->uid);
	if (roster.uids.count > 1 && roster.uids.count < MEMBERS_MAX)
		keep_one(hosts, count, &roster);
	*ret_roster = roster;
}
