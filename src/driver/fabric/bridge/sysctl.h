/*
 * sysctl.h - the kernel settings a network needs, and no others.
 *
 * They are never set back: somebody else may rely on them by then.
 *
 * Errors:  -EOPNOTSUPP IPv6 is switched off; -EPERM, -EROFS with the setting's name.
 * Threads: any.
 */
#ifndef DRIVER_FABRIC_BRIDGE_SYSCTL_H
#define DRIVER_FABRIC_BRIDGE_SYSCTL_H

#include "base/err.h"

int sysctl_forward_ipv4(const char *bridge, struct err *err);
int sysctl_forward_ipv6(const char *bridge, struct err *err);
/* Of the present network namespace. Where it cannot be set nothing is lost: an advertised route stands beside ours. */
void sysctl_ignore_routers(const char *ifname);

#endif
