/*
 * placement.h - who runs where: the scheduling floor's ledger, kept current with the instances that should run.
 *
 * An instance counts while its power is on. Admitting one enters it at once, before it is stored, so that the next request
 * sees it; placement_sync() makes the ledger agree with what is stored: after every change of an instance, and after one
 * that failed. What runs already is never refused: where it does not fit any more (a smaller host, other settings) it is
 * counted as all that is left.
 *
 * Among nodes that will do, those that are busy right now (busy.h) come last. placement_look() finds out; it is called before something is placed.
 *
 * Errors: -ENOSPC, naming host and amounts, and what could be done. Threads: the loop's.
 */
#ifndef SERVICE_PLACEMENT_H
#define SERVICE_PLACEMENT_H

#include "1-hardware/telemetry/load_source.h"
#include "base/json.h"
#include "base/map.h"
#include "model/config.h"
#include "model/instance.h"
#include "model/node.h"

struct placement;

struct placement *placement_new(const struct config *config);
void placement_free(struct placement *placement);
/* A node is there, or has changed: what it has, its labels, whether it takes new instances. */
void placement_set_node(struct placement *placement, const struct node *node, bool takes_new);
/* Fills in what is promised to what runs there. */
void placement_fill_node(const struct placement *placement, struct node *node);
/* Settings have changed: everything is entered anew. What had too little room before is counted whole by placement_sync(). */
void placement_configure(struct placement *placement, const struct config *config);

/* How loaded are the nodes that take instances? Not asked again within PLACEMENT_LOOK_MS. 'source' without functions: nobody is busy. */
enum { PLACEMENT_LOOK_MS = 50 };
void placement_look(struct placement *placement, const struct load_source *source, uint64_t now_ms);

/* Chooses a node for an instance that has none yet ('home': this one, by its uid; null: any); checks that there is room where it has one. */
int placement_admit(struct placement *placement, struct instance *instance, const char *home, struct err *err);
/* The same for one that goes from the node it has to 'to', or, null, to any other one; its room where it is now is given back. */
int placement_admit_move(struct placement *placement, struct instance *instance, const char *to, struct err *err);
/* Why here, why not there: an array of one object per node, as of body_placement_table. */
void placement_explain(struct placement *placement, const struct instance *instance, struct json_writer *writer);
/*
 * Where would all that runs on the node go, if it had to? An array of one object per instance, as of body_move_table.
 * 'name_of' gives the name of an instance by its uid.
 */
typedef const char *placement_name_fn(void *data, const char *uid);
int placement_what_if_drain(struct placement *placement, const char *node_uid, placement_name_fn *name_of, void *data,
			    struct json_writer *writer, struct err *err);
/* Is what was promised on each node the sum of what runs there, and, unless null, is that what 'instances' say? Else -EUCLEAN. */
int placement_check(const struct placement *placement, const struct map *instances, struct err *err);
/* 'instance' as it is stored; null: there is none with this uid. */
void placement_sync(struct placement *placement, const char *uid, const struct instance *instance);

#endif
