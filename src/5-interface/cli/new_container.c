#include <string.h>

#include "5-interface/cli/container_text.h"
#include "5-interface/cli/gpus.h"
#include "5-interface/cli/new_instance.h"
#include "5-interface/cli/spec_text.h"
#include "base/str.h"

/* The files first, then the options: what comes later wins. */
static int add_environment(const struct cli *cli, struct json *container, struct err *err)
{
	auto_json struct json *variables = json_new_object();
	struct json_cursor cursor = { 0 };
	struct json *list;
	const char *text;
	int result = 0;

	for (size_t i = 0; result == 0 && (text = cli_value_at(cli, "env-file", i)); i++)
		result = container_env_file(text, variables, err);
	if (result < 0)
		return err_prefix(err, "--env-file");
	for (size_t i = 0; result == 0 && (text = cli_value_at(cli, "env", i)); i++)
		result = container_env(text, variables, err);
	if (result < 0)
		return err_prefix(err, "--env");
	if (!json_count(variables))
		return 0;
	list = json_new_array();
	while (json_next(variables, &cursor)) {
		auto_free char *pair = text_format("%s=%s", cursor.key, json_string(cursor.value, ""));

		json_push(list, json_new_string(pair));
	}
	json_set(container, "env", list);
	return 0;
}

/*
 * An empty list means the image's, so a program without the image's entrypoint is itself the
 * entrypoint: its arguments then are those of the command line and no others.
 */
static int add_program(const struct cli *cli, struct json *container, struct err *err)
{
	const char *text = cli_value(cli, "entrypoint");
	auto_json struct json *entrypoint = NULL, *command = json_new_array();
	int result = text ? container_words(text, &entrypoint, err) : 0;

	if (result < 0)
		return err_prefix(err, "--entrypoint");
	for (size_t i = 0; cli_rest(cli, i); i++)
		json_push(command, json_new_string(cli_rest(cli, i)));
	if (entrypoint && !json_count(entrypoint) && !json_count(command))
		return err_set(err, CLI_USAGE, "--entrypoint \"\": then the command must be given, after '--'");
	if (entrypoint && !json_count(entrypoint)) {
		json_set(container, "entrypoint", take(command));
		return 0;
	}
	if (entrypoint)
		json_set(container, "entrypoint", take(entrypoint));
	if (json_count(command))
		json_set(container, "command", take(command));
	return 0;
}

static int add_mounts(const struct cli *cli, bool is_container, struct json *container, struct err *err)
{
	auto_json struct json *list = json_new_array();
	int result = is_container ? new_instance_list(cli, "volume", container_volume, list, err) : 0;

	if (result == 0)
		result = new_instance_list(cli, "mount", container_mount, list, err);
	if (result == 0)
		result = new_instance_list(cli, "tmpfs", container_tmpfs, list, err);
	if (result == 0 && json_count(list))
		json_set(container, "mounts", take(list));
	return result;
}

static int add_devices(const struct cli *cli, struct json *container, struct err *err)
{
	auto_json struct json *list = json_new_array();
	const char *gpus = cli_value(cli, "gpus");
	int result = new_instance_list(cli, "device", container_device, list, err);

	if (result == 0 && gpus && cli->target.host)
		return err_set(err, CLI_USAGE, "--gpus: looks at the devices of this host, but the daemon is elsewhere: name them with --device");
	if (result == 0 && gpus)
		result = gpus_add("/dev", gpus, list, err);
	if (result == 0 && json_count(list))
		json_set(container, "devices", take(list));
	return result;
}

static int add_capabilities(const struct cli *cli, const char *option, const char *key, struct json *container, struct err *err)
{
	auto_json struct json *list = json_new_array();
	int result = new_instance_list(cli, option, container_capability, list, err);

	if (result == 0 && json_count(list))
		json_set(container, key, take(list));
	return result;
}

static void add_health(const struct cli *cli, struct json *container)
{
	static const struct { const char *option, *field; } plain[] = {
		{ "health-interval", "interval" }, { "health-timeout", "timeout" }, { "health-start-period", "start_period" },
	};
	const char *command = cli_value(cli, "health-cmd"), *retries = cli_value(cli, "health-retries");

	if (command) {
		struct json *argv = json_new_array();

		json_push(argv, json_new_string("sh"));
		json_push(argv, json_new_string("-c"));
		json_push(argv, json_new_string(command));
		json_set(spec_member(container, "health"), "command", argv);
	}
	for (size_t i = 0; i < ARRAY_COUNT(plain); i++)
		if (cli_value(cli, plain[i].option))
			json_set(spec_member(container, "health"), plain[i].field, json_new_string(cli_value(cli, plain[i].option)));
	if (retries)
		json_set(spec_member(container, "health"), "retries", spec_number(retries));
}

/* Options that are one field each; the daemon judges their values. */
static void add_scalars(const struct cli *cli, struct json *container)
{
	static const struct { const char *option, *field; } texts[] = {
		{ "user", "user" }, { "workdir", "directory" }, { "stop-signal", "stop_signal" }, { "io-read", "io_read" },
		{ "io-write", "io_write" },
	}, numbers[] = { { "pids", "pids" }, { "cpu-weight", "cpu_weight" } }, flags[] = {
		{ "terminal", "terminal" }, { "interactive", "input" }, { "read-only", "read_only" }, { "rm", "remove" },
	};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		if (cli_value(cli, texts[i].option))
			json_set(container, texts[i].field, json_new_string(cli_value(cli, texts[i].option)));
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		if (cli_value(cli, numbers[i].option))
			json_set(container, numbers[i].field, spec_number(cli_value(cli, numbers[i].option)));
	for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
		if (cli_has(cli, flags[i].option))
			json_set(container, flags[i].field, json_new_bool(true));
}

/* For a vm it is sent all the same: the daemon says that a vm has none of it. */
int new_container_spec(const struct cli *cli, bool is_container, struct json *spec, struct err *err)
{
	auto_json struct json *container = json_new_object();
	int result = add_program(cli, container, err);

	if (result == 0)
		result = add_environment(cli, container, err);
	if (result == 0)
		result = add_mounts(cli, is_container, container, err);
	if (result == 0)
		result = add_devices(cli, container, err);
	if (result == 0)
		result = add_capabilities(cli, "cap-add", "cap_add", container, err);
	if (result == 0)
		result = add_capabilities(cli, "cap-drop", "cap_drop", container, err);
	if (result < 0)
		return result;
	add_scalars(cli, container);
	add_health(cli, container);
	if (json_count(container))
		json_set(spec, "container", take(container));
	return 0;
}
