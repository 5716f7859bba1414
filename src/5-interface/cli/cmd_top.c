/*
 * top, stats: rates come from two samples of the counters in status.usage. What is not there is not shown: daemons of
 * different versions count different things.
 */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/output.h"
#include "5-interface/cli/terminal.h"
#include "base/map.h"
#include "base/units.h"

enum { TOP_PERIOD_MS = 2000, FLOWS = 4 };

static const char *const flow_fields[FLOWS] = { "disk_read_bytes", "disk_write_bytes", "net_receive_bytes", "net_transmit_bytes" };

struct sample {
	int64_t at_ms;			/* 0: there was none yet. */
	uint64_t flows[FLOWS];
};

struct samples { struct sample last, before; };

struct top {
	struct cli *cli;
	bool has_limits;		/* stats */
	struct map samples;		/* By uid: struct samples *. */
};

/* After one look only: the total since the start. */
static void add_flow(struct table *table, uint64_t now, uint64_t before, int64_t passed_ms)
{
	char text[UNITS_TEXT_SIZE];

	if (passed_ms <= 0 || now < before)
		table_cell(table, "%s", units_format_size(now, text));
	else
		table_cell(table, "%s/s", units_format_size((now - before) * 1000 / (uint64_t)passed_ms, text));
}

/* What is in force, else what was asked for; 0: no limit. */
static int64_t limit_of(const struct json *instance, const char *name)
{
	int64_t limit = json_int(json_get(json_get(instance, "status"), name), 0);

	return limit ? limit : json_int(json_get(json_get(instance, "spec"), name), 0);
}

static void add_cpu(const struct top *top, struct table *table, const struct json *instance)
{
	int64_t percent = json_int(json_path(instance, "status.usage.cpu_permille"), 0) / 10, cpus = limit_of(instance, "cpus");

	if (top->has_limits && cpus)
		table_cell(table, "%lld%% of %lld%%", (long long)percent, (long long)cpus * 100);
	else
		table_cell(table, "%lld%%", (long long)percent);
}

static void add_memory(const struct top *top, struct table *table, const struct json *instance)
{
	char used[UNITS_TEXT_SIZE], limit[UNITS_TEXT_SIZE];
	int64_t bytes = limit_of(instance, "memory");

	units_format_size(json_uint(json_path(instance, "status.usage.memory_bytes"), 0), used);
	if (top->has_limits && bytes)
		table_cell(table, "%s of %s", used, units_format_size((uint64_t)bytes, limit));
	else
		table_text(table, used);
}

/* A machine is one process for the host, whatever runs in it. */
static void add_pids(const struct top *top, struct table *table, const struct json *instance)
{
	int64_t pids = json_int(json_path(instance, "status.usage.pids"), 0), limit = json_int(json_path(instance, "spec.container.pids"), 0);

	if (!pids)
		table_text(table, "");
	else if (top->has_limits && limit)
		table_cell(table, "%lld of %lld", (long long)pids, (long long)limit);
	else
		table_cell(table, "%lld", (long long)pids);
}

static void add_row(const struct top *top, struct table *table, const struct json *instance, const struct samples *samples)
{
	const struct sample *now = &samples->last, *before = &samples->before;
	int64_t passed = before->at_ms ? now->at_ms - before->at_ms : 0;

	table_text(table, json_string(json_path(instance, "meta.name"), ""));
	table_text(table, json_string(json_path(instance, "spec.kind"), ""));
	table_text(table, json_string(json_path(instance, "status.state"), ""));
	add_cpu(top, table, instance);
	add_memory(top, table, instance);
	add_pids(top, table, instance);
	for (size_t i = 0; i < FLOWS; i++)
		add_flow(table, now->flows[i], before->flows[i], passed);
}

static void read_sample(const struct json *usage, struct sample *sample)
{
	struct err ignored;

	*sample = (struct sample){ 0 };
	units_parse_time(json_string(json_get(usage, "sampled_at"), ""), &sample->at_ms, &ignored);
	for (size_t i = 0; i < FLOWS; i++)
		sample->flows[i] = json_uint(json_get(usage, flow_fields[i]), 0);
}

/* The daemon may take samples less often than we look. */
static const struct samples *keep_sample(struct top *top, const struct json *instance)
{
	const char *uid = json_string(json_path(instance, "meta.uid"), "");
	struct samples *samples = map_get(&top->samples, uid);
	struct sample sample;

	if (!samples) {
		samples = alloc(sizeof(*samples));
		map_put(&top->samples, uid, samples);
	}
	read_sample(json_path(instance, "status.usage"), &sample);
	if (samples->last.at_ms != sample.at_ms) {
		samples->before = samples->last;
		samples->last = sample;
	}
	return samples;
}

/* It runs, and is among those that were named, if any were. */
static bool is_wanted(const struct cli *cli, const struct json *instance)
{
	const char *state = json_string(json_path(instance, "status.state"), ""), *name = json_string(json_path(instance, "meta.name"), "");

	if (!text_equal(state, "running") && !text_equal(state, "paused"))
		return false;
	for (size_t i = 0; i < cli_argument_count(cli); i++)
		if (text_equal(cli_argument(cli, i), name))
			return true;
	return cli_argument_count(cli) == 0;
}

static int top_once(struct top *top, FILE *out, struct err *err)
{
	auto_json struct json *json = NULL;
	struct table table = { 0 };
	const struct json *items;
	int result = request_json(top->cli, "GET", "/v1/instances", NULL, &json, err);

	if (result < 0)
		return result;
	items = json_get(json, "items");
	table_header(&table, "NAME", "KIND", "STATE", "CPU", "MEMORY", "PIDS", "READ", "WRITTEN", "RECEIVED", "SENT", NULL);
	for (size_t i = 0; i < json_count(items); i++)
		if (is_wanted(top->cli, json_at(items, i)))
			add_row(top, &table, json_at(items, i), keep_sample(top, json_at(items, i)));
	table_print(&table, !cli_has(top->cli, "no-headers"), out);
	table_done(&table);
	return 0;
}

/* The whole picture is written at once, so that it does not flicker. */
static int redraw(struct top *top, struct err *err)
{
	auto_free char *text = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);
	int result;

	if (!memory)
		abort();
	result = top_once(top, memory, err);
	fclose(memory);
	if (result < 0)
		return result;
	fprintf(top->cli->out, "\033[H\033[2J%s\nCtrl-C ends this\n", text);
	fflush(top->cli->out);
	return 0;
}

static int top_loop(struct top *top, struct err *err)
{
	struct terminal_signals signals;
	int result = terminal_signals_begin(&signals, err);

	if (result < 0)
		return result;
	while (result == 0) {
		struct pollfd fd = { .fd = signals.fd, .events = POLLIN };
		int number = 0;

		result = redraw(top, err);
		if (result == 0 && poll(&fd, 1, TOP_PERIOD_MS) > 0)
			number = terminal_signals_next(&signals);
		if (number && number != SIGWINCH)
			break;
	}
	terminal_signals_end(&signals);
	return result;
}

static int run_top(struct cli *cli, struct err *err)
{
	struct top top = { .cli = cli, .has_limits = cli->command == &command_stats };
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result < 0)
		return result;
	if (form != OUTPUT_TABLE)
		return output_list(cli, &(struct output_list){ .kind = &kinds[KIND_INSTANCE], .path = "/v1/instances" }, err);
	if (cli_value(cli, "output") || cli_has(cli, "once") || !isatty(fileno(cli->out)))
		result = top_once(&top, cli->out, err);
	else
		result = top_loop(&top, err);
	for (size_t i = 0; i < top.samples.count; i++)
		free(top.samples.entries[i].value);
	map_done(&top.samples);
	return result;
}

#define TOP_OPTIONS { "once", '1', false, NULL, "Only once." }, OUTPUT_OPTIONS

const struct cli_command command_top = {
	.name = "top", .arguments = "[NAME...]", .max = -1, .completes = "instances", .run = run_top,
	.summary = "Show what running instances use",
	.more = "Drawn anew every two seconds on a terminal; elsewhere once, with totals.",
	.options = OPTIONS(TOP_OPTIONS),
	.examples = EXAMPLES("strata top", "strata top --once"),
};

const struct cli_command command_stats = {
	.name = "stats", .arguments = "[NAME...]", .max = -1, .completes = "instances", .run = run_top,
	.summary = "Show what they use of what they may use",
	.more = "As 'strata top', with the limits on CPU, memory and processes.",
	.options = OPTIONS(TOP_OPTIONS),
	.examples = EXAMPLES("strata stats", "strata stats web db --once"),
};
