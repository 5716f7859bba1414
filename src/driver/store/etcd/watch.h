/*
 * watch.h - one watch of etcd over everything below the prefix: bytes of the stream to whole revisions of events.
 *
 * Errors:  as of reply.h; after one the stream is to be ended.
 * Threads: one at a time.
 */
#ifndef DRIVER_STORE_ETCD_WATCH_H
#define DRIVER_STORE_ETCD_WATCH_H

#include "driver/store/etcd/link.h"
#include "driver/store/etcd/reply.h"

struct watch {				/* { 0 } but for these. */
	struct members *members;
	/* A message, whose last revision is complete; its events may be taken. Returns 0 to go on. */
	int (*on_message)(void *data, struct watch_message *message, struct err *err);
	void *data;

	/* Private. */
	struct str text;		/* Not yet a whole line. */
	size_t scanned;			/* That much of it has no end of line. */
	struct watch_message message;	/* The parts of one that came in several. */
};

int etcd_watch_feed(struct watch *watch, const char *bytes, size_t size, struct err *err);
void etcd_watch_done(struct watch *watch);

/* Everything below the prefix from 'after_revision' on until an event at 'last_revision' or later, which must exist.
 * Blocking. -ERANGE: it is compacted. */
int etcd_watch_past(struct link *link, uint64_t after_revision, uint64_t last_revision, struct store_events *events, struct err *err);

#endif
