#include "5-interface/cli/commands.h"
#include "5-interface/cli/session.h"

static int run_console(struct cli *cli, struct err *err)
{
	return session_console(cli, cli_argument(cli, 0), SESSION_TAIL_BYTES, err);
}

const struct cli_command command_console = {
	.name = "console", .arguments = "NAME", .min = 1, .max = 1, .completes = "instances", .run = run_console,
	.summary = "Attach to the serial console of an instance",
	.more = "The end of its history is shown first. Ctrl-] leaves it; the instance goes on. Any number may watch and type.",
	.options = OPTIONS({ "escape", 0, false, "KEY", "Key that leaves, like ^X; 'none' for none." }),
	.examples = EXAMPLES("strata console web", "strata console web --escape ^X"),
};
