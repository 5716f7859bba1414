/*
 * process.h - names of what Linux gives and sends processes: capabilities(7), signal(7).
 *
 * Errors:  -EINVAL with an example.
 */
#ifndef MODEL_PROCESS_H
#define MODEL_PROCESS_H

#include "base/err.h"

enum { CAPABILITY_COUNT = 41 };
extern const char *const capability_names[CAPABILITY_COUNT];	/* By number: "CHOWN", "DAC_OVERRIDE", ... */

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". 0: there is no such signal. */
int signal_number(const char *text);

/* For field tables. "ALL" is a capability there too; "CAP_" before it and small letters are fine. */
int capability_check(const void *text, struct err *err);
int signal_check(const void *text, struct err *err);

#endif
