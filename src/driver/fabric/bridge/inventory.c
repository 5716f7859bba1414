#include "driver/fabric/bridge/inventory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define ALIAS_PREFIX "strata:"

void inventory_network_alias(const char *uid, char alias[LINK_ALIAS_SIZE])
{
	snprintf(alias, LINK_ALIAS_SIZE, ALIAS_PREFIX "%s", uid);
}

void inventory_nic_alias(const char *instance, unsigned index, char alias[LINK_ALIAS_SIZE])
{
	snprintf(alias, LINK_ALIAS_SIZE, ALIAS_PREFIX "%s:%u", instance, index);
}

static bool parse_alias(const char *alias, struct inventory_link *link)
{
	int length = 0;

	if (!*alias)
		return true;
	if (!text_starts_with(alias, ALIAS_PREFIX))
		return false;
	alias += strlen(ALIAS_PREFIX);
	if (link->kind == INVENTORY_BRIDGE)
		return sscanf(alias, "%63[^:]%n", link->uid, &length) == 1 && !alias[length];
	return sscanf(alias, "%63[^:]:%u%n", link->uid, &link->index, &length) == 2 && !alias[length];
}

struct search { const struct bridge_driver *driver; struct inventory_links *links; };

/* "s<tag>b<n>" or "s<tag>t<n>" */
static int take_if_ours(void *data, const struct link *link, struct err *err)
{
	struct search *search = data;
	struct inventory_link ours = { 0 };
	char kind, rest;
	unsigned number;
	int start = 1 + BRIDGE_TAG_LENGTH;

	(void)err;
	if (link->name[0] != 's' || strncmp(link->name + 1, search->driver->tag, BRIDGE_TAG_LENGTH) != 0 ||
	    sscanf(link->name + start, "%c%u%c", &kind, &number, &rest) != 2 ||
	    (kind != INVENTORY_BRIDGE && kind != INVENTORY_TAP))
		return 0;
	ours.kind = (enum inventory_kind)kind;
	snprintf(ours.ifname, sizeof(ours.ifname), "%s", link->name);
	if (parse_alias(link->alias, &ours))
		*vec_push(&search->links->items) = ours;
	return 0;
}

int inventory_links(struct bridge_driver *driver, struct inventory_links *links, struct err *err)
{
	struct search search = { driver, links };

	return link_list(&driver->netlink, take_if_ours, &search, err);
}

int inventory_check_owner(struct bridge_driver *driver, const char *ifname, const char *alias, struct err *err)
{
	struct link link;
	int r = link_get(&driver->netlink, ifname, &link, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (!link.alias[0] || text_equal(link.alias, alias))
		return 0;
	return err_set(err, -EBUSY, "interface %s belongs to '%s': take that down first", ifname, shown(link.alias));
}
