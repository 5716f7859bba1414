/*
 * objects.h - every object of the store, decoded, kept current by a watch.
 *
 * Keys:  desired/<kind>/<uid>   {"meta", "spec"}      written by the service
 *        observed/<kind>/<uid>  the status            written by the object's agent
 *        claim/...              see model/claim.h
 *        event/<20 digits>      see model/event.h
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

enum objects_change { OBJECTS_DESIRED, OBJECTS_OBSERVED, OBJECTS_REMOVED, OBJECTS_TOUCHED /* volatile status only */ };

/* 'object' is the new state; with OBJECTS_REMOVED the last one, freed after the call. */
typedef void objects_changed_fn(void *data, const struct kind *kind, void *object, enum objects_change change);
typedef void objects_event_fn(void *data, const struct event *event, const char *json, size_t size);

/* Blocking: reads everything. */
int objects_open(struct store *store, struct loop *loop, struct objects **ret_objects, struct err *err);
void objects_close(struct objects *objects);
void objects_listen(struct objects *objects, objects_changed_fn *changed, objects_event_fn *event, void *data);

void *objects_get(struct objects *objects, enum kind_id kind, const char *uid);		/* Null when absent; uid may be null. */
/* 'parent': uid for snapshots, else null. */
void *objects_find(struct objects *objects, enum kind_id kind, const char *parent, const char *name);
/* All of a kind: entries[i].value is the object; in no order. */
const struct map *objects_all(struct objects *objects, enum kind_id kind);

/* Tells the listeners that volatile fields of status were changed in the cache. */
void objects_touch(struct objects *objects, const struct kind *kind, void *object);

/* Parts of a transaction. 'guard': the object must be unchanged since the cached state was read. */
void objects_guard(struct objects *objects, struct store_txn *txn, const struct kind *kind, const char *uid);
void objects_put_desired(struct store_txn *txn, const struct kind *kind, const void *object);
void objects_put_status(struct store_txn *txn, const struct kind *kind, const void *object);
/* Takes what 'next' claims and 'old' (may be null) does not, gives back what 'next' (may be null) no longer claims. */
void objects_put_claims(struct store_txn *txn, const struct kind *kind, const void *old, const void *next);
/* Everything of the object: desired, observed, claims. */
void objects_delete(struct store_txn *txn, const struct kind *kind, const void *object);
/* An event; also forgets the oldest beyond LIMIT_EVENTS_KEPT. */
void objects_put_event(struct objects *objects, struct store_txn *txn, const struct kind *kind, const struct meta *meta,
		       const char *type, bool is_warning, const char *format, ...) __attribute__((format(printf, 7, 8)));

/* In words, what the claim with this key is ("name 'web'"); null when 'object' does not claim it. */
const char *objects_claim_text(const struct kind *kind, const void *object, const char *key, char *buffer, size_t buffer_size);
bool objects_is_claimed(struct objects *objects, const char *key);

#endif
