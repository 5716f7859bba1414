#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/request.h"
#include "5-interface/cli/session.h"
#include "5-interface/cli/spec_text.h"
#include "5-interface/cli/terminal.h"
#include "5-interface/cli/wait.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"

enum { PIPE_WAIT_MS = 100, BOOT_MS = 60000 };

static int add_environment(const struct cli *cli, struct json *request, struct err *err)
{
	const char *text;

	for (size_t i = 0; (text = cli_value_at(cli, "env", i)); i++) {
		if (!strchr(text, '=') || text[0] == '=')
			return err_set(err, CLI_USAGE, "--env: '%s' is not NAME=VALUE", shown(text));
		spec_label(text, spec_member(request, "env"), err);
	}
	/* What a program on a terminal asks for first. */
	if (cli_has(cli, "terminal") && getenv("TERM") && !json_path(request, "env.TERM"))
		json_set(spec_member(request, "env"), "TERM", json_new_string(getenv("TERM")));
	return 0;
}

/*
 * Without -i: what is piped into us is passed all the same, but a pipe in which nothing lies is left alone,
 * for the guest agent starts a command only when its input has ended.
 */
static bool has_piped_input(void)
{
	struct pollfd pollfd = { .fd = STDIN_FILENO, .events = POLLIN };

	return !isatty(STDIN_FILENO) && poll(&pollfd, 1, PIPE_WAIT_MS) > 0;
}

/* A machine that was started just now gets the time to boot. */
static int wait_for_agent(struct cli *cli, const char *name, struct err *err)
{
	auto_free char *path = request_path("instances", name, NULL);
	auto_json struct json *json = NULL;
	int64_t started_at = 0;
	int result = request_json(cli, "GET", path, NULL, &json, err);

	if (result < 0)
		return result;
	units_parse_time(json_string(json_path(json, "status.started_at"), ""), &started_at, err);
	if (json_bool(json_path(json, "status.agent"), false) || clock_wall_ms() - started_at > BOOT_MS ||
	    json_string(json_path(json, "status.lost"), NULL) ||
	    !text_equal(json_string(json_path(json, "status.state"), ""), "running"))
		return 0;			/* The daemon says what is wrong, if anything is. */
	return wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = name, .look = wait_until_agent,
			.default_timeout_ms = BOOT_MS, .is_patient = true }, err);
}

static int run_exec(struct cli *cli, struct err *err)
{
	auto_json struct json *request = json_new_object();
	struct json *argv = json_new_array();
	bool has_terminal = cli_has(cli, "terminal");
	unsigned short rows, columns;
	int result;

	json_set(request, "argv", argv);
	for (size_t i = 1; i < cli_argument_count(cli); i++)
		json_push(argv, json_new_string(cli_argument(cli, i)));
	if (has_terminal && !isatty(STDIN_FILENO))
		return err_set(err, -ENOTTY, "--terminal: our own input is not a terminal: leave -t out");
	terminal_size(STDOUT_FILENO, &rows, &columns);
	json_set(request, "terminal", json_new_bool(has_terminal));
	json_set(request, "rows", json_new_int(rows));
	json_set(request, "columns", json_new_int(columns));
	json_set(request, "stdin", json_new_bool(has_terminal || cli_has(cli, "interactive") || has_piped_input()));
	if (cli_value(cli, "directory"))
		json_set(request, "directory", json_new_string(cli_value(cli, "directory")));
	if (cli_value(cli, "user"))
		json_set(request, "user", json_new_string(cli_value(cli, "user")));
	result = add_environment(cli, request, err);
	if (result == 0)
		result = wait_for_agent(cli, cli_argument(cli, 0), err);
	return result < 0 ? result : session_exec(cli, cli_argument(cli, 0), request, err);
}

const struct cli_command command_exec = {
	.name = "exec", .arguments = "NAME [--] COMMAND [ARGUMENT...]", .min = 2, .max = -1, .passes_after = 1,
	.completes = "instances", .run = run_exec,
	.summary = "Run a command inside an instance",
	.more = "Its output and exit code become ours. A vm needs a running guest agent for it, a container nothing.",
	.options = OPTIONS({ "interactive", 'i', false, NULL, "Pass our standard input to it, also when it is slow to come." },
		{ "terminal", 't', false, NULL, "Give it a terminal (implies -i)." },
		{ "env", 'e', true, "NAME=VALUE", "Set a variable of its environment." },
		{ "user", 'u', false, "USER[:GROUP]", "Who it runs as; of a container." },
		{ "directory", 'w', false, "DIR", "Folder it starts in." }),
	.examples = EXAMPLES("strata exec web -- uname -a", "strata exec -it web -- sh", "strata exec -i web -- tee /tmp/notes < notes",
			     "strata exec -e LANG=C -w /srv web -- ls -l", "strata exec -u www-data web -- id"),
};
