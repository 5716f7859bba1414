/*
 * streams.h - what the sessions of a client with a guest share (streams.c, attach.c).
 */
#ifndef SERVICE_STREAMS_H
#define SERVICE_STREAMS_H

#include "4-service/service.h"

/* A pipe whose ends go to 'ours' and 'theirs'; is_inbound: we read. */
int stream_pipe(int *ours, int *theirs, bool is_inbound, struct err *err);
void streams_close(struct call_fds *fds);
/* The one line of JSON that says how it ended: 'err', when its code is not 0, or the exit code. */
void stream_write_result(int fd, int exit_code, const struct err *err);

/* Attached clients look whether their instance has come up or ended. */
void attach_wake(struct core *core, const struct instance *instance);

#endif
