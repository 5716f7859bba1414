/* run, create: a new instance from options. */
#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/names.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/session.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

enum { NAME_TRIES = 20 };

/* Adds each use of 'option', read by 'parse', to the list 'key'. */
static int add_list(const struct cli *cli, const char *option, const char *key,
		    int (*parse)(const char *text, struct json **ret_json, struct err *err), struct json *spec,
		    struct err *err)
{
	auto_json struct json *list = json_new_array();
	const char *text;

	for (size_t i = 0; (text = cli_value_at(cli, option, i)); i++) {
		struct json *element;
		int result = parse(text, &element, err);

		if (result < 0) {
			err_prefix(err, "--%s", option);
			return result;
		}
		json_push(list, element);
	}
	if (json_count(list))
		json_set(spec, key, take(list));
	return 0;
}

static int add_networks(const struct cli *cli, struct json *spec, struct err *err)
{
	const char *only = cli_value(cli, "network");

	if (text_equal(only, "none") && !cli_value_at(cli, "network", 1)) {
		json_set(spec, "nics", json_new_array());
		return 0;
	}
	return add_list(cli, "network", "nics", spec_nic, spec, err);
}

static int add_user_data(const struct cli *cli, struct json *spec, struct err *err)
{
	const char *path = cli_value(cli, "user-data");
	auto_str struct str text = { 0 };
	int result;

	if (!path)
		return 0;
	result = file_read_all(text_equal(path, "-") ? "/dev/stdin" : path, LIMIT_TEXT_BYTES, &text, err);
	if (result < 0)
		return err_prefix(err, "--user-data");
	json_set(spec, "user_data", json_new_string(str_text(&text)));
	return 0;
}

static int add_keys_of(const char *path, struct json *keys, struct err *err)
{
	auto_str struct str text = { 0 };
	int result = file_read_all(path, LIMIT_TEXT_BYTES, &text, err);
	char *rest = text.data, *line;

	if (result < 0)
		return err_prefix(err, "--ssh-key");
	if (strstr(str_text(&text), "PRIVATE KEY"))
		return err_set(err, -EINVAL, "--ssh-key: %s is a private key: give the public one (%s.pub)", shown(path), shown(path));
	while ((line = strsep(&rest, "\r\n")))
		if (line[0] && line[0] != '#')
			json_push(keys, json_new_string(line));
	return 0;
}

static int add_ssh_keys(const struct cli *cli, struct json *spec, struct err *err)
{
	auto_json struct json *keys = json_new_array();
	const char *path;

	for (size_t i = 0; (path = cli_value_at(cli, "ssh-key", i)); i++) {
		int result = add_keys_of(path, keys, err);

		if (result < 0)
			return result;
	}
	if (json_count(keys))
		json_set(spec, "ssh_keys", take(keys));
	return 0;
}

/* Options that are one field each; the daemon judges their values. */
static void add_scalars(const struct cli *cli, struct json *spec)
{
	static const struct { const char *option, *field; bool is_number; } plain[] = {
		{ "cpus", "cpus", true }, { "memory", "memory", false }, { "disk", "root_size", false },
		{ "machine", "machine", false }, { "boot", "boot", false }, { "restart", "restart", false },
		{ "kernel-options", "kernel_options", false }, { "stop-timeout", "stop_timeout", false },
	};

	for (size_t i = 0; i < ARRAY_COUNT(plain); i++) {
		const char *text = cli_value(cli, plain[i].option);

		if (text)
			json_set(spec, plain[i].field, plain[i].is_number ? spec_number(text) : json_new_string(text));
	}
	if (cli_has(cli, "vnc"))
		json_set(spec, "vnc", json_new_bool(true));
	if (cli_has(cli, "vsock"))
		json_set(spec, "vsock", json_new_bool(true));
	if (cli_has(cli, "no-autostart"))
		json_set(spec, "autostart", json_new_bool(false));
}

static int build_spec(const struct cli *cli, const char *power, struct json *spec, struct err *err)
{
	int result;

	json_set(spec, "image", json_new_string(cli_argument(cli, 0)));
	json_set(spec, "power", json_new_string(power));
	add_scalars(cli, spec);
	result = add_networks(cli, spec, err);
	if (result == 0)
		result = add_list(cli, "publish", "publish", spec_publish, spec, err);
	if (result == 0)
		result = add_list(cli, "volume", "volumes", spec_volume, spec, err);
	if (result == 0)
		result = add_user_data(cli, spec, err);
	if (result == 0)
		result = add_ssh_keys(cli, spec, err);
	return result;
}

static int add_labels(const struct cli *cli, struct json *meta, struct err *err)
{
	const char *text;

	for (size_t i = 0; (text = cli_value_at(cli, "label", i)); i++) {
		int result = spec_label(text, spec_member(meta, "labels"), err);

		if (result < 0) {
			err_prefix(err, "--label");
			return result;
		}
	}
	return 0;
}

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

static int make_instance(struct cli *cli, const char *power, struct json **ret_answer, struct err *err)
{
	auto_json struct json *body = json_new_object();
	int result = add_labels(cli, spec_member(body, "meta"), err);

	if (result == 0)
		result = build_spec(cli, power, spec_member(body, "spec"), err);
	if (result == 0)
		result = send_new(cli, body, ret_answer, err);
	return result;
}

static int wait_for_instance(struct cli *cli, const struct json *answer, wait_look_fn *look, struct err *err)
{
	const char *name = json_string(json_path(answer, "meta.name"), "");
	auto_free char *path = request_path("instances", name, NULL);

	if (cli_has(cli, "no-wait"))
		return 0;
	return wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = name, .look = look,
			.revision = answer_revision(answer) }, err);
}

static int run_run(struct cli *cli, struct err *err)
{
	auto_json struct json *answer = NULL;
	int result = make_instance(cli, "running", &answer, err);

	if (result < 0)
		return result;
	if (cli_has(cli, "console")) {
		fprintf(cli->messages, "instance '%s' is being started\n", json_string(json_path(answer, "meta.name"), ""));
		return session_console(cli, json_string(json_path(answer, "meta.name"), ""), SESSION_FROM_THE_START, err);
	}
	result = wait_for_instance(cli, answer, wait_until_running, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", json_string(json_path(answer, "meta.name"), ""));
	return result;
}

static int run_create(struct cli *cli, struct err *err)
{
	auto_json struct json *answer = NULL;
	int result = make_instance(cli, "stopped", &answer, err);

	if (result == 0)
		result = wait_for_instance(cli, answer, wait_until_created, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", json_string(json_path(answer, "meta.name"), ""));
	return result;
}

#define INSTANCE_OPTIONS \
	{ "cpus", 'c', false, "N", "Virtual CPUs (1)." }, \
	{ "memory", 'm', false, "SIZE", "Memory (256MiB)." }, \
	{ "disk", 'd', false, "SIZE", "Size of the root disk (as large as the image)." }, \
	{ "network", 'n', true, "NETWORK[,address=IP][,mac=MAC]", "Network to plug into ('default'); 'none' for no network." }, \
	{ "publish", 'p', true, "[ADDRESS:]HOSTPORT:GUESTPORT[/udp]", "Port of this host that leads to the instance." }, \
	{ "volume", 'v', true, "NAME[:ro]", "Volume to plug in." }, \
	{ "label", 'l', true, "KEY=VALUE", "Label to select by." }, \
	{ "machine", 0, false, "TYPE", "auto, q35 or microvm." }, \
	{ "boot", 0, false, "HOW", "auto, kernel, bios or uefi." }, \
	{ "kernel-options", 0, false, "TEXT", "Added to the kernel's command line." }, \
	{ "restart", 0, false, "POLICY", "no, on-failure or always." }, \
	{ "no-autostart", 0, false, NULL, "Do not start it again after the host has booted." }, \
	{ "stop-timeout", 0, false, "DURATION", "How long the guest may take to power off (30s)." }, \
	{ "user-data", 0, false, "FILE", "User data for cloud-init; - for standard input." }, \
	{ "ssh-key", 0, true, "FILE", "Public key that may log in." }, \
	{ "vnc", 0, false, NULL, "Add a screen, over VNC on a unix socket." }, \
	{ "vsock", 0, false, NULL, "Add a virtio-vsock device." }

const struct cli_command command_run = {
	.name = "run", .arguments = "IMAGE [NAME]", .min = 1, .max = 2, .completes = "images", .run = run_run,
	.summary = "Create an instance from an image and start it",
	.more = "Prints its name when it runs. Without a NAME one is made up.",
	.options = OPTIONS(INSTANCE_OPTIONS,
		{ "console", 0, false, NULL, "Attach to its console at once." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata run tiny web",
			     "strata run debian:12 db --cpus 2 --memory 2GiB --disk 20GiB --ssh-key ~/.ssh/id_ed25519.pub",
			     "strata run tiny web --publish 8080:80 --network default,address=10.1.2.30", "strata run tiny --console"),
};

const struct cli_command command_create = {
	.name = "create", .arguments = "IMAGE [NAME]", .min = 1, .max = 2, .completes = "images", .run = run_create,
	.summary = "Create an instance without starting it",
	.options = OPTIONS(INSTANCE_OPTIONS, WAIT_OPTIONS),
	.examples = EXAMPLES("strata create tiny web", "strata create debian:12 db --volume data --restart always"),
};
