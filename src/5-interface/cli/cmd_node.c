/* node, doctor, config, cert, backup, restore. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/each.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/terminal.h"
#include "5-interface/cli/transfer.h"
#include "base/str.h"
#include "base/units.h"
#include "model/config.h"

static const struct output_column columns[] = {
	{ .title = "NAME", .path = "meta.name" },
	{ .title = "STATE", .path = "status.state" },
	{ .title = "LEADER", .path = "status.is_leader", .may_be_empty = true },
	{ .title = "CORDONED", .path = "spec.cordoned" },
	{ .title = "ADDRESS", .path = "status.address", .may_be_empty = true },
	{ .title = "CPUS", .path = "status.cpus" },
	{ .title = "CPUS PROMISED", .path = "status.cpus_promised" },
	{ .title = "MEMORY", .path = "status.memory" },
	{ .title = "MEMORY PROMISED", .path = "status.memory_promised" },
	{ .title = "ACCELERATOR", .path = "status.accelerator" },
	{ .title = "VERSION", .path = "status.version" },
	{ .title = "REASON", .path = "status.reason", .may_be_empty = true },
	{ 0 },
};

static int run_node_ls(struct cli *cli, struct err *err)
{
	return output_list(cli, &(struct output_list){ .kind = &kinds[KIND_NODE], .path = "/v1/nodes", .columns = columns }, err);
}

static int run_node_show(struct cli *cli, struct err *err)
{
	if (!cli_argument_count(cli))
		return output_object(cli, &kinds[KIND_NODE], "/v1/node", err);
	return resource_show(cli, &kinds[KIND_NODE], err);
}

static int run_node_set(struct cli *cli, struct err *err)
{
	return resource_set(cli, &kinds[KIND_NODE], err);
}

static int cordon_one(struct cli *cli, const char *name, void *data, struct err *err)
{
	auto_free char *path = request_path(kinds[KIND_NODE].plural, name, NULL);
	auto_json struct json *patch = json_new_object();

	json_set(spec_member(patch, "spec"), "cordoned", json_new_bool(data != NULL));
	if (!data)
		json_set(spec_member(patch, "spec"), "draining", json_new_bool(false));
	return request_json(cli, "PATCH", path, patch, NULL, err);
}

static int run_node_cordon(struct cli *cli, struct err *err)
{
	return each_argument(cli, cordon_one, cli, err);
}

static int run_node_uncordon(struct cli *cli, struct err *err)
{
	return each_argument(cli, cordon_one, NULL, err);
}

/* Doctor: every check, its remedy below it; exit code 1 when one failed. */

static void add_check(struct table *table, const struct json *check)
{
	const char *remedy = json_string(json_get(check, "remedy"), "");

	table_text(table, json_string(json_get(check, "state"), ""));
	table_text(table, json_string(json_get(check, "check"), ""));
	table_text(table, json_string(json_get(check, "text"), ""));
	if (!remedy[0])
		return;
	table_text(table, "");
	table_text(table, "");
	table_cell(table, "remedy: %s", remedy);
}

static int run_doctor(struct cli *cli, struct err *err)
{
	struct table table = { 0 };
	auto_json struct json *json = NULL;
	const struct json *checks;
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err), exit_code = 0;

	if (result == 0)
		result = request_json(cli, "GET", "/v1/doctor", NULL, &json, err);
	if (result < 0)
		return result;
	checks = json_get(json, "items") ? json_get(json, "items") : json;
	table_header(&table, "STATE", "CHECK", "FOUND", NULL);
	for (size_t i = 0; i < json_count(checks); i++) {
		const struct json *check = json_at(checks, i);

		if (text_equal(json_string(json_get(check, "state"), ""), "failed"))
			exit_code = 1;
		if (form == OUTPUT_NAME)
			fprintf(cli->out, "%s\n", shown(json_string(json_get(check, "check"), "")));
		add_check(&table, check);
	}
	if (form == OUTPUT_TABLE)
		table_print(&table, !cli_has(cli, "no-headers"), cli->out);
	else if (form != OUTPUT_NAME)
		form == OUTPUT_JSON ? output_json(cli, checks) : output_yaml(cli, checks);
	table_done(&table);
	return exit_code;
}

/* Configuration: one object without kind. */

static int decode_config(const struct json *json, struct config *config, struct err *err)
{
	int result;

	field_defaults(&config_table, config);
	result = field_decode(&config_table, json, FIELD_STORED, "", config, err);
	if (result < 0)
		field_done(&config_table, config);
	return result;
}

static int run_config_show(struct cli *cli, struct err *err)
{
	auto_json struct json *json = NULL;
	struct config config = { 0 };
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_json(cli, "GET", "/v1/config", NULL, &json, err);
	if (result < 0)
		return result;
	if (form == OUTPUT_JSON || form == OUTPUT_YAML) {
		form == OUTPUT_JSON ? output_json(cli, json) : output_yaml(cli, json);
		return 0;
	}
	result = decode_config(json, &config, err);
	if (result < 0)
		return result;
	show_fields(&config_table, &config, cli->out);
	field_done(&config_table, &config);
	return 0;
}

static int run_config_get(struct cli *cli, struct err *err)
{
	const char *path = cli_argument(cli, 0);
	auto_json struct json *json = NULL;
	auto_str struct str text = { 0 };
	struct config config = { 0 };
	int result;

	if (!field_find(&config_table, path))
		return err_set(err, CLI_USAGE, "unknown setting '%s': see 'strata explain config'", shown(path));
	result = request_json(cli, "GET", "/v1/config", NULL, &json, err);
	if (result == 0)
		result = decode_config(json, &config, err);
	if (result < 0)
		return result;
	field_text(&config_table, path, &config, &text);
	fprintf(cli->out, "%s\n", str_text(&text));
	field_done(&config_table, &config);
	return 0;
}

/* KEY VALUE, or any number of KEY=VALUE. */
static int run_config_set(struct cli *cli, struct err *err)
{
	auto_json struct json *patch = json_new_object();
	const char *first = cli_argument(cli, 0), *second = cli_argument(cli, 1);
	bool is_pair = cli_argument_count(cli) == 2 && !strchr(first, '=');
	auto_free char *pair = is_pair ? text_format("%s=%s", first, second) : NULL;

	for (size_t i = 0; i < (is_pair ? 1 : cli_argument_count(cli)); i++) {
		int result = spec_assign_in(&config_table, is_pair ? pair : cli_argument(cli, i), patch, err);

		if (result < 0)
			return result;
	}
	return request_json(cli, "PATCH", "/v1/config", patch, NULL, err);
}

/* Certificates. */

static int write_secret(const char *path, const char *text, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(err, -errno, "write '%s': %m", shown(path));
	return write_all(fd, text, strlen(text), err);
}

static int run_cert_issue(struct cli *cli, struct err *err)
{
	static const struct { const char *member, *ending; } files[] = {
		{ "certificate", "crt" }, { "key", "key" }, { "ca", "ca.crt" },
	};
	const char *name = cli_argument(cli, 0), *folder = cli_value(cli, "directory");
	auto_json struct json *body = json_new_object(), *answer = NULL;
	int result;

	json_set(body, "name", json_new_string(name));
	result = request_json(cli, "POST", "/v1/certificates", body, &answer, err);
	for (size_t i = 0; i < ARRAY_COUNT(files) && result == 0; i++) {
		auto_free char *path = text_format("%s%s%s.%s", folder ? folder : "", folder ? "/" : "", name, files[i].ending);

		result = write_secret(path, json_string(json_get(answer, files[i].member), ""), err);
		if (result == 0)
			fprintf(cli->out, "%s\n", path);
	}
	return result;
}

/* Backup. */

static int run_backup(struct cli *cli, struct err *err)
{
	const char *file = cli_argument(cli, 0);

	if (!text_equal(file, "-") && access(file, F_OK) == 0)
		return err_set(err, -EEXIST, "'%s' exists already: a backup overwrites nothing, choose another name", shown(file));
	return transfer_download(cli, "/v1/backup", file, err);
}

static int run_restore(struct cli *cli, struct err *err)
{
	const char *state = cli_value(cli, "state");

	if (!state)
		return err_set(err, CLI_USAGE, "--state is missing: name the state folder of the daemon, like /var/lib/strata");
	if (!cli->doors->restore)
		return err_set(err, -EOPNOTSUPP, "this strata was built without restore");
	return cli->doors->restore(cli_argument(cli, 0), state, err);
}

/* What if? */

static int run_what_if_drain(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("nodes", cli_argument(cli, 0), "what-if", "drain", NULL);
	auto_json struct json *json = NULL;
	struct table table = { 0 };
	char size[UNITS_TEXT_SIZE];
	enum output_form form;
	size_t stuck = 0;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	result = result ? result : request_json(cli, "GET", path, NULL, &json, err);
	if (result < 0)
		return result;
	table_header(&table, "INSTANCE", "MEMORY", "WOULD GO TO", "WHY NOT", NULL);
	for (size_t i = 0; i < json_count(json); i++) {
		const struct json *item = json_at(json, i);
		const char *to = json_string(json_get(item, "to"), NULL);

		stuck += !to;
		table_text(&table, json_string(json_get(item, "instance"), ""));
		table_text(&table, units_format_size((uint64_t)json_int(json_get(item, "memory"), 0), size));
		table_text(&table, to ? to : "-");
		table_text(&table, json_string(json_get(item, "text"), ""));
	}
	if (form == OUTPUT_TABLE && json_count(json))
		table_print(&table, !cli_has(cli, "no-headers"), cli->out);
	else if (form == OUTPUT_TABLE)
		fprintf(cli->out, "nothing runs on node '%s'\n", cli_argument(cli, 0));
	else
		form == OUTPUT_YAML ? output_yaml(cli, json) : output_json(cli, json);
	table_done(&table);
	return stuck ? 1 : 0;
}

const struct cli_command command_what_if_drain = {
	.name = "what-if drain", .arguments = "NODE", .min = 1, .max = 1, .completes = "nodes", .run = run_what_if_drain,
	.summary = "Say where what runs on a host would go, if it had to be empty",
	.more = "Nothing is changed. Exit code 1 when something would find no place.",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata what-if drain alpha"),
};

const struct cli_command command_node_ls = {
	.name = "node ls", .max = 0, .run = run_node_ls, .summary = "List hosts: what they have, and what of it is promised",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata node ls", "strata node ls -o json"),
};

const struct cli_command command_node_show = {
	.name = "node show", .arguments = "[NAME...]", .max = -1, .completes = "nodes", .run = run_node_show,
	.summary = "Show a host (this one): hardware, acceleration, warnings",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata node show", "strata node show -o json"),
};

const struct cli_command command_node_set = {
	.name = "node set", .arguments = "NAME FIELD=VALUE...", .min = 2, .max = -1, .completes = "nodes", .run = run_node_set,
	.summary = "Change a host's labels, or how it is switched off when it is lost",
	.more = "label.KEY= removes a label. 'strata explain node.power' lists what can be said of its controller; 'strata node power' asks it.",
	.examples = EXAMPLES("strata node set alpha label.zone=b label.disk=ssd",
			     "strata node set alpha power.driver=redfish power.address=https://192.0.2.9 power.credentials=/etc/strata/bmc",
			     "strata node set alpha power.driver=none"),
};

const struct cli_command command_node_cordon = {
	.name = "node cordon", .arguments = "NAME...", .min = 1, .max = -1, .completes = "nodes", .run = run_node_cordon,
	.summary = "Let a host take no new instances; what is there stays",
	.examples = EXAMPLES("strata node cordon alpha"),
};

const struct cli_command command_node_uncordon = {
	.name = "node uncordon", .arguments = "NAME...", .min = 1, .max = -1, .completes = "nodes", .run = run_node_uncordon,
	.summary = "Let a host take new instances again",
	.examples = EXAMPLES("strata node uncordon alpha"),
};

const struct cli_command command_doctor = {
	.name = "doctor", .max = 0, .run = run_doctor, .summary = "Check what this host offers, with a remedy for each lack",
	.more = "Exit code 1 when something needed is missing.",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata doctor"),
};

const struct cli_command command_config_show = {
	.name = "config show", .max = 0, .run = run_config_show, .summary = "Show the settings of the daemon",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata config show"),
};

const struct cli_command command_config_get = {
	.name = "config get", .arguments = "SETTING", .min = 1, .max = 1, .run = run_config_get,
	.summary = "Show one setting of the daemon",
	.examples = EXAMPLES("strata config get console.log_size"),
};

const struct cli_command command_config_set = {
	.name = "config set", .arguments = "SETTING VALUE", .min = 1, .max = -1, .run = run_config_set,
	.summary = "Change settings of the daemon",
	.more = "Also as SETTING=VALUE, several at once; an empty value goes back to the default.",
	.examples = EXAMPLES("strata config set api.listen 127.0.0.1:8443", "strata config set console.log_size=4MiB api.listen="),
};

const struct cli_command command_cert_issue = {
	.name = "cert issue", .arguments = "NAME", .min = 1, .max = 1, .run = run_cert_issue,
	.summary = "Make a certificate for somebody who works from another host",
	.more = "Writes NAME.crt, NAME.key and NAME.ca.crt, for --cert, --key and --ca.",
	.options = OPTIONS({ "directory", 'd', false, "DIR", "Where to write them (here)." }),
	.examples = EXAMPLES("strata cert issue alice",
			     "strata --host https://host:8443 --cert alice.crt --key alice.key --ca alice.ca.crt ls"),
};

const struct cli_command command_backup = {
	.name = "backup", .arguments = "FILE", .min = 1, .max = 1, .completes = "file", .run = run_backup,
	.summary = "Write the daemon's store to a file, while it runs",
	.more = "It holds every object, not the disks: for those see 'strata export' and 'strata image export'.",
	.examples = EXAMPLES("strata backup strata.backup"),
};

const struct cli_command command_restore = {
	.name = "restore", .arguments = "FILE", .min = 1, .max = 1, .completes = "file", .run = run_restore,
	.summary = "Put a backup in the place of the daemon's store, while it is stopped",
	.options = OPTIONS({ "state", 0, false, "DIR", "State folder of the daemon." }),
	.examples = EXAMPLES("strata restore strata.backup --state /var/lib/strata"),
};
