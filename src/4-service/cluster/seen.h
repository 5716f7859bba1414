/*
 * seen.h - what this host has seen of the shared store, so that it knows one that was restored from an old backup.
 *
 * Such a store does not know of instances and volumes that were made after the backup. What belongs to no object is removed when a
 * daemon starts: here that would be disks that nobody else has. So the state folder has a file "seen" with the store's greatest
 * revision and its generation:
 *
 *	note "generation"	a number, raised each time people have accepted a restored store
 *	note "restored"		written by the first host that finds the store older than its file; while it is there no host removes
 *				what it does not know, also one that has joined since. Deleted when people accept the store
 *
 * Where the store is this host's alone there is nothing of it.
 *
 * Threads: the loop's.
 */
#ifndef SERVICE_CLUSTER_SEEN_H
#define SERVICE_CLUSTER_SEEN_H

#include "4-service/service.h"

struct seen;

/* Reads the file and judges the store. Null where there is nothing of it. */
struct seen *seen_new(struct core *core);
/* Tells the others what was found, and keeps the file up to date from now on. */
void seen_start(struct seen *seen);
void seen_free(struct seen *seen);		/* Null is fine. */

/* The store is older than what a host has seen, and nobody has accepted that yet. */
bool seen_is_restored(const struct seen *seen);		/* Null: it is not. */
#define SEEN_WARNING "the store was restored from a backup and does not know all that the hosts have: nothing unknown is removed"
#define SEEN_REMEDY "what is in no list any more (see the daemons' logs) can still be saved; then 'strata cluster accept-restored'"

#endif
