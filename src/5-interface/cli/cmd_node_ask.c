/* node load, node power: what the hosts of a cluster tell of themselves ten times a second, and what their controllers say when asked. */
#include "5-interface/cli/commands.h"
#include "5-interface/cli/output.h"
#include "5-interface/cli/request.h"
#include "base/str.h"
#include "base/units.h"

static void add_size(struct table *table, const struct json *load, const char *name)
{
	char text[UNITS_TEXT_SIZE];

	table_text(table, json_type(json_get(load, name)) == JSON_ABSENT ? "" : units_format_size(json_uint(json_get(load, name), 0), text));
}

static void add_pressure(struct table *table, const struct json *load, const char *name)
{
	const struct json *some = json_get(json_get(load, name), "some");

	if (json_type(some) == JSON_ABSENT)
		table_text(table, "");
	else
		table_cell(table, "%.0f%%", json_double(some, 0));
}

static void add_known(struct table *table, const struct json *load)
{
	table_cell(table, "%lldms", (long long)json_int(json_get(load, "age_ms"), 0));
	table_cell(table, "%lld%%", (long long)json_int(json_get(load, "busy_permille"), 0) / 10);
	table_cell(table, "%lld of %lld CPUs", (long long)json_int(json_get(load, "run_queue"), 0), (long long)json_int(json_get(load, "cpus"), 0));
	add_pressure(table, load, "pressure_cpu");
	add_pressure(table, load, "pressure_memory");
	add_pressure(table, load, "pressure_io");
	add_size(table, load, "memory_available");
	add_size(table, load, "net_receive_bytes");
	add_size(table, load, "net_transmit_bytes");
	table_text(table, "");
}

static void add_row(struct table *table, const struct json *load)
{
	const char *text = json_string(json_get(load, "text"), NULL);

	table_text(table, json_string(json_get(load, "node"), ""));
	if (!text) {
		add_known(table, load);
		return;
	}
	for (int i = 0; i < 9; i++)
		table_text(table, "-");
	table_text(table, text);
}

static int ask_one(struct cli *cli, const char *name, const char *what, struct json *answers, struct err *err)
{
	auto_free char *path = request_path("nodes", name, what, NULL);
	struct json *answer = NULL;
	int result = request_json(cli, "GET", path, NULL, &answer, err);

	if (result == 0)
		json_push(answers, answer);
	return result;
}

static int ask_all(struct cli *cli, const char *what, struct json *answers, struct err *err)
{
	auto_json struct json *nodes = NULL;
	const struct json *items;
	int result = request_json(cli, "GET", "/v1/nodes", NULL, &nodes, err);

	items = json_get(nodes, "items");
	for (size_t i = 0; i < json_count(items) && result == 0; i++)
		result = ask_one(cli, json_string(json_path(json_at(items, i), "meta.name"), ""), what, answers, err);
	return result;
}

/* Those that are named, or all. */
static int ask(struct cli *cli, const char *what, struct json *answers, struct err *err)
{
	int result = cli_argument_count(cli) ? 0 : ask_all(cli, what, answers, err);

	for (size_t i = 0; i < cli_argument_count(cli) && result == 0; i++)
		result = ask_one(cli, cli_argument(cli, i), what, answers, err);
	return result;
}

static void show(struct cli *cli, enum output_form form, const struct json *answers, struct table *table)
{
	if (form == OUTPUT_TABLE)
		table_print(table, !cli_has(cli, "no-headers"), cli->out);
	else
		form == OUTPUT_YAML ? output_yaml(cli, answers) : output_json(cli, answers);
	table_done(table);
}

static int run_node_load(struct cli *cli, struct err *err)
{
	auto_json struct json *loads = json_new_array();
	struct table table = { 0 };
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = ask(cli, "load", loads, err);
	if (result < 0)
		return result;
	table_header(&table, "NAME", "AGE", "BUSY", "RUN QUEUE", "CPU PRESSURE", "MEMORY PRESSURE", "IO PRESSURE", "MEMORY AVAILABLE", "RECEIVED",
		     "SENT", "NOTE", NULL);
	for (size_t i = 0; i < json_count(loads); i++)
		add_row(&table, json_at(loads, i));
	show(cli, form, loads, &table);
	return 0;
}

static int run_node_power(struct cli *cli, struct err *err)
{
	auto_json struct json *answers = json_new_array();
	struct table table = { 0 };
	enum output_form form;
	bool is_known = true;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = ask(cli, "power", answers, err);
	if (result < 0)
		return result;
	table_header(&table, "NAME", "DRIVER", "CONTROLLER", "POWER", "NOTE", NULL);
	for (size_t i = 0; i < json_count(answers); i++) {
		const struct json *answer = json_at(answers, i);
		const char *state = json_string(json_get(answer, "state"), NULL), *driver = json_string(json_get(answer, "driver"), "");

		table_text(&table, json_string(json_get(answer, "node"), ""));
		table_text(&table, driver);
		table_text(&table, json_string(json_get(answer, "address"), "-"));
		table_text(&table, state ? state : "-");
		table_text(&table, json_string(json_get(answer, "text"), ""));
		is_known &= state || text_equal(driver, "none");
	}
	show(cli, form, answers, &table);
	return is_known ? 0 : 1;
}

const struct cli_command command_node_load = {
	.name = "node load", .arguments = "[NAME...]", .max = -1, .completes = "nodes", .run = run_node_load,
	.summary = "Show how loaded the hosts of a cluster are right now",
	.more = "AGE is how long ago a host measured that; pressure is the part of the last ten seconds in which something had to wait. "
		"A busy host is given new instances last: see 'strata explain INSTANCE'. With -o json also what its instances use.",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata node load", "strata node load beta -o json"),
};

const struct cli_command command_node_power = {
	.name = "node power", .arguments = "[NAME...]", .max = -1, .completes = "nodes", .run = run_node_power,
	.summary = "Ask the controllers of hosts for their power, as whoever leads would to switch one off",
	.more = "A host that is lost is switched off before its instances with '--ha restart' are started elsewhere, where 'strata node set' has "
		"said how. Exit code 1: a controller that should answer does not.",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata node power", "strata node power beta -o json"),
};
