/*
 * attach.h - this terminal, or these pipes, connected with the standard streams of a container.
 *
 * The keys of --detach-keys leave it while it goes on. Without a terminal in raw mode Ctrl-C and SIGTERM
 * ask the container to stop, and then wait for its end; the second time they leave it.
 */
#ifndef CLI_ATTACH_H
#define CLI_ATTACH_H

#include <stdint.h>

#include "5-interface/cli/command.h"

#define ATTACH_OPTIONS \
	{ "detach-keys", 0, false, "KEYS", "Keys that leave it (ctrl-p,ctrl-q); 'none' for none." }, \
	{ "no-signals", 0, false, NULL, "Ctrl-C leaves it instead of stopping it." }

/* Returns the exit code of the container, 0 when it was left. 'is_new': it is only being started, and may have ended already. */
int attach(struct cli *cli, const char *name, bool is_new, int64_t tail_bytes, struct err *err);

#endif
