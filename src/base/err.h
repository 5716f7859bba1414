/*
 * err.h - one way to report a failure.
 *
 * A function that can fail returns 0 or -errno and takes 'struct err *err'
 * last; the reason is written there only on failure.  The struct lives on the
 * caller's stack and owns nothing.  A message says what was wrong, with the
 * value, and what to do; it is shown to people unchanged.
 *
 * Threads: every function here may be called from any thread.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
	int code;		/* -errno */
	char msg[480];		/* UTF-8, no newline, cut at the end (between characters) if too long. */
};

/* Returns 'code'.  '%m' in the format explains 'code'. */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message; returns the code, for 'return err_prefix(...)'. */
int err_prefix(struct err *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The one table from codes to the outside: HTTP status (RFC 9110), exit code
 * (0 ok, 1 failed, 2 usage, 75 try again), and back from an HTTP status. */
int err_http_status(int code);
int err_exit_code(int code);
int err_from_http_status(int status);

#endif
