/*
 * leases.h - gives leases back to dnsmasq in the name of guests that are gone.
 *
 * A guest that is killed does not say DHCPRELEASE, and dnsmasq would refuse its address
 * to the next guest until the lease ends. So we say it: RFC 2131, 4.4.6 and RFC 8415, 18.2.7, sent to
 * the bridge's own address through the bridge (as dnsmasq's dhcp_release does).
 *
 * Errors:  none: a lease that stays is cured by time.
 * Threads: any.
 */
#ifndef DRIVER_FABRIC_BRIDGE_LEASES_H
#define DRIVER_FABRIC_BRIDGE_LEASES_H

#include "port/fabric.h"

/* Where dnsmasq's "leases" file is, and where it listens. */
struct leases {
	const char *folder;
	const char *ifname;
	struct in_addr server;
};

/* What is leased at the nic's addresses. */
void leases_release(const struct leases *leases, const struct fabric_nic *nic);
/* Only what another nic left behind there. */
void leases_release_others(const struct leases *leases, const struct fabric_nic *nic);

#endif
