/* run, create: a new instance from options. */
#include <unistd.h>

#include "5-interface/cli/attach.h"
#include "5-interface/cli/detach.h"
#include "5-interface/cli/commands.h"
#include "5-interface/cli/names.h"
#include "5-interface/cli/new_instance.h"
#include "5-interface/cli/pull.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/session.h"
#include "base/str.h"
#include "model/instance.h"

enum { NAME_TRIES = 20 };

/* Sends the new instance; without a name one after the other is tried until one is free. */
static int send_new(struct cli *cli, struct json *body, struct json **ret_answer, struct err *err)
{
	const char *name = cli_argument(cli, 1);
	struct rng rng;
	int result = -EEXIST;

	rng_init_random(&rng);
	for (unsigned tries = 0; tries < NAME_TRIES && result == -EEXIST; tries++) {
		char buffer[NAMES_BYTES];

		json_set(spec_member(body, "meta"), "name",
			 json_new_string(name ? name : names_make(&rng, tries, buffer)));
		result = request_json(cli, "POST", "/v1/instances", body, ret_answer, err);
		if (name)
			break;
	}
	return result;
}

static int make_instance(struct cli *cli, bool is_container, bool is_attached, const char *power, struct json **ret_answer,
			 struct err *err)
{
	auto_json struct json *body = json_new_object();
	int result;

	spec_member(body, "meta");
	result = new_instance_body(cli, is_container, is_attached, power, body, err);
	return result < 0 ? result : send_new(cli, body, ret_answer, err);
}

static int wait_for_instance(struct cli *cli, const struct json *answer, wait_look_fn *look, struct err *err)
{
	const char *name = json_string(json_path(answer, "meta.name"), "");
	auto_free char *path = request_path("instances", name, NULL);

	if (cli_has(cli, "no-wait"))
		return 0;
	return wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = name, .look = look,
			.data = cli, .revision = answer_revision(answer) }, err);
}

/* A container may have done its work before anybody looks. */
static int wait_until_started(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;

	if (instance ? instance->status.ended_serial >= instance->spec.start_serial && instance->spec.start_serial &&
	    !instance->status.exit_code && instance->status.state != INSTANCE_FAILED : cli_has(data, "rm"))
		return WAIT_DONE;
	return wait_until_running(NULL, object, err);
}

static bool is_attached(const struct cli *cli)
{
	return !cli_has(cli, "detach") && (cli_has(cli, "attach") || cli_has(cli, "interactive") || cli_has(cli, "terminal"));
}

enum { REMOVAL_MS = 5000 };

/* One that was left goes on. */
static int until_gone_or_running(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;

	(void)data;
	(void)err;
	return !instance || instance->status.pid ? WAIT_DONE : WAIT_MORE;
}

/* With --rm what it had (its name, its volumes) is free again when we return; its exit code is what counts. */
static int attach_and_see_off(struct cli *cli, const char *name, struct err *err)
{
	auto_free char *path = request_path("instances", name, NULL);
	int result = attach(cli, name, true, SESSION_FROM_THE_START, err);
	struct err ignored;

	if (cli_has(cli, "rm") && result >= 0)
		wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = name, .look = until_gone_or_running,
			 .default_timeout_ms = REMOVAL_MS, .is_patient = true }, &ignored);
	return result;
}

static int check_attach(const struct cli *cli, bool is_container, struct err *err)
{
	const char *keys = cli_value(cli, "detach-keys");
	struct detach detach;
	int result = keys ? detach_parse(keys, &detach, err) : 0;

	if (result < 0)
		return result;
	if (cli_has(cli, "attach") && !is_container)
		return err_set(err, CLI_USAGE, "--attach: only containers have streams to attach to: use --console");
	if (is_container && is_attached(cli) && cli_has(cli, "interactive") && cli_has(cli, "terminal") && !isatty(STDIN_FILENO))
		return err_set(err, -ENOTTY, "--terminal: our own input is not a terminal: leave -t out");
	return 0;
}

static int run_run(struct cli *cli, struct err *err)
{
	auto_json struct json *answer = NULL;
	const char *name;
	bool is_container, attaches = false;
	int result = pull_for_instance(cli, cli_argument(cli, 0), &is_container, err);

	if (result == 0)
		result = check_attach(cli, is_container, err);
	if (result < 0)
		return result;
	attaches = is_container && is_attached(cli);
	result = make_instance(cli, is_container, attaches, "running", &answer, err);
	if (result < 0)
		return result;
	name = json_string(json_path(answer, "meta.name"), "");
	if (attaches)
		return attach_and_see_off(cli, name, err);
	if (cli_has(cli, "console")) {
		fprintf(cli->messages, "instance '%s' is being started\n", name);
		return session_console(cli, name, SESSION_FROM_THE_START, err);
	}
	result = wait_for_instance(cli, answer, is_container ? wait_until_started : wait_until_running, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	return result;
}

static int run_create(struct cli *cli, struct err *err)
{
	auto_json struct json *answer = NULL;
	bool is_container;
	int result = pull_for_instance(cli, cli_argument(cli, 0), &is_container, err);

	if (result == 0)
		result = make_instance(cli, is_container, false, "stopped", &answer, err);
	if (result == 0)
		result = wait_for_instance(cli, answer, wait_until_created, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", json_string(json_path(answer, "meta.name"), ""));
	return result;
}

static int run_attach(struct cli *cli, struct err *err)
{
	return attach(cli, cli_argument(cli, 0), false, SESSION_TAIL_BYTES, err);
}

const struct cli_command command_run = {
	.name = "run", .arguments = "IMAGE [NAME] [-- COMMAND...]", .min = 1, .max = 2, .passes_rest = true, .completes = "images",
	.run = run_run,
	.summary = "Create an instance from an image and start it",
	.more = "Prints its name when it runs. Without a NAME one is made up. An image that is not here and looks like one of a "
		"registry, or with --container, is pulled first and becomes a container. With -i, -t or --attach a container's "
		"streams become ours until it ends, and its exit code too; ctrl-p ctrl-q leaves it.",
	.options = OPTIONS(NEW_INSTANCE_OPTIONS, NEW_CONTAINER_OPTIONS,
		{ "attach", 'a', false, NULL, "Show its output until it ends (implied by -i and -t)." },
		{ "detach", 0, false, NULL, "With -i or -t: do not attach." }, ATTACH_OPTIONS, NEW_MACHINE_OPTIONS,
		{ "console", 0, false, NULL, "Attach to its console at once." }, WAIT_OPTIONS),
	.titles = TITLES(NEW_INSTANCE_TITLES, { "attach", "Attaching to a container" }),
	.examples = EXAMPLES("strata run tiny web",
			     "strata run debian:12 db --cpus 2 --memory 2GiB --disk 20GiB --ssh-key ~/.ssh/id_ed25519.pub",
			     "strata run tiny web --publish 8080:80 --network default,address=10.1.2.30", "strata run tiny --console",
			     "strata run --container busybox:1.36 -it --rm -- sh",
			     "strata run --container nginx:1.27 web -p 8080:80 -v /srv/www:/usr/share/nginx/html:ro --memory 256MiB",
			     "strata run --container postgres:16 db -v data:/var/lib/postgresql/data --env-file db.env --restart always",
			     "strata run --container redis:7 cache --pids 200 --read-only --tmpfs /tmp --health-cmd 'redis-cli ping'"),
};

const struct cli_command command_create = {
	.name = "create", .arguments = "IMAGE [NAME] [-- COMMAND...]", .min = 1, .max = 2, .passes_rest = true, .completes = "images",
	.run = run_create,
	.summary = "Create an instance without starting it",
	.more = "What 'strata help run' says about images and options holds here too.",
	.options = OPTIONS(NEW_INSTANCE_OPTIONS, NEW_CONTAINER_OPTIONS, NEW_MACHINE_OPTIONS, WAIT_OPTIONS),
	.titles = TITLES(NEW_INSTANCE_TITLES),
	.examples = EXAMPLES("strata create tiny web", "strata create debian:12 db --volume data --restart always",
			     "strata create --container busybox:1.36 job --cpus 1 --memory 64MiB -- sh -c 'date; sleep 10'"),
};

const struct cli_command command_attach = {
	.name = "attach", .arguments = "NAME", .min = 1, .max = 1, .completes = "instances", .run = run_attach,
	.summary = "Connect with the standard streams of a container",
	.more = "Until it ends; its exit code becomes ours. The end of what it wrote is shown first. On a terminal ctrl-p ctrl-q "
		"leaves it and it goes on; without one Ctrl-C asks it to stop.",
	.options = OPTIONS(ATTACH_OPTIONS),
	.examples = EXAMPLES("strata attach web", "strata attach web --detach-keys ctrl-x"),
};
