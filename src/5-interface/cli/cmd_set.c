/* set, update: a change of an instance, and when it is in force. */
#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"
#include "model/instance.h"

enum { IN_FORCE_WITHIN_MS = 5000 };

/* The agent has looked at the change: cpus and memory are in force, or it says what waits for the next start. */
static int wait_until_applied(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;
	bool is_off;

	(void)data;
	(void)err;
	if (!instance)
		return WAIT_DONE;
	is_off = instance->status.state != INSTANCE_RUNNING && instance->status.state != INSTANCE_PAUSED;
	return is_off || instance->status.pending.count ||
		((!instance->spec.cpus || instance->status.cpus == instance->spec.cpus) &&
		 (!instance->spec.memory || instance->status.memory == instance->spec.memory)) ? WAIT_DONE : WAIT_MORE;
}

/* The agent speaks of cpus and memory, which it may have to refuse; these it never changes while the machine runs. */
static void say_fixed_while_running(struct cli *cli, const char *name, const struct json *patch, const struct json *answer)
{
	static const char *const fields[] = { "machine", "boot", "kernel_options", "root_size", "user_data", "ssh_keys", "vnc", "vsock" };
	const char *state = json_string(json_path(answer, "status.state"), "");

	if (!text_equal(state, instance_state_names[INSTANCE_RUNNING]) && !text_equal(state, instance_state_names[INSTANCE_PAUSED]))
		return;
	for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
		if (json_get(json_get(patch, "spec"), fields[i]))
			fprintf(cli->messages, "at the next start of '%s': %s\n", name, fields[i]);
}

static int change(struct cli *cli, const char *name, const struct json *patch, struct err *err)
{
	const struct kind *kind = &kinds[KIND_INSTANCE];
	auto_free char *path = request_path("instances", name, NULL);
	auto_json struct json *answer = NULL;
	int result = request_json(cli, "PATCH", path, patch, &answer, err);

	if (result < 0)
		return result;
	say_fixed_while_running(cli, name, patch, answer);
	if (cli_has(cli, "no-wait"))
		return 0;
	result = wait_for(cli, &(struct wait){ .kind = kind, .path = path, .name = name, .look = wait_until_applied,
			  .revision = answer_revision(answer), .default_timeout_ms = IN_FORCE_WITHIN_MS }, err);
	if (result < 0 && result != -ETIMEDOUT)
		return result;
	return say_pending(cli, name, path, err);
}

static int run_set(struct cli *cli, struct err *err)
{
	auto_json struct json *patch = json_new_object();

	for (size_t i = 1; i < cli_argument_count(cli); i++) {
		int result = spec_assign(&kinds[KIND_INSTANCE], cli_argument(cli, i), patch, err);

		if (result < 0)
			return result;
	}
	return change(cli, cli_argument(cli, 0), patch, err);
}

static int run_update(struct cli *cli, struct err *err)
{
	static const struct { const char *option, *field; } options[] = {
		{ "cpus", "cpus" }, { "memory", "memory" }, { "restart", "restart" }, { "latency-class", "latency_class" },
		{ "pids", "container.pids" }, { "cpu-weight", "container.cpu_weight" }, { "io-read", "container.io_read" },
		{ "io-write", "container.io_write" },
	};
	auto_json struct json *patch = json_new_object();

	for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
		const char *value = cli_value(cli, options[i].option);
		auto_free char *text = value ? text_format("%s=%s", options[i].field, value) : NULL;
		int result = text ? spec_assign(&kinds[KIND_INSTANCE], text, patch, err) : 0;

		if (result < 0)
			return result;
	}
	if (!json_count(patch))
		return err_set(err, CLI_USAGE, "nothing to change is given: see 'strata update --help'");
	return change(cli, cli_argument(cli, 0), patch, err);
}

const struct cli_command command_set = {
	.name = "set", .arguments = "NAME FIELD=VALUE...", .min = 2, .max = -1, .completes = "instances", .run = run_set,
	.summary = "Change an instance",
	.more = "Cpus and memory change at once where the machine can (q35), everything else at the next start; what "
		"waits for that is said. FIELD= without a value goes back to the default, label.KEY= removes a label. "
		"'strata explain instance' lists the fields. A container's limits change at once.",
	.options = OPTIONS({ "no-wait", 0, false, NULL, "Do not wait to say what is in force." }),
	.examples = EXAMPLES("strata set web cpus=2 memory=512MiB", "strata set web label.tier=front restart=always",
			     "strata set web publish=8080:80,8443:443"),
};

const struct cli_command command_update = {
	.name = "update", .arguments = "NAME", .min = 1, .max = 1, .completes = "instances", .run = run_update,
	.summary = "Change the limits of an instance",
	.more = "A container's at once. 'strata set' changes everything else.",
	.options = OPTIONS({ "cpus", 'c', false, "N", "Virtual CPUs; of a container how many it may use." },
		{ "memory", 'm', false, "SIZE", "Memory; of a container how much it may use." },
		{ "pids", 0, false, "N", "How many processes and threads a container may have." },
		{ "cpu-weight", 0, false, "N", "Its share when there is not enough CPU: 1 to 10000 (100)." },
		{ "io-read", 0, false, "SIZE", "Bytes per second it may read from the disk; 0 for no limit." },
		{ "io-write", 0, false, "SIZE", "Bytes per second it may write to the disk; 0 for no limit." },
		{ "restart", 0, false, "POLICY", "no, on-failure or always." },
		{ "latency-class", 0, false, "CLASS", "normal, interactive or batch." },
		{ "no-wait", 0, false, NULL, "Do not wait to say what is in force." }),
	.examples = EXAMPLES("strata update web --memory 512MiB --cpus 2", "strata update db --io-write 50MiB --cpu-weight 500"),
};
