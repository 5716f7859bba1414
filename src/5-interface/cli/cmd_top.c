/* Rates come from two samples of the counters in status.usage. */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/output.h"
#include "5-interface/cli/terminal.h"
#include "base/map.h"
#include "base/units.h"
#include "model/instance.h"

enum { TOP_PERIOD_MS = 2000 };

struct samples {
	struct instance_usage last, before;	/* before.sampled_at 0: there was only one yet. */
};

struct top {
	struct cli *cli;
	struct map samples;		/* By uid: struct samples *. */
};

static void top_header(struct table *table)
{
	table_header(table, "NAME", "STATE", "CPU", "MEMORY", "READ", "WRITTEN", "RECEIVED", "SENT", NULL);
}

/* After one look only: the total since the start. */
static void add_flow(struct table *table, uint64_t now, uint64_t before, int64_t passed_ms)
{
	char text[UNITS_TEXT_SIZE];

	if (passed_ms <= 0 || now < before)
		table_cell(table, "%s", units_format_size(now, text));
	else
		table_cell(table, "%s/s", units_format_size((now - before) * 1000 / (uint64_t)passed_ms, text));
}

static void top_row(struct table *table, const struct instance *instance, const struct samples *samples)
{
	const struct instance_usage *now = &samples->last, *before = &samples->before;
	int64_t passed = before->sampled_at ? now->sampled_at - before->sampled_at : 0;
	char memory[UNITS_TEXT_SIZE];

	table_cell(table, "%s", instance->meta.name);
	table_cell(table, "%s", instance_state_names[instance->status.state]);
	table_cell(table, "%lld%%", (long long)now->cpu_permille / 10);
	table_cell(table, "%s", units_format_size(now->memory_bytes, memory));
	add_flow(table, now->disk_read_bytes, before->disk_read_bytes, passed);
	add_flow(table, now->disk_write_bytes, before->disk_write_bytes, passed);
	add_flow(table, now->net_receive_bytes, before->net_receive_bytes, passed);
	add_flow(table, now->net_transmit_bytes, before->net_transmit_bytes, passed);
}

/* The daemon may take samples less often than we look. */
static const struct samples *keep_sample(struct top *top, const struct instance *instance)
{
	struct samples *samples = map_get(&top->samples, instance->meta.uid);

	if (!samples) {
		samples = alloc(sizeof(*samples));
		map_put(&top->samples, instance->meta.uid, samples);
	}
	if (samples->last.sampled_at != instance->status.usage.sampled_at) {
		samples->before = samples->last;
		samples->last = instance->status.usage;
	}
	return samples;
}

static bool is_up(const struct instance *instance)
{
	return instance->status.state == INSTANCE_RUNNING || instance->status.state == INSTANCE_PAUSED;
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
	top_header(&table);
	for (size_t i = 0; i < json_count(items) && result == 0; i++) {
		void *object = NULL;
		const struct instance *instance;

		result = object_decode(&kinds[KIND_INSTANCE], json_at(items, i), &object, err);
		instance = object;
		if (result == 0 && is_up(instance))
			top_row(&table, instance, keep_sample(top, instance));
		kind_free(&kinds[KIND_INSTANCE], object);
	}
	if (result == 0)
		table_print(&table, !cli_has(top->cli, "no-headers"), out);
	table_done(&table);
	return result;
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
	struct top top = { .cli = cli };
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

const struct cli_command command_top = {
	.name = "top", .max = 0, .run = run_top, .summary = "Show what running instances use",
	.more = "Drawn anew every two seconds on a terminal; elsewhere once, with totals.",
	.options = OPTIONS({ "once", '1', false, NULL, "Only once." }, OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata top", "strata top --once"),
};
