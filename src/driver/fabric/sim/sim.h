/*
 * sim.h - the world of the "sim" fabric driver: networks and nics that exist in memory only.
 *
 * The world outlives the driver, as a host outlives the daemon: a test that "crashes" the
 * driver opens a new one on the same world. A driver opened without a world has its own.
 *
 * Memory:  what lookups return is borrowed until the next operation on that network or nic.
 * Threads: any; operations of drivers lock the world. Lookups are for tests while nothing runs.
 */
#ifndef DRIVER_FABRIC_SIM_H
#define DRIVER_FABRIC_SIM_H

#include "port/fabric.h"

struct sim_fabric;

struct sim_fabric *sim_fabric_new(void);
void sim_fabric_free(struct sim_fabric *world);		/* Null is fine. */

size_t sim_fabric_network_count(const struct sim_fabric *world);
size_t sim_fabric_nic_count(const struct sim_fabric *world);
/* Null when it does not exist. */
const struct fabric_network *sim_fabric_network(const struct sim_fabric *world, const char *uid);
const struct fabric_nic *sim_fabric_nic(const struct sim_fabric *world, const char *instance, unsigned index);

/* The process whose namespace the nic has entered; 0: none. */
pid_t sim_fabric_nic_pid(const struct sim_fabric *world, const char *instance, unsigned index);

/* Things of the host that are in the way, for tests of -EBUSY. */
void sim_fabric_use_port(struct sim_fabric *world, enum fabric_protocol protocol, uint16_t port);
void sim_fabric_use_subnet(struct sim_fabric *world, struct in_addr address, unsigned prefix);

#endif
