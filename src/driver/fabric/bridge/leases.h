/*
 * leases.h - keeps dnsmasq's leases in step with the nics there are.
 *
 * A guest that is killed does not say DHCPRELEASE, and dnsmasq would refuse its address
 * to the next guest until the lease ends. So we say it: RFC 2131, 4.4.6 and RFC 8415, 18.2.7, sent to
 * the bridge's own address through the bridge (as dnsmasq's dhcp_release does). While dnsmasq does not
 * run, its file is cleaned instead.
 *
 * Errors:  none but for the file: a lease that stays is cured by time.
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

/* Gives back what the nic may have leased. */
void leases_release(const struct leases *leases, const struct fabric_nic *nic);

/* One line of the file. */
struct lease {
	struct in6_addr address;	/* v4-mapped or v6. */
	uint8_t mac[6];			/* IPv4 only: a DHCPv6 client is known by its DUID. */
};
typedef bool lease_fn(const void *data, const struct lease *lease);
/* Removes the leases for which 'is_wanted' returns false from the file. dnsmasq does not run. */
int leases_prune(const struct leases *leases, lease_fn *is_wanted, const void *data, struct err *err);

#endif
