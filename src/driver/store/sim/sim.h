/*
 * sim.h - the world of the "sim" store driver: one store that several simulated hosts share, and their links to it.
 *
 * The store is one in memory; each host has a link, which is its store_params.shared. A link can be cut: nothing passes until it is
 * healed, and then what was missed is read. It can be slow, and it can lose answers: what was committed then is not known.
 * Leases end by the clock of the loop the world was made with, whatever clocks the hosts have.
 *
 * Memory:  links outlive the stores that are opened on them, and are freed before their world.
 * Threads: the loop's; the operations of the port as it says, for work without threads.
 */
#ifndef DRIVER_STORE_SIM_H
#define DRIVER_STORE_SIM_H

#include "base/rng.h"
#include "port/store.h"

struct sim_store;
struct sim_link;

struct sim_store *sim_store_new(struct loop *loop, uint64_t seed);
void sim_store_free(struct sim_store *world);			/* Null is fine. */
struct store_driver *sim_store_driver(struct sim_store *world);	/* The store itself, not by a link: to look at what is. */

struct sim_link *sim_link_new(struct sim_store *world);
void sim_link_free(struct sim_link *link);			/* Null is fine. */
struct store_driver *sim_link_driver(struct sim_link *link);

void sim_link_cut(struct sim_link *link, bool is_cut);
bool sim_link_is_cut(const struct sim_link *link);
void sim_link_set_lag(struct sim_link *link, uint32_t max_ms);		/* Each way takes 0 to so long, by chance. */
void sim_link_lose_answers(struct sim_link *link, uint32_t permille);	/* Of commits. */

#endif
