/*
 * rules.h - the packet filter of all networks and nics. Pure: it only writes down what is wanted.
 *
 * Two tables per daemon. "bridge strata_<tag>" looks at each frame a guest sends: its
 * addresses must be its own, and it must not play DHCP server or router. "inet strata_<tag>"
 * does what a home router does: masquerade, published ports, nothing inwards that was not
 * asked for, and of the host itself only DHCP, DNS and ping.
 *
 * What differs between guests is in sets and maps, so a packet costs the same with one guest
 * and with a thousand, and a nic comes and goes as a few elements.
 *
 * Threads: any.
 */
#ifndef DRIVER_FABRIC_BRIDGE_RULES_H
#define DRIVER_FABRIC_BRIDGE_RULES_H

#include "base/str.h"
#include "driver/fabric/bridge/bridge.h"
#include "driver/fabric/bridge/element.h"

/*
 * nft commands that replace both tables: chains, empty sets, and the elements of the networks; without any
 * network or nic they remove the tables.
 */
void rules_write_networks(const struct bridge_driver *driver, struct str *out);
/* nft commands that add the elements of all nics. */
void rules_write_nics(const struct bridge_driver *driver, struct str *out);
/* Appends what the nic has in the sets and maps. The caller does vec_done(&elements->items). */
void rules_push_nic(const struct bridge_driver *driver, const struct fabric_nic *nic, struct elements *elements);

enum { RULES_TABLE_SIZE = 16 };
const char *rules_table(const struct bridge_driver *driver, char name[RULES_TABLE_SIZE]);

/* The bridge's link-local address: the modified EUI-64 (RFC 4291, appendix A) of its MAC. */
struct in6_addr rules_link_local(const uint8_t mac[6]);
/* The bridge's MAC: from the uid, so that guests find the same router after a restart of the host. */
void rules_bridge_mac(const struct fabric_network *network, uint8_t mac[6]);

#endif
