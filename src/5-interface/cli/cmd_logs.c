/* logs: the daemon counts the lines and compares the times. */
#include <ctype.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/request.h"
#include "5-interface/cli/terminal.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"

enum { BLOCK_BYTES = 64 << 10 };

static int check_lines(const char *text, struct err *err)
{
	size_t digits = 0;

	while (isdigit((unsigned char)text[digits]))
		digits++;
	if (!digits || text[digits])
		return err_set(err, CLI_USAGE, "--tail: '%s' is not a number of lines", shown(text));
	return 0;
}

/* A duration counts back from now, by our clock; a day alone begins at midnight, UTC. */
static int read_since(const char *text, char at[UNITS_TEXT_SIZE], struct err *err)
{
	auto_free char *midnight = text_format("%sT00:00:00Z", text);
	int64_t ms;

	if (units_parse_duration(text, &ms, err) == 0)
		ms = clock_wall_ms() - ms;
	else if (units_parse_time(text, &ms, err) < 0 && units_parse_time(midnight, &ms, err) < 0)
		return err_set(err, CLI_USAGE, "--since: '%s' is neither a time nor a duration: use one like 2026-11-23T10:00:00Z or 10m",
			       shown(text));
	units_format_time(ms, at);
	return 0;
}

static int logs_path(const struct cli *cli, char **ret_path, struct err *err)
{
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "logs", NULL);
	const char *lines = cli_value(cli, "tail"), *since = cli_value(cli, "since");
	char at[UNITS_TEXT_SIZE];
	int result = lines ? check_lines(lines, err) : 0;

	if (result == 0 && since)
		result = read_since(since, at, err);
	if (result < 0)
		return result;
	if (cli_has(cli, "follow"))
		request_query(&path, "follow", "true");
	if (lines)
		request_query(&path, "lines", lines);
	if (since)
		request_query(&path, "since", at);
	if (cli_has(cli, "timestamps"))
		request_query(&path, "timestamps", "true");
	*ret_path = take(path);
	return 0;
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

static int run_logs(struct cli *cli, struct err *err)
{
	struct client_request request = { .method = "GET", .patience_ms = cli_has(cli, "follow") ? -1 : 0 };
	struct client_response response;
	auto_free char *path = NULL;
	int result = logs_path(cli, &path, err);

	if (result < 0)
		return result;
	request.path = path;
	result = client_send(cli_client(cli), &request, &response, err);
	if (result == 0 && response.status >= 400)
		return request_refused(cli_client(cli), &response, err);
	return result < 0 ? result : copy_logs(cli, err);
}

const struct cli_command command_logs = {
	.name = "logs", .arguments = "NAME", .min = 1, .max = 1, .completes = "instances", .run = run_logs,
	.summary = "Show what an instance wrote",
	.more = "Of a vm to its console, of a container to its standard output and error.",
	.options = OPTIONS({ "follow", 'f', false, NULL, "Go on as more is written." },
		{ "tail", 'n', false, "LINES", "Only the last lines." },
		{ "since", 's', false, "TIME|DURATION", "Only what came after it, or in so long: 10m." },
		{ "timestamps", 't', false, NULL, "Put the time before each line." }),
	.examples = EXAMPLES("strata logs web", "strata logs -f --tail 20 web", "strata logs web --since 10m --timestamps",
			     "strata logs web --since 2026-11-23T10:00:00Z"),
};
