/*
 * ports.h - is a port of the host free?
 *
 * Errors:  -EBUSY, naming the process that has it where it can be found.
 * Threads: any.
 */
#ifndef DRIVER_FABRIC_BRIDGE_PORTS_H
#define DRIVER_FABRIC_BRIDGE_PORTS_H

#include "port/fabric.h"

int ports_check_free(const struct fabric_publish *publish, struct err *err);

#endif
