/*
 * session_loop.h - for session.c and attach.c: bytes between our files and a WebSocket, until one side ends it.
 *
 * Life:    session_open(), terminal_raw_begin() where wanted, session_run(), session_done() (also when
 *          something before it failed).
 * Errors:  0 or -errno; session_run() returns the exit code.
 */
#ifndef CLI_SESSION_LOOP_H
#define CLI_SESSION_LOOP_H

#include "5-interface/cli/command.h"
#include "5-interface/cli/detach.h"
#include "5-interface/cli/terminal.h"
#include "5-interface/cli/websocket.h"

enum { SESSION_NO_ESCAPE = -1 };

struct session {
	struct cli *cli;
	struct client *client;		/* Used up by the websocket. */
	struct websocket *websocket;
	struct terminal_signals signals;
	struct terminal_raw raw;
	bool has_signals;
	bool has_channels;		/* A command; else a console. */
	int input, output, error;	/* input -1: nothing (more) goes in. */
	int escape;			/* Key that leaves, or SESSION_NO_ESCAPE. */
	struct detach *detach;		/* Keys that leave; null: none. */
	bool is_detached;		/* They were pressed. */
	bool is_attached;		/* To a container's own streams: for messages. */
	/* What to do about SIGINT and the like. Null, or returns 0: end with 128 + number. 1: go on. */
	int (*on_signal)(struct session *session, int number, struct err *err);
	void *data;
	bool has_output;		/* Something came from the other side. */
	bool has_ended;
	int exit_code;
};

int session_open(struct session *session, const char *path, struct err *err);
int session_send_size(struct session *session, struct err *err);
int session_run(struct session *session, struct err *err);
void session_done(struct session *session);

#endif
