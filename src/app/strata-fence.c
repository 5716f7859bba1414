/*
 * strata-fence.c - the watchdog that stratad starts beside itself: driver/fence/process/watchdog.h.
 *
 * A program of its own, so that little of it can fail and its memory, all locked, is small.
 */
#include <stdio.h>
#include <string.h>

#include "driver/fence/process/watchdog.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"Usage: strata-fence DIR\n"
	"\n"
	"Ends the instances of this host that have 'ha: restart' when the host has lost its lease in the cluster.\n"
	"stratad starts it; DIR is where both keep the deadline. SIGTERM ends it when nothing that it guards runs.\n";

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("strata-fence " STRATA_VERSION) < 0;
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(usage, stdout) < 0;
	if (argc != 2 || argv[1][0] != '/') {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return fence_watchdog_run(argv[1]);
}
