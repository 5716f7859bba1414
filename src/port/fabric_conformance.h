/*
 * fabric_conformance.h - what every fabric driver must do, as a program. The definition of the port.
 *
 * Each driver's test calls it on a host (or world) that is all its own and empty. It uses the
 * subnets 10.231.0.0/24, 10.231.1.0/24 and fd23:1::/64 and the host ports 28080 to 28089.
 *
 * Errors:  -EPROTO, saying which step did what instead of what.
 */
#ifndef PORT_FABRIC_CONFORMANCE_H
#define PORT_FABRIC_CONFORMANCE_H

#include "port/fabric.h"

int fabric_conformance(const struct fabric_ops *ops, const struct fabric_params *params, struct err *err);

#endif
