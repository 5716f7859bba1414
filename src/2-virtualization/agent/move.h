/*
 * move.h - an instance goes from one node to another: the source's side (move_source.c) and the destination's (move_target.c).
 *
 *	source (has it, spec.node is another)		destination (spec.node is this one)
 *	status.move: preparing				image, networks, an empty disk; live: a machine that waits
 *							note: ready
 *	live: copies, then the guest stands still
 *	else: stops it; status.move: resting		copies the disks; note: fetched
 *	one transaction: status.node is the destination, under the condition that the note still is there
 *							the guest goes on, or starts
 *	nothing stays
 *
 * Until that transaction the source has it and the destination lets nothing run, after it the other way round. What cannot go
 * on is taken back by the source: spec.node is its own again, and the destination removes what it had made.
 */
#ifndef AGENT_MOVE_H
#define AGENT_MOVE_H

#include "2-virtualization/agent/instance_job.h"

enum { MOVE_READY_TIMEOUT_MS = 600000, MOVE_RETRY_MS = 500, MOVE_SAVE_MS = 1000 };

#define MOVE_SNAPSHOT "move"		/* Of disks at rest. */

/* The source. True: nothing else is to be done for it now. */
bool move_away(struct item *item, const struct instance *instance);
/* The source: does its machine have to end for the move? */
bool move_stops(struct item *item, const struct instance *instance);
/* The destination. */
void move_here(struct item *item, const struct instance *instance);

/* What the destination says; false: nothing, or of another move. move_note_table owns the texts. */
bool move_read_note(struct agent *agent, const struct instance *instance, struct move_note *ret_note);
char *move_key(const char *instance_uid);

/* A disk that the other node does not see. */
struct move_disk { char *id; /* "root" or a volume's uid */ char *volume; struct volume_driver *driver; };
struct move_disks { VEC(struct move_disk) items; };
void move_disks_of(struct agent *agent, const struct instance *instance, struct move_disks *ret_disks);
struct move_disks *move_disks_new(struct agent *agent, const struct instance *instance);
void move_disks_free(struct move_disks *disks);		/* Null is fine. */
void move_disks_done(struct move_disks *disks);
/* Ids, null-terminated; null when there are none. The array is the caller's, the texts are borrowed. */
const char **move_disk_ids(const struct move_disks *disks);

/* In the worker of the destination: what GET .../disk?<query> gives. -ENOENT: there is no such. */
int move_fetch(const struct instance_job *job, const char *query, const char *path, struct err *err);
/* The step STEP_RECEIVE, before the machine is made, and STEP_FETCH. */
int move_make_disks(struct instance_job *job, struct err *err);
int move_fetch_disks(struct instance_job *job, struct err *err);
int move_fetch_files(struct instance_job *job, struct err *err);

#endif
