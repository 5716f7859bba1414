/*
 * inventory.h - which interface is which: the alias of an interface names its owner.
 *
 * A bridge has the alias "strata:<network uid>", a tap or veth "strata:<instance uid>:<nic index>".  An
 * interface is ours when its name carries our tag and its alias has this form, or is still
 * empty because a crash fell between its making and its naming.
 *
 * Threads: with the driver's mutex held.
 */
#ifndef DRIVER_FABRIC_BRIDGE_INVENTORY_H
#define DRIVER_FABRIC_BRIDGE_INVENTORY_H

#include "driver/fabric/bridge/bridge.h"
#include "driver/fabric/bridge/link.h"

void inventory_network_alias(const char *uid, char alias[LINK_ALIAS_SIZE]);
void inventory_nic_alias(const char *instance, unsigned index, char alias[LINK_ALIAS_SIZE]);

enum inventory_kind { INVENTORY_BRIDGE = 'b', INVENTORY_TAP = 't' };
struct inventory_link {
	enum inventory_kind kind;
	char ifname[IFNAMSIZ];
	char uid[FABRIC_UID_LENGTH + 1];	/* Empty: not named yet. */
	unsigned index;				/* Of a nic. */
};
struct inventory_links { VEC(struct inventory_link) items; };

/* Every interface of ours. The caller does vec_done(&links->items), also after a failure. */
int inventory_links(struct bridge_driver *driver, struct inventory_links *links, struct err *err);
/* Makes sure that an interface with this name, if there is one, has this alias or none; else -EBUSY. */
int inventory_check_owner(struct bridge_driver *driver, const char *ifname, const char *alias, struct err *err);

#endif
