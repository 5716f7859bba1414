/* help, version, explain, completion, man. */
#include <errno.h>
#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/each.h"
#include "5-interface/cli/help.h"
#include "5-interface/cli/request.h"
#include "5-interface/cli/table.h"
#include "base/str.h"
#include "model/config.h"

static int run_version(struct cli *cli, struct err *err)
{
	auto_json struct json *answer = NULL;

	fprintf(cli->out, "strata %s\n", STRATA_VERSION);
	if (request_json(cli, "GET", "/v1/version", NULL, &answer, err) < 0)
		cli_complain(cli, err);
	else
		fprintf(cli->out, "stratad %s\n", shown(json_string(json_get(answer, "version"), "?")));
	return 0;
}

static int run_help(struct cli *cli, struct err *err)
{
	auto_str struct str name = { 0 };
	const struct cli_command *command;

	for (size_t i = 0; i < cli_argument_count(cli); i++)
		str_printf(&name, i ? " %s" : "%s", cli_argument(cli, i));
	command = command_find(str_text(&name));
	if (command)
		help_command(command, cli->out);
	else if (!name.size)
		help_overview(cli->out);
	else if (command_is_topic(name.data))
		help_topic(name.data, cli->out);
	else
		return err_set(err, CLI_USAGE, "unknown command '%s': see 'strata --help'", shown(name.data));
	return 0;
}

static int unknown_kind(const char *name, struct err *err)
{
	const char *names[KIND_COUNT + 1] = { "config" }, *nearest;

	for (size_t i = 0; i < KIND_COUNT; i++)
		names[i + 1] = kinds[i].name;
	nearest = field_nearest(name, names, ARRAY_COUNT(names));
	if (nearest)
		return err_set(err, CLI_USAGE, "unknown kind '%s', did you mean '%s'?", shown(name), nearest);
	return err_set(err, CLI_USAGE, "'%s' is neither an instance (see 'strata ls') nor a kind: use instance, image, volume, pool, network, "
		       "snapshot, node or config", shown(name));
}

/* The table at "spec.nics" of a kind, or the field in it. 'spec' may be left out: "instance.cpus". */
static int explain_path(const struct field_table *table, const char *title, const char *path, struct str *out)
{
	const struct field *field = path[0] ? field_find(table, path) : NULL;
	struct field_table one;

	if (path[0] && !field)
		return -ENOENT;
	if (!field) {
		field_explain(table, title, out);
		return 0;
	}
	if (field->table) {
		field_explain(field->table, title, out);
		return 0;
	}
	one = (struct field_table){ .name = table->name, .doc = table->doc, .fields = field, .count = 1, .size = table->size };
	field_explain(&one, title, out);
	return 0;
}

static int explain_kind(const struct kind *kind, const char *title, const char *path, struct str *out)
{
	static const char *const parts[] = { "meta", "spec", "status" };
	const struct field_table *tables[] = { &meta_table, kind->spec, kind->status };

	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		size_t length = strlen(parts[i]);

		if (strncmp(path, parts[i], length) == 0 && (path[length] == '.' || !path[length]))
			return explain_path(tables[i], title, path + length + (path[length] == '.'), out);
	}
	if (path[0])
		return explain_path(kind->spec, title, path, out);
	str_printf(out, "%s: %s\n\n", kind->name, kind->doc);
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		auto_free char *name = text_format("%s.%s", kind->name, parts[i]);

		field_explain(tables[i], name, out);
		str_append(out, "\n");
	}
	return 0;
}

/* Not a kind: an instance, then. Why is it there? */
static int explain_placement(struct cli *cli, const char *name, struct err *err)
{
	auto_free char *path = request_path("instances", name, "placement", NULL);
	auto_json struct json *json = NULL;
	struct table table = { 0 };
	int result = strchr(name, '.') ? -ENOENT : request_json(cli, "GET", path, NULL, &json, err);

	if (result == -ENOENT)
		return unknown_kind(name, err);
	if (result < 0)
		return result;
	table_header(&table, "NODE", "STATE", "COST", "WHY", NULL);
	for (size_t i = 0; i < json_count(json); i++) {
		const struct json *item = json_at(json, i);

		table_text(&table, json_string(json_get(item, "node"), ""));
		table_text(&table, json_string(json_get(item, "state"), ""));
		if (json_get(item, "cost"))
			table_cell(&table, "%.3f", json_double(json_get(item, "cost"), 0));
		else
			table_text(&table, "-");
		table_text(&table, json_string(json_get(item, "text"), ""));
	}
	table_print(&table, !cli_has(cli, "no-headers"), cli->out);
	table_done(&table);
	return 0;
}

static int run_explain(struct cli *cli, struct err *err)
{
	const char *title = cli_argument(cli, 0), *dot = strchr(title, '.'), *path = dot ? dot + 1 : "";
	auto_free char *name = dot ? text_copy_length(title, (size_t)(dot - title)) : text_copy(title);
	const struct kind *kind = kind_find(name);
	auto_str struct str text = { 0 };
	int result;

	if (!kind && !text_equal(name, "config"))
		return explain_placement(cli, title, err);
	result = kind ? explain_kind(kind, title, path, &text) : explain_path(&config_table, title, path, &text);
	if (result < 0)
		return err_set(err, CLI_USAGE, "%s has no field '%s': see 'strata explain %s'", name, shown(path), name);
	fputs(str_text(&text), cli->out);
	return 0;
}

static int run_completion(struct cli *cli, struct err *err)
{
	if (!text_equal(cli_argument(cli, 0), "bash"))
		return err_set(err, CLI_USAGE, "there is completion for bash only, not for '%s'", shown(cli_argument(cli, 0)));
	completion_bash(cli->out);
	return 0;
}

static int run_man(struct cli *cli, struct err *err)
{
	(void)err;
	man_page(cli->out);
	return 0;
}

const struct cli_command command_version = {
	.name = "version", .max = 0, .run = run_version, .summary = "Say the versions of strata and of the daemon",
	.examples = EXAMPLES("strata version"),
};

const struct cli_command command_help = {
	.name = "help", .arguments = "[COMMAND]", .max = 3, .run = run_help, .summary = "Explain a command",
	.examples = EXAMPLES("strata help run", "strata help image import", "strata help volume"),
};

const struct cli_command command_explain = {
	.name = "explain", .arguments = "KIND[.FIELD]|INSTANCE", .min = 1, .max = 1, .completes = "instances", .run = run_explain,
	.summary = "Explain the fields of a kind or of the configuration; or why an instance is where it is",
	.more = "Of an instance, for each node: what the policy's cost consists of, or what speaks against it.",
	.options = OPTIONS({ "no-headers", 0, false, NULL, "Leave out the first line of tables." }),
	.examples = EXAMPLES("strata explain instance", "strata explain instance.memory", "strata explain config.overcommit", "strata explain web"),
};

const struct cli_command command_completion = {
	.name = "completion", .arguments = "bash", .min = 1, .max = 1, .run = run_completion,
	.summary = "Write a completion script",
	.examples = EXAMPLES("source <(strata completion bash)"),
};

const struct cli_command command_man = {
	.name = "man", .max = 0, .is_hidden = true, .run = run_man, .summary = "Write the manual page strata(1)",
};
