#include <string.h>
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/request.h"
#include "5-interface/cli/session.h"
#include "5-interface/cli/spec_text.h"
#include "5-interface/cli/terminal.h"
#include "base/str.h"

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
	json_set(request, "stdin", json_new_bool(has_terminal || cli_has(cli, "interactive")));
	if (cli_value(cli, "directory"))
		json_set(request, "directory", json_new_string(cli_value(cli, "directory")));
	result = add_environment(cli, request, err);
	return result < 0 ? result : session_exec(cli, cli_argument(cli, 0), request, err);
}

const struct cli_command command_exec = {
	.name = "exec", .arguments = "NAME [--] COMMAND [ARGUMENT...]", .min = 2, .max = -1, .passes_after = 1,
	.completes = "instances", .run = run_exec,
	.summary = "Run a command inside an instance",
	.more = "Its output and exit code become ours. The guest needs a running agent.",
	.options = OPTIONS({ "interactive", 'i', false, NULL, "Pass our standard input to it." },
		{ "terminal", 't', false, NULL, "Give it a terminal (implies -i)." },
		{ "env", 'e', true, "NAME=VALUE", "Set a variable of its environment." },
		{ "directory", 'w', false, "DIR", "Folder it starts in." }),
	.examples = EXAMPLES("strata exec web -- uname -a", "strata exec -t web -- sh", "strata exec -i web -- tee /tmp/notes < notes",
			     "strata exec -e LANG=C -w /srv web -- ls -l"),
};
