/* start, stop, restart, pause, resume, rm. */
#include "5-interface/cli/commands.h"
#include "5-interface/cli/each.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"

/* {"force": true, "timeout": "30s"}, or null when neither was given. */
static struct json *stop_body(const struct cli *cli)
{
	const char *grace = cli_value(cli, "timeout");
	struct json *body = json_new_object();

	json_set(body, "force", json_new_bool(cli_has(cli, "force")));
	if (grace)
		json_set(body, "timeout", json_new_string(grace));
	return body;
}

/* The name of the command is the name of the operation. */
static int request_power(struct cli *cli, const struct kind *kind, const char *name, int64_t *ret_revision, struct err *err)
{
	bool may_stop = cli->command == &command_stop || cli->command == &command_restart;
	auto_free char *path = request_path(kind->plural, name, cli->command->name, NULL);
	auto_json struct json *body = may_stop ? stop_body(cli) : NULL, *answer = NULL;
	int result = request_json(cli, "POST", path, body, &answer, err);

	if (result == 0)
		*ret_revision = answer_revision(answer);
	return result;
}

static int run_power(struct cli *cli, wait_look_fn *look, bool is_patient, struct err *err)
{
	return each_request(cli, &(struct each_job){ .kind = &kinds[KIND_INSTANCE], .request = request_power, .look = look,
			    .is_patient = is_patient }, err);
}

static int run_start(struct cli *cli, struct err *err)
{
	return run_power(cli, wait_until_running, false, err);
}

static int run_stop(struct cli *cli, struct err *err)
{
	return run_power(cli, wait_until_stopped, true, err);
}

static int run_restart(struct cli *cli, struct err *err)
{
	return run_power(cli, wait_until_running, true, err);
}

static int run_pause(struct cli *cli, struct err *err)
{
	return run_power(cli, wait_until_paused, false, err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return resource_rm(cli, &kinds[KIND_INSTANCE], err);
}

#define STOP_OPTIONS \
	{ "force", 'f', false, NULL, "Cut the power at once." }, \
	{ "timeout", 't', false, "DURATION", "How long the guest may take to power off; then the power is cut." }, \
	{ "no-wait", 0, false, NULL, "Return at once; the work goes on." }

const struct cli_command command_start = {
	.name = "start", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_start,
	.summary = "Start instances",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata start web", "strata start web db cache --no-wait"),
};

const struct cli_command command_stop = {
	.name = "stop", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_stop,
	.summary = "Stop instances",
	.more = "The guest is asked to power off (ACPI). When it has not after the timeout, its power is cut.",
	.options = OPTIONS(STOP_OPTIONS),
	.examples = EXAMPLES("strata stop web", "strata stop web db --timeout 2m", "strata stop --force web"),
};

const struct cli_command command_restart = {
	.name = "restart", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_restart,
	.summary = "Stop and start instances",
	.options = OPTIONS(STOP_OPTIONS),
	.examples = EXAMPLES("strata restart web", "strata restart --force web"),
};

const struct cli_command command_pause = {
	.name = "pause", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_pause,
	.summary = "Let the CPUs of instances stand still",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata pause web"),
};

const struct cli_command command_resume = {
	.name = "resume", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_start,
	.summary = "Let paused instances go on",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata resume web"),
};

const struct cli_command command_rm = {
	.name = "rm", .arguments = "NAME...", .min = 1, .max = -1, .completes = "instances", .run = run_rm,
	.summary = "Remove instances with their disks and snapshots",
	.options = OPTIONS({ "force", 'f', false, NULL, "Also when it runs." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata rm web", "strata rm --force web db"),
};
