/*
 * objects.h - every object of the store, decoded, kept current by a watch.
 *
 * Keys:  desired/<kind>/<uid>         {"meta", "spec"}   written by the service
 *        observed/<kind>/<uid>        the status         written by the agent of the node that has the object
 *        observed/<kind>/<uid>/<node> the same of what every node has its part of
 *        claim/...                    see model/claim.h
 *        event/<wall clock>-...       see model/event.h
 *        all others                   notes: small values that are no object (docs/decisions/0017-cluster.md)
 *
 * Several nodes may share a store; each has such a cache, which says of each object whose it is.
 *
 * Readers get pointers into the cache; they are valid until the loop's next turn.  Writers build a
 * store transaction; the cache follows when it has been committed (before the transaction's
 * 'done' runs: see store.h).
 *
 * Threads: the loop's.
 */
#ifndef VIRTUALIZATION_OBJECTS_H
#define VIRTUALIZATION_OBJECTS_H

#include "base/map.h"
#include "model/claim.h"
#include "model/event.h"
#include "model/kind.h"
#include "port/store.h"

struct objects;

enum objects_change {
	OBJECTS_DESIRED,
	OBJECTS_OBSERVED,
	OBJECTS_REMOVED,
	OBJECTS_TOUCHED,		/* Volatile status only. */
	OBJECTS_LEFT,			/* Listeners of a node only: it does not concern this node any more. */
};

/* 'object' is the new state; with OBJECTS_REMOVED the last one, freed after the call. */
typedef void objects_changed_fn(void *data, const struct kind *kind, void *object, enum objects_change change);
typedef void objects_event_fn(void *data, const struct event *event, const char *json, size_t size);

/* Blocking: reads everything. 'node': the uid of the node that this process stands for. */
int objects_open(struct store *store, struct loop *loop, const char *node, struct objects **ret_objects, struct err *err);
void objects_close(struct objects *objects);
void objects_listen(struct objects *objects, objects_changed_fn *changed, objects_event_fn *event, void *data);
/* All that this 'data' listens to, but for a node. */
void objects_unlisten(struct objects *objects, const void *data);
/* Only of what concerns the node. One listener per node; null 'changed' ends it. */
void objects_listen_node(struct objects *objects, const char *node, objects_changed_fn *changed, void *data);
/* The events that were there at the start, oldest first; once. */
void objects_take_events(struct objects *objects, objects_event_fn *fn, void *data);

void *objects_get(struct objects *objects, enum kind_id kind, const char *uid);		/* Null when absent; uid may be null. */
/* 'parent': uid for snapshots, else null. */
void *objects_find(struct objects *objects, enum kind_id kind, const char *parent, const char *name);
/* All of a kind: entries[i].value is the object; in no order. */
const struct map *objects_all(struct objects *objects, enum kind_id kind);

/* Instances by uid, as of objects_all(): those that the node has, and those that use the volume. */
const struct map *objects_at(struct objects *objects, const char *node);
const struct map *objects_users(struct objects *objects, const char *volume);

/*
 * Who has the object, and writes its status: uid of a node, or null: every node has its part of it (a network, a
 * pool that all can reach). "" is the only node there is: objects that were made before there were several.
 */
const char *objects_owner(struct objects *objects, const struct kind *kind, const void *object);
/* Has the node to care: it has the object or a part of it, or an instance is to come to it? */
bool objects_concern(struct objects *objects, const struct kind *kind, const void *object, const char *node);
/* Has that node its part of what every node has a part of? */
bool objects_has_part(struct objects *objects, const char *uid, const char *node);

/* Keys that are no object: "leader", "alive/<node>", ... */
struct note { char *value; size_t size; uint64_t revision; };
typedef void objects_note_fn(void *data, const char *key, const struct note *note /* null: gone */);
const struct note *objects_note(struct objects *objects, const char *key);		/* Null: absent. */
/* Every note whose key begins with 'prefix', in no order. */
void objects_each_note(struct objects *objects, const char *prefix, objects_note_fn *fn, void *data);
void objects_listen_notes(struct objects *objects, const char *prefix, objects_note_fn *fn, void *data);

/* Tells the listeners that volatile fields of status were changed in the cache. */
void objects_touch(struct objects *objects, const struct kind *kind, void *object);

/* Parts of a transaction. 'guard': the object must be unchanged since the cached state was read. */
void objects_guard(struct objects *objects, struct store_txn *txn, const struct kind *kind, const char *uid);
void objects_put_desired(struct store_txn *txn, const struct kind *kind, const void *object);
/* Written by 'node'. */
void objects_put_status(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object, const char *node);
/* The same with another status than the object has. */
void objects_put_status_of(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object, const void *status,
			   const char *node);
/* Takes what 'next' claims and 'old' (may be null) does not, gives back what 'next' (may be null) no longer claims. */
void objects_put_claims(struct store_txn *txn, const struct kind *kind, const void *old, const void *next);
/* Everything of the object: desired, observed, claims. */
void objects_delete(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object);
/* The node has cleaned up: its part goes, and with the last part of a node that is alive the object. True: all of it goes. */
bool objects_delete_part(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object, const char *node);
/* Parts of this node whose objects are no more: it was away when they went. True: there are some. */
bool objects_delete_orphans(struct objects *objects, struct store_txn *txn);
/* An event; also forgets the oldest beyond LIMIT_EVENTS_KEPT. */
void objects_put_event(struct objects *objects, struct store_txn *txn, const struct kind *kind, const struct meta *meta,
		       const char *type, bool is_warning, const char *format, ...) __attribute__((format(printf, 7, 8)));

/* In words, what the claim with this key is ("name 'web'"); null when 'object' does not claim it. */
const char *objects_claim_text(const struct kind *kind, const void *object, const char *key, char *buffer, size_t buffer_size);
bool objects_is_claimed(struct objects *objects, const char *key);

#endif
