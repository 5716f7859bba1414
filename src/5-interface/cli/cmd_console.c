/* console, logs. */
#include <string.h>
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/request.h"
#include "5-interface/cli/session.h"
#include "5-interface/cli/terminal.h"
#include "base/str.h"

enum { HISTORY_BYTES = 1 << 30, BLOCK_BYTES = 64 << 10 };

static int run_console(struct cli *cli, struct err *err)
{
	return session_console(cli, cli_argument(cli, 0), SESSION_TAIL_BYTES, err);
}

/* Bytes of the last 'lines' lines. */
static size_t tail_size(const struct str *text, long lines)
{
	size_t at = text->size;

	while (at > 0) {
		if (text->data[at - 1] == '\n' && at < text->size && lines-- <= 1)
			break;
		at--;
	}
	return text->size - at;
}

static int open_logs(struct cli *cli, const char *tail_bytes, bool follows, struct err *err)
{
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "logs", NULL);
	struct client_request request = { .method = "GET", .patience_ms = follows ? -1 : 0 };
	struct client_response response;
	int result;

	if (follows)
		request_query(&path, "follow", "true");
	if (tail_bytes)
		request_query(&path, "tail", tail_bytes);
	request.path = path;
	result = client_send(cli_client(cli), &request, &response, err);
	if (result == 0 && response.status >= 400)
		return request_refused(cli_client(cli), &response, err);
	return result;
}

static int copy_logs(struct cli *cli, struct err *err)
{
	auto_free char *block = alloc(BLOCK_BYTES);

	for (;;) {
		ssize_t count = client_read(cli_client(cli), block, BLOCK_BYTES, err);
		int result;

		if (count <= 0)
			return (int)count;
		result = write_all(fileno(cli->out), block, (size_t)count, err);
		if (result < 0)
			return result;
	}
}

static int parse_lines(const char *text, long *ret_lines, struct err *err)
{
	char *end;

	*ret_lines = strtol(text, &end, 10);
	if (end == text || *end || *ret_lines < 0)
		return err_set(err, CLI_USAGE, "--tail: '%s' is not a number of lines", shown(text));
	return 0;
}

/* The daemon counts bytes: look at the whole history first. */
static int run_tail(struct cli *cli, const char *tail, struct err *err)
{
	auto_str struct str history = { 0 };
	auto_free char *bytes = NULL;
	size_t size;
	long lines;
	int result = parse_lines(tail, &lines, err);

	if (result == 0)
		result = open_logs(cli, NULL, false, err);
	if (result == 0)
		result = client_read_all(cli_client(cli), HISTORY_BYTES, &history, err);
	if (result < 0)
		return result;
	size = lines ? tail_size(&history, lines) : 0;
	if (!cli_has(cli, "follow"))
		return write_all(fileno(cli->out), str_text(&history) + history.size - size, size, err);
	bytes = text_format("%zu", size);
	result = open_logs(cli, bytes, true, err);
	return result < 0 ? result : copy_logs(cli, err);
}

static int run_logs(struct cli *cli, struct err *err)
{
	const char *tail = cli_value(cli, "tail");
	int result;

	if (tail)
		return run_tail(cli, tail, err);
	result = open_logs(cli, NULL, cli_has(cli, "follow"), err);
	return result < 0 ? result : copy_logs(cli, err);
}

const struct cli_command command_console = {
	.name = "console", .arguments = "NAME", .min = 1, .max = 1, .completes = "instances", .run = run_console,
	.summary = "Attach to the serial console of an instance",
	.more = "The end of its history is shown first. Ctrl-] leaves it; the instance goes on. Any number may watch and type.",
	.options = OPTIONS({ "escape", 0, false, "KEY", "Key that leaves, like ^X; 'none' for none." }),
	.examples = EXAMPLES("strata console web", "strata console web --escape ^X"),
};

const struct cli_command command_logs = {
	.name = "logs", .arguments = "NAME", .min = 1, .max = 1, .completes = "instances", .run = run_logs,
	.summary = "Show what an instance wrote to its console",
	.options = OPTIONS({ "follow", 'f', false, NULL, "Go on as more is written." },
		{ "tail", 'n', false, "LINES", "Only the last lines." }),
	.examples = EXAMPLES("strata logs web", "strata logs -f --tail 20 web"),
};
