/* ls, show, rename, wait. */
#include <stdlib.h>
#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/each.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"
#include "model/instance.h"

enum { LABELS_MAX = 8 };

static const struct output_column columns[] = {
	{ .title = "NAME", .path = "meta.name" },
	{ .title = "KIND", .path = "spec.kind" },
	{ .title = "STATE", .path = "status.state" },
	{ .title = "HEALTH", .path = "status.health", .may_be_empty = true },
	{ .title = "NODE", .path = "status.node_name", .may_be_empty = true },
	{ .title = "IMAGE", .path = "spec.image" },
	{ .title = "CPUS", .path = "status.cpus", .otherwise = "spec.cpus" },
	{ .title = "MEMORY", .path = "status.memory", .otherwise = "spec.memory", .has_no_zero = true },
	{ .title = "ADDRESS", .path = "spec.nics.ipv4", .otherwise = "spec.nics.ipv6" },
	{ .title = "AGE", .path = "meta.created_at" },
	{ .title = "REASON", .path = "status.lost", .otherwise = "status.reason", .may_be_empty = true },
	{ 0 },
};

/* --state STATE, --kind KIND and every --label KEY or KEY=VALUE. The keys are copied to 'keys', which owns them. */
static size_t read_conditions(const struct cli *cli, struct output_condition *conditions, char **keys)
{
	const char *state = cli_value(cli, "state"), *kind = cli_value(cli, "kind"), *text;
	size_t count = 0;

	if (state)
		conditions[count++] = (struct output_condition){ .words = { "status", "state" }, .value = state };
	if (kind)
		conditions[count++] = (struct output_condition){ .words = { "spec", "kind" }, .value = kind };
	for (size_t i = 0; (text = cli_value_at(cli, "label", i)); i++) {
		const char *equals = strchr(text, '=');

		keys[i] = equals ? text_copy_length(text, (size_t)(equals - text)) : text_copy(text);
		conditions[count++] = (struct output_condition){ .words = { "meta", "labels", keys[i] },
								 .value = equals ? equals + 1 : NULL };
	}
	return count;
}

static int run_ls(struct cli *cli, struct err *err)
{
	struct output_condition conditions[2 + LABELS_MAX];
	char *keys[LABELS_MAX] = { 0 };
	int result;

	if (cli_value(cli, "kind") && !text_equal(cli_value(cli, "kind"), "vm") && !text_equal(cli_value(cli, "kind"), "container"))
		return err_set(err, CLI_USAGE, "--kind: '%s' is no kind of instance: use vm or container", shown(cli_value(cli, "kind")));
	if (cli_value_at(cli, "label", LABELS_MAX))
		return err_set(err, CLI_USAGE, "--label: at most %d can be given", LABELS_MAX);
	result = output_list(cli, &(struct output_list){ .kind = &kinds[KIND_INSTANCE], .path = "/v1/instances", .columns = columns,
			     .conditions = conditions, .condition_count = read_conditions(cli, conditions, keys) }, err);
	for (size_t i = 0; i < LABELS_MAX; i++)
		free(keys[i]);
	return result;
}

static int run_show(struct cli *cli, struct err *err)
{
	return resource_show(cli, &kinds[KIND_INSTANCE], err);
}

static int run_rename(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "rename", NULL);
	auto_json struct json *body = json_new_object();

	json_set(body, "name", json_new_string(cli_argument(cli, 1)));
	return request_json(cli, "POST", path, body, NULL, err);
}

/* What `wait --for` knows. */
static const struct { const char *name; wait_look_fn *look; } goals[] = {
	{ "running", wait_until_running }, { "stopped", wait_until_stopped }, { "paused", wait_until_paused },
	{ "created", wait_until_created }, { "agent", wait_until_agent }, { "gone", wait_until_gone },
};

/* A misspelt name should be told at once. */
static int request_look(struct cli *cli, const struct kind *kind, const char *name, int64_t *ret_revision, struct err *err)
{
	auto_free char *path = request_path(kind->plural, name, NULL);

	*ret_revision = 0;
	return text_equal(cli_value(cli, "for"), "gone") ? 0 : request_json(cli, "GET", path, NULL, NULL, err);
}

static int run_wait(struct cli *cli, struct err *err)
{
	const char *goal = cli_value(cli, "for");

	for (size_t i = 0; i < ARRAY_COUNT(goals); i++)
		if (text_equal(goal ? goal : "running", goals[i].name))
			return each_request(cli, &(struct each_job){ .kind = &kinds[KIND_INSTANCE],
					    .request = request_look, .look = goals[i].look }, err);
	return err_set(err, CLI_USAGE, "--for: '%s' is not something to wait for: use running, stopped, paused, created, agent or gone",
		       shown(goal));
}

const struct cli_command command_ls = {
	.name = "ls", .max = 0, .run = run_ls, .summary = "List instances",
	.options = OPTIONS({ "label", 'l', true, "KEY[=VALUE]", "Only those with this label." },
		{ "state", 's', false, "STATE", "Only those in this state." },
		{ "kind", 'k', false, "KIND", "Only these: vm or container." }, OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata ls", "strata ls --label tier=front", "strata ls --kind container --state running -o name", "strata ls -o json"),
};

const struct cli_command command_show = {
	.name = "show", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_show,
	.summary = "Show everything about an instance",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata show web", "strata show web -o yaml > web.yaml"),
};

const struct cli_command command_rename = {
	.name = "rename", .arguments = "NAME NEW-NAME", .min = 2, .max = 2, .completes = "instances", .run = run_rename,
	.summary = "Give an instance another name",
	.examples = EXAMPLES("strata rename web front"),
};

const struct cli_command command_wait = {
	.name = "wait", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_wait,
	.summary = "Wait until instances are in a state",
	.options = OPTIONS({ "for", 0, false, "WHAT", "running (the default), stopped, paused, created, agent or gone." },
		{ "timeout", 0, false, "DURATION", "Give up after this long (\"90s\") with exit code 75." }),
	.examples = EXAMPLES("strata wait web", "strata wait web --for agent --timeout 2m", "strata wait web --for gone"),
};
