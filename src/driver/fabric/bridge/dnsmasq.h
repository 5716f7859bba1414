/*
 * dnsmasq.h - one dnsmasq per network: DHCP (v4, v6), router advertisements, DNS.
 *
 * <directory>/dnsmasq/<bridge>/ holds conf.<hash>, pid, leases, and the folders hosts/ and names/ with
 * one file per nic, which dnsmasq watches: a nic comes without a signal and goes with SIGHUP.
 * The hash of the configuration is in the file's name and so in the process's command line,
 * which therefore proves what it runs with, to this daemon and to the next.
 *
 * dnsmasq starts as root, binds its sockets and becomes "dnsmasq" (or "nobody") with only
 * CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE. It lives in its own session and in the cgroup
 * <cgroup>/dnsmasq-<bridge>, and outlives the daemon.
 *
 * Errors:  -ENOENT dnsmasq is not installed; -EACCES its user cannot reach the folder; -EIO with its own words.
 * Threads: with the driver's mutex held.
 */
#ifndef DRIVER_FABRIC_BRIDGE_DNSMASQ_H
#define DRIVER_FABRIC_BRIDGE_DNSMASQ_H

#include "driver/fabric/bridge/bridge.h"

/* It runs, with this configuration and the driver's nics of this network. The bridge has its addresses. */
int dnsmasq_up(const struct bridge_driver *driver, const struct fabric_network *network, struct err *err);
/* It does not run and nothing of it is left. 'ifname' is the bridge's. */
int dnsmasq_down(const struct bridge_driver *driver, const char *ifname, struct err *err);

/* 'old' (may be null): what this nic was before, in the same network. */
int dnsmasq_put_nic(const struct bridge_driver *driver, const struct fabric_network *network, const struct fabric_nic *old,
		    const struct fabric_nic *nic, struct err *err);
void dnsmasq_remove_nic(const struct bridge_driver *driver, const struct fabric_network *network, const struct fabric_nic *nic);

#endif
