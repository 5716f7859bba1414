/*
 * sim.h - pages of nodes that live in one process, with the clock of the simulation.
 *
 * All nodes have that clock, so a page's age is exact. A node may be cut off: what it publishes then is not seen.
 *
 * Memory:  a world is new/free and outlives its drivers.
 * Threads: any.
 */
#ifndef DRIVER_PAGES_SIM_H
#define DRIVER_PAGES_SIM_H

#include "port/pages.h"

struct sim_pages;

/* 'now_ns' is also what pages' stamps are made with. */
struct sim_pages *sim_pages_new(uint64_t (*now_ns)(void *data), void *data);
void sim_pages_free(struct sim_pages *world);
void sim_pages_cut(struct sim_pages *world, const uint8_t node[PAGE_UID_BYTES], bool is_cut);

#endif
