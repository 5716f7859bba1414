/*
 * terminal.h - the terminal and the signals of this process.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <termios.h>

#include "base/err.h"

/*
 * Signals that end or resize, as a readable fd instead of a sudden end, from _begin to _end.
 * SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGWINCH.
 */
struct terminal_signals {
	int fd;
	sigset_t before;
};
int terminal_signals_begin(struct terminal_signals *signals, struct err *err);
int terminal_signals_next(const struct terminal_signals *signals);	/* A signal number, or 0. */
void terminal_signals_end(struct terminal_signals *signals);

/* Every key as it is, no echo, from _begin to _end. Not a terminal: nothing happens. */
struct terminal_raw {
	bool is_raw;
	int fd;
	struct termios before;
};
int terminal_raw_begin(struct terminal_raw *raw, int fd, struct err *err);
void terminal_raw_end(struct terminal_raw *raw);

/* 24 x 80 when 'fd' is no terminal. */
void terminal_size(int fd, unsigned short *ret_rows, unsigned short *ret_columns);

/* Writes everything, waiting where it must; -EPIPE without a message when nobody reads any more. */
int write_all(int fd, const void *bytes, size_t size, struct err *err);

#endif
