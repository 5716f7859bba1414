#include "5-interface/cli/new_instance.h"

#include <ctype.h>
#include <string.h>

#include "5-interface/cli/spec_text.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

int new_instance_list(const struct cli *cli, const char *option, new_instance_parse_fn *parse, struct json *list, struct err *err)
{
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
	return 0;
}

static int add_list(const struct cli *cli, const char *option, const char *key, new_instance_parse_fn *parse, struct json *spec,
		    struct err *err)
{
	auto_json struct json *list = json_new_array();
	int result = new_instance_list(cli, option, parse, list, err);

	if (result == 0 && json_count(list))
		json_set(spec, key, take(list));
	return result;
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

/* Who is used to docker writes -d for "detached", and the image becomes the value. */
static int check_disk(const struct cli *cli, struct err *err)
{
	const char *size = cli_value(cli, "disk");

	if (size && !isdigit((unsigned char)size[0]))
		return err_set(err, CLI_USAGE, "--disk: '%s' is not a size like 20GiB (-d is --disk; --detach has no short form)", shown(size));
	return 0;
}

/* Options that are one field each; the daemon judges their values. */
static void add_scalars(const struct cli *cli, struct json *spec)
{
	static const struct { const char *option, *field; bool is_number; } plain[] = {
		{ "cpus", "cpus", true }, { "memory", "memory", false }, { "disk", "root_size", false },
		{ "machine", "machine", false }, { "boot", "boot", false }, { "restart", "restart", false },
		{ "kernel-options", "kernel_options", false }, { "stop-timeout", "stop_timeout", false }, { "pool", "pool", false },
		{ "latency-class", "latency_class", false }, { "ha", "ha", false },
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

static void add_texts(const struct cli *cli, const char *option, const char *field, struct json *spec)
{
	struct json *list;
	const char *text;

	if (!cli_value_at(cli, option, 0))
		return;
	list = json_new_array();
	for (size_t i = 0; (text = cli_value_at(cli, option, i)); i++)
		json_push(list, json_new_string(text));
	json_set(spec_member(spec, "placement"), field, list);
}

static void add_placement(const struct cli *cli, struct json *spec)
{
	if (cli_value(cli, "on"))
		json_set(spec, "node", json_new_string(cli_value(cli, "on")));
	if (cli_value(cli, "spread"))
		json_set(spec_member(spec, "placement"), "spread", json_new_string(cli_value(cli, "spread")));
	add_texts(cli, "on-label", "labels", spec);
	add_texts(cli, "with", "with", spec);
	add_texts(cli, "without", "without", spec);
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

int new_instance_body(const struct cli *cli, bool is_container, bool is_attached, const char *power, struct json *body,
		      struct err *err)
{
	struct json *spec = spec_member(body, "spec");
	int result = check_disk(cli, err);

	if (is_container)
		json_set(spec, "kind", json_new_string("container"));
	json_set(spec, "image", json_new_string(cli_argument(cli, 0)));
	json_set(spec, "power", json_new_string(power));
	/* Whoever waits for its end, or wants it gone then, does not want it started again. */
	if (is_attached || (is_container && cli_has(cli, "rm")))
		json_set(spec, "restart", json_new_string("no"));
	add_scalars(cli, spec);
	add_placement(cli, spec);
	if (result == 0)
		result = add_labels(cli, spec_member(body, "meta"), err);
	if (result == 0)
		result = add_networks(cli, spec, err);
	if (result == 0)
		result = add_list(cli, "publish", "publish", spec_publish, spec, err);
	if (result == 0 && !is_container)
		result = add_list(cli, "volume", "volumes", spec_volume, spec, err);
	if (result == 0)
		result = add_user_data(cli, spec, err);
	if (result == 0)
		result = add_ssh_keys(cli, spec, err);
	if (result == 0)
		result = new_container_spec(cli, is_container, spec, err);
	/* What is piped into it has an end. */
	if (result == 0 && is_attached && cli_has(cli, "interactive") && !cli_has(cli, "terminal"))
		json_set(spec_member(spec, "container"), "input_once", json_new_bool(true));
	return result;
}
