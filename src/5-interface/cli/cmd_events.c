#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/output.h"
#include "base/str.h"
#include "base/units.h"
#include "model/event.h"

enum { BLOCK_BYTES = 64 << 10, LINE_BYTES = 1 << 20 };

/* The daemon sends one JSON object per line. */

static bool is_wanted(const struct cli *cli, const struct event *event)
{
	const char *kind = cli_value(cli, "kind"), *name = cli_argument(cli, 0);

	return (!kind || text_equal(kind, event->kind)) && (!name || text_equal(name, event->name)) &&
		(!cli_has(cli, "warnings") || event->is_warning);
}

static void print_event(struct cli *cli, const struct event *event)
{
	char at[UNITS_TEXT_SIZE], buffer[512];

	fprintf(cli->out, "%s  %-8s  %-16s  %s", units_format_time(event->at, at), shown(event->kind ? event->kind : ""),
		shown(event->name ? event->name : ""), shown(event->type ? event->type : ""));
	if (event->text)
		fprintf(cli->out, ": %s", text_shown(event->text, 500, buffer, sizeof(buffer)));
	fputc('\n', cli->out);
}

static int take_line(struct cli *cli, const char *line, size_t size, bool is_json, struct err *err)
{
	auto_json struct json *json = NULL;
	struct event event = { 0 };
	int result = json_parse(line, size, &json, err);

	if (result == 0)
		result = field_decode(&event_table, json, FIELD_STORED, "", &event, err);
	if (result == 0 && is_wanted(cli, &event)) {
		if (is_json)
			fprintf(cli->out, "%.*s\n", (int)size, line);
		else
			print_event(cli, &event);
	}
	field_done(&event_table, &event);
	return result < 0 ? err_prefix(err, "the daemon's events") : 0;
}

static int copy_events(struct cli *cli, bool is_json, struct err *err)
{
	auto_str struct str text = { 0 };

	for (;;) {
		ssize_t count;
		size_t used = 0;
		char *end;

		str_reserve(&text, BLOCK_BYTES);
		count = client_read(cli_client(cli), text.data + text.size, BLOCK_BYTES, err);
		if (count <= 0)
			return (int)count;
		text.size += (size_t)count;
		text.data[text.size] = '\0';
		while ((end = memchr(text.data + used, '\n', text.size - used))) {
			size_t size = (size_t)(end - text.data) - used;
			int result = size ? take_line(cli, text.data + used, size, is_json, err) : 0;

			if (result < 0)
				return result;
			used += size + 1;
		}
		str_remove_front(&text, used);
		if (fflush(cli->out) != 0)
			return err_set(err, -errno, "write the output: %m");
		if (text.size > LINE_BYTES)
			return err_set(err, -EPROTO, "the daemon's events: a line of more than %d bytes", LINE_BYTES);
	}
}

static int run_events(struct cli *cli, struct err *err)
{
	bool follows = cli_has(cli, "follow");
	auto_free char *path = request_path("events", NULL);
	struct client_request request = { .method = "GET", .patience_ms = follows ? -1 : 0 };
	struct client_response response;
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result < 0)
		return result;
	if (form != OUTPUT_TABLE && form != OUTPUT_JSON)
		return err_set(err, CLI_USAGE, "--output: events are lines: use table or json");
	if (cli_value(cli, "after"))
		request_query(&path, "after", cli_value(cli, "after"));
	if (follows)
		request_query(&path, "follow", "true");
	request.path = path;
	result = client_send(cli_client(cli), &request, &response, err);
	if (result == 0 && response.status >= 400)
		return request_refused(cli_client(cli), &response, err);
	return result < 0 ? result : copy_events(cli, form == OUTPUT_JSON, err);
}

const struct cli_command command_events = {
	.name = "events", .arguments = "[NAME]", .max = 1, .completes = "instances", .run = run_events,
	.summary = "Show what has happened",
	.options = OPTIONS({ "follow", 'f', false, NULL, "Go on as more happens." },
		{ "after", 0, false, "ID", "Only events with a higher id." },
		{ "kind", 'k', false, "KIND", "Only of this kind of resource." },
		{ "warnings", 'w', false, NULL, "Only what somebody may want to look at." },
		{ "output", 'o', false, "FORMAT", "table or json (one object per line)." }),
	.examples = EXAMPLES("strata events", "strata events -f web", "strata events --kind image -o json"),
};
