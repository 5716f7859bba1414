/*
 * stream.h - the watch that runs as long as the store is open, in a thread of its own.
 *
 * It collects whole revisions of events in order, each once. A stream that breaks is resumed at the next member where it
 * ended; when the history from there is compacted meanwhile the stream is "lost", until somebody who has read everything
 * anew says from which revision on it shall continue.
 *
 * Threads: all functions from any, but open and close.
 */
#ifndef DRIVER_STORE_ETCD_STREAM_H
#define DRIVER_STORE_ETCD_STREAM_H

#include "driver/store/etcd/link.h"

struct stream;

int etcd_stream_open(struct members *members, uint64_t after_revision, struct stream **ret_stream, struct err *err);
void etcd_stream_close(struct stream *stream);		/* Null is fine. */

/* Are events after 'after_revision' still at hand? Otherwise they are to be read from etcd (etcd_watch_past). */
bool etcd_stream_reaches_back(struct stream *stream, uint64_t after_revision);

/*
 * Appends the events after 'after_revision' of keys with 'prefix'. Waits until it has those up to 'needed_revision', at
 * which there is an event below the prefix of the settings; -ETIMEDOUT. -ERANGE: lost. Whoever asks for all keys
 * has seen everything up to 'after_revision': it is forgotten, and a lost stream continues there.
 */
int etcd_stream_read(struct stream *stream, const char *prefix, uint64_t after_revision, uint64_t needed_revision,
		struct store_events *events, struct err *err);

/* As store_ops.wait_events; true also when the stream is lost, so that somebody comes and learns it. */
bool etcd_stream_wait(struct stream *stream, uint64_t after_revision, uint32_t timeout_ms);
/* From now on it waits no more. */
void etcd_stream_wake(struct stream *stream);

#endif
