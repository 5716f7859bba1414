/*
 * simulation.h - between the files of the simulation: fleet.c has the nodes, client.c asks for instances, faults.c does harm, check.c looks,
 * run.c plays.
 */
#ifndef APP_SIMULATE_SIMULATION_H
#define APP_SIMULATE_SIMULATION_H

#include "4-service/cluster/lease.h"
#include "4-service/core.h"
#include "app/simulate/host.h"
#include "app/simulate/simulate.h"

struct sim_node {
	struct sim_host host;
	/* While its daemon runs; of node 0 the core has them. */
	struct agent *agent;
	struct lease lease;
	bool is_faulty;			/* Something was done to it that is not over. */
};

enum wish { WISH_NEW, WISH_ASKED, WISH_MADE, WISH_REFUSED };

struct client {
	struct rng rng;
	uint32_t next;			/* The first that was never asked for. */
	uint32_t made, refused;
	uint8_t *wishes;		/* enum wish, by number of the instance. */
	VEC(uint32_t) again;		/* To be asked once more. */
	VEC(struct asked *) asked;	/* Under way. */
	struct loop_source *timer;	/* Until asking goes on. */
	char refusal[200];		/* The last one. */
};

/* Something to be done between two turns. */
enum deed { DEED_FAULT, DEED_RECOVER };
struct due { enum deed deed; enum simulate_fault fault; uint32_t node; };

struct simulation {
	struct simulate_options options;
	struct sim_house house;
	char directory[64];
	struct sim_link *cache_link;
	struct store *cache_store;
	struct objects *objects;
	struct sim_node *nodes;
	struct json *settings;		/* Of the core. */
	struct view *view;
	struct core *core;		/* On node 0; null while it is lost. */
	struct rng core_rng, fault_rng;
	struct client client;
	VEC(struct due) due;
	bool is_second_over, is_over;	/* Set by timers. */
	unsigned faulty;		/* Nodes. */
	uint64_t steps;
	char broken[256];
};

uint64_t simulation_now(const struct simulation *simulation);

/* fleet.c */
int fleet_open(struct simulation *simulation, struct err *err);
void fleet_close(struct simulation *simulation);
int fleet_start(struct simulation *simulation, uint32_t node, struct err *err);		/* Its daemon. */
void fleet_stop(struct simulation *simulation, uint32_t node);				/* As kill -9. */
uint32_t fleet_ready(struct simulation *simulation);					/* How many nodes are. */

/* client.c */
void client_init(struct client *client, const struct simulation *simulation);
void client_done(struct client *client);
/* Asks for pools and networks; afterwards for as many instances as may be under way. */
int client_prepare(struct simulation *simulation, struct err *err);
void client_ask(struct simulation *simulation, uint32_t up_to);		/* Numbers below that. */
void client_lost_core(struct simulation *simulation);				/* No answer comes any more. */
bool client_is_done(const struct simulation *simulation);
char *client_name(uint32_t number);

/* faults.c */
void faults_begin(struct simulation *simulation);
void faults_do(struct simulation *simulation);					/* What is due. */

/* check.c */
void check_step(struct simulation *simulation);
void check_second(struct simulation *simulation);
struct tally { uint32_t running, explained, lost; char why_not[200], silent[64]; };
struct tally check_all(struct simulation *simulation);		/* Of what was acknowledged and should run. */
void check_end(struct simulation *simulation);

#endif
