/* cluster init, join, token, show, leave, export, import, forget; node remove. */
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/progress.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/transfer.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/cluster.h"
#include "model/node.h"

enum { LOOK_MS = 100, SILENCE_MS = 60000, ENTERED_MS = 60000 };

static int read_status(struct cli *cli, struct cluster_status *status, struct err *err)
{
	auto_json struct json *json = NULL;
	int result = request_json(cli, "GET", "/v1/cluster", NULL, &json, err);

	field_defaults(&cluster_status_table, status);
	return result < 0 ? result : field_decode(&cluster_status_table, json, FIELD_STORED, "", status, err);
}

/* ---- A daemon that gets another store: it begins anew at the end, and may not answer for a moment ---- */

struct journey {
	struct progress progress;
	int64_t heard_ms;		/* When the daemon answered last. */
	int goal;			/* enum cluster_state */
};

/* 1: go on. */
static int look(struct cli *cli, struct journey *journey, struct err *err)
{
	struct cluster_status status = { 0 };
	int result = read_status(cli, &status, err);

	if (result < 0 && clock_monotonic_ms() - journey->heard_ms > SILENCE_MS)
		return err_prefix(err, "the daemon does not come back");
	if (result < 0)
		return 1;
	journey->heard_ms = clock_monotonic_ms();
	result = 1;
	if (status.state == CLUSTER_MOVING)
		progress_step(&journey->progress, status.step ? status.step : "", 0, 0);
	else if (status.error)
		result = err_set(err, -EIO, "%s", status.error);
	else if (status.state == journey->goal)
		result = 0;
	else
		result = err_set(err, -EIO, "the daemon was ended on the way, and nothing has changed: say it again");
	field_done(&cluster_status_table, &status);
	return result;
}

static int travel(struct cli *cli, const char *path, const struct json *body, int goal, struct err *err)
{
	struct journey journey = { .goal = goal, .heard_ms = clock_monotonic_ms() };
	int result = request_json(cli, "POST", path, body, NULL, err);

	if (result < 0)
		return result;
	progress_begin(&journey.progress, cli->messages, "cluster");
	while ((result = look(cli, &journey, err)) == 1) {
		progress_tick(&journey.progress);
		poll(NULL, 0, LOOK_MS);
	}
	progress_end(&journey.progress);
	return result;
}

/* A path means a file of this host; the daemon has another working directory. */
static int set_path(const struct cli *cli, const char *option, struct json *object, const char *key, struct err *err)
{
	const char *path = cli_value(cli, option);
	char resolved[PATH_MAX];

	if (!path)
		return 0;
	if (!realpath(path, resolved))
		return err_set(err, -errno, "--%s '%s': %m", option, shown(path));
	json_set(object, key, json_new_string(resolved));
	return 0;
}

/* "https://a:2379,https://b:2379" */
static struct json *split_endpoints(const char *text)
{
	struct json *list = json_new_array();
	auto_free char *copy = text_copy(text);
	char *rest = copy, *each;

	while ((each = strsep(&rest, ",")))
		json_push(list, json_new_string(each));
	return list;
}

static int run_init(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object();
	struct json *etcd = json_new_object();
	int result;

	set_from_option(cli, "address", body, "address");
	if (cli_value(cli, "etcd"))
		json_set(etcd, "endpoints", split_endpoints(cli_value(cli, "etcd")));
	result = set_path(cli, "etcd-ca", etcd, "ca", err);
	if (result == 0)
		result = set_path(cli, "etcd-cert", etcd, "certificate", err);
	if (result == 0)
		result = set_path(cli, "etcd-key", etcd, "key", err);
	json_set(body, "etcd", etcd);
	if (result == 0)
		result = travel(cli, "/v1/cluster/init", body, CLUSTER_READY, err);
	if (result == 0)
		fprintf(cli->messages, "this host is a cluster of one: 'strata cluster token' lets in the next\n");
	return result;
}

/* The leader has seen it. */
static int is_ready(void *data, const void *object, struct err *err)
{
	const struct node *node = object;

	(void)data, (void)err;
	return node && node->status.state == NODE_READY ? WAIT_DONE : WAIT_MORE;
}

static int run_join(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object();
	int result;

	json_set(body, "token", json_new_string(cli_argument(cli, 0)));
	set_from_option(cli, "name", body, "name");
	set_from_option(cli, "address", body, "address");
	result = travel(cli, "/v1/cluster/enter", body, CLUSTER_READY, err);
	if (result == 0)
		result = wait_for(cli, &(struct wait){ .kind = &kinds[KIND_NODE], .path = "/v1/node", .name = "this host", .look = is_ready,
				  .default_timeout_ms = ENTERED_MS, .is_patient = true }, err);
	if (result == 0)
		fprintf(cli->messages, "this host is in the cluster: see 'strata node ls'\n");
	return result;
}

static int run_leave(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object();
	int result = travel(cli, "/v1/cluster/leave", body, CLUSTER_SINGLE, err);

	if (result == 0)
		fprintf(cli->messages, "this host is by itself\n");
	return result;
}

static int run_accept_restored(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object(), *answer = NULL;
	int result = request_json(cli, "POST", "/v1/cluster/accept-restored", body, &answer, err);

	if (result == 0)
		fprintf(cli->messages, "what the store does not know goes from each host when its stratad starts the next time\n");
	return result;
}

static int run_show(struct cli *cli, struct err *err)
{
	struct cluster_status status = { 0 };
	auto_json struct json *json = NULL;
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_json(cli, "GET", "/v1/cluster", NULL, &json, err);
	if (result < 0)
		return result;
	if (form == OUTPUT_JSON || form == OUTPUT_YAML) {
		form == OUTPUT_JSON ? output_json(cli, json) : output_yaml(cli, json);
		return 0;
	}
	field_defaults(&cluster_status_table, &status);
	result = field_decode(&cluster_status_table, json, FIELD_STORED, "", &status, err);
	if (result == 0)
		show_fields(&cluster_status_table, &status, cli->out);
	field_done(&cluster_status_table, &status);
	return result;
}

/* ---- Tokens ---- */

static int run_token(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object(), *answer = NULL;
	struct cluster_token token = { 0 };
	char text[UNITS_TEXT_SIZE];
	int result;

	set_from_option(cli, "ttl", body, "ttl");
	result = request_json(cli, "POST", "/v1/cluster/tokens", body, &answer, err);
	if (result == 0)
		result = field_decode(&cluster_token_table, answer, FIELD_STORED, "", &token, err);
	if (result == 0) {
		fprintf(cli->out, "%s\n", token.token);
		fprintf(cli->messages, "good for one host, for %s: run there 'strata cluster join TOKEN'\n",
			units_format_duration(token.expires_at - token.created_at, text));
	}
	field_done(&cluster_token_table, &token);
	return result;
}

static void add_token(struct table *table, const struct json *json)
{
	struct cluster_token token = { 0 };
	char text[UNITS_TEXT_SIZE];
	struct err ignored;

	if (field_decode(&cluster_token_table, json, FIELD_STORED, "", &token, &ignored) == 0) {
		int64_t left = token.expires_at - clock_wall_ms();
		auto_free char *age = text_age(token.created_at, clock_wall_ms());

		table_text(table, token.id ? token.id : "");
		table_text(table, age);
		table_text(table, left > 0 ? units_format_duration((left / 1000 + 1) * 1000, text) : "ended");
	}
	field_done(&cluster_token_table, &token);
}

static int run_token_ls(struct cli *cli, struct err *err)
{
	struct table table = { 0 };
	auto_json struct json *json = NULL;
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_json(cli, "GET", "/v1/cluster/tokens", NULL, &json, err);
	if (result < 0)
		return result;
	table_header(&table, "ID", "AGE", "ENDS IN", NULL);
	for (size_t i = 0; i < json_count(json); i++) {
		if (form == OUTPUT_NAME)
			fprintf(cli->out, "%s\n", shown(json_string(json_get(json_at(json, i), "id"), "")));
		add_token(&table, json_at(json, i));
	}
	if (form == OUTPUT_TABLE)
		table_print(&table, !cli_has(cli, "no-headers"), cli->out);
	else if (form != OUTPUT_NAME)
		form == OUTPUT_JSON ? output_json(cli, json) : output_yaml(cli, json);
	table_done(&table);
	return 0;
}

static int run_token_revoke(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("cluster", "tokens", cli_argument(cli, 0), NULL);

	return request_json(cli, "DELETE", path, NULL, NULL, err);
}

/* ---- Out and in ---- */

static int run_export(struct cli *cli, struct err *err)
{
	const char *file = cli_argument(cli, 0);

	if (!text_equal(file, "-") && access(file, F_OK) == 0)
		return err_set(err, -EEXIST, "'%s' exists already: an export overwrites nothing, choose another name", shown(file));
	return transfer_download(cli, "/v1/backup", file, err);
}

static int run_import(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object();
	struct cluster_status status = { 0 };
	auto_free char *id = NULL;
	int result = read_status(cli, &status, err);

	if (result == 0)
		result = transfer_upload(cli, cli_argument(cli, 0), &id, err);
	if (result == 0) {
		json_set(body, "upload", json_new_string(id));
		result = travel(cli, "/v1/cluster/import", body, status.state, err);
	}
	field_done(&cluster_status_table, &status);
	return result;
}

static int run_forget(struct cli *cli, struct err *err)
{
	const char *state = cli_value(cli, "state");

	if (!state)
		return err_set(err, CLI_USAGE, "--state is missing: name the state folder of the daemon, like /var/lib/strata");
	if (!cli->doors->forget)
		return err_set(err, -EOPNOTSUPP, "this strata was built without clusters");
	return cli->doors->forget(state, err);
}

static int run_node_remove(struct cli *cli, struct err *err)
{
	return resource_rm(cli, &kinds[KIND_NODE], err);
}

const struct cli_command command_cluster_init = {
	.name = "cluster init", .max = 0, .run = run_init, .summary = "Make a cluster of this host; what runs goes on",
	.more = "Objects go from the file in the state folder into an etcd, which the hosts of the cluster run themselves (the first; with the "
		"third host three of them), or into the one that --etcd names. 'strata cluster leave' goes back.",
	.options = OPTIONS({ "address", 0, false, "ADDRESS[:PORT]", "Where the other hosts reach this one (the way to everywhere; port 8443)." },
			   { "etcd", 0, false, "URL,...", "An etcd that is there already, instead of one of our own." },
			   { "etcd-ca", 0, false, "FILE", "Who vouches for it." },
			   { "etcd-cert", 0, false, "FILE", "Our certificate for it." },
			   { "etcd-key", 0, false, "FILE", "Its key." }),
	.examples = EXAMPLES("strata cluster init", "strata cluster init --address 192.0.2.1",
			     "strata cluster init --etcd https://192.0.2.7:2379 --etcd-ca ca.pem --etcd-cert us.pem --etcd-key us.key"),
};

const struct cli_command command_cluster_join = {
	.name = "cluster join", .arguments = "TOKEN", .min = 1, .max = 1, .run = run_join,
	.summary = "Let this host, which must be empty, join a cluster",
	.more = "The token comes from 'strata cluster token' on a host of the cluster.",
	.options = OPTIONS({ "address", 0, false, "ADDRESS[:PORT]", "Where the other hosts reach this one (the way to them; port 8443)." },
			   { "name", 0, false, "NAME", "Its name in the cluster (its host name)." }),
	.examples = EXAMPLES("strata cluster join AbCd...", "strata cluster join AbCd... --name beta --address 192.0.2.2"),
};

const struct cli_command command_cluster_token = {
	.name = "cluster token", .max = 0, .run = run_token, .summary = "Make a token with which one host may join, once",
	.options = OPTIONS({ "ttl", 0, false, "DURATION", "How long it is good for (1h), at most 7d." }),
	.examples = EXAMPLES("strata cluster token", "strata cluster token --ttl 10m"),
};

const struct cli_command command_cluster_token_ls = {
	.name = "cluster token ls", .max = 0, .run = run_token_ls, .summary = "List tokens that were not used yet",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata cluster token ls"),
};

const struct cli_command command_cluster_token_revoke = {
	.name = "cluster token revoke", .arguments = "ID", .min = 1, .max = 1, .run = run_token_revoke, .summary = "Make a token worthless",
	.examples = EXAMPLES("strata cluster token revoke 4f1c09a2b77e6d53"),
};

const struct cli_command command_cluster_show = {
	.name = "cluster show", .max = 0, .run = run_show, .summary = "Show whether this host is in a cluster, and whether its etcd answers",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata cluster show", "strata cluster show -o json"),
};

const struct cli_command command_cluster_leave = {
	.name = "cluster leave", .max = 0, .run = run_leave, .summary = "Make this host one by itself again",
	.more = "The last host of a cluster takes all objects along, and what runs goes on. One of several must be empty.",
	.examples = EXAMPLES("strata cluster leave"),
};

const struct cli_command command_cluster_accept_restored = {
	.name = "cluster accept-restored", .max = 0, .run = run_accept_restored,
	.summary = "Let go of what a store that was restored from a backup does not know",
	.more = "After an old backup of etcd was restored the hosts may have instances and volumes that it does not know. They are kept until this is said; "
		"then they go from each host when its stratad starts the next time. Save what is to be saved before.",
	.examples = EXAMPLES("strata cluster accept-restored"),
};

const struct cli_command command_cluster_export = {
	.name = "cluster export", .arguments = "FILE", .min = 1, .max = 1, .completes = "file", .run = run_export,
	.summary = "Write all objects of the cluster to a file",
	.more = "The file is the same as of 'strata backup': for 'strata cluster import', or 'strata restore' on a host by itself. Disks are not in it.",
	.examples = EXAMPLES("strata cluster export house.backup"),
};

const struct cli_command command_cluster_import = {
	.name = "cluster import", .arguments = "FILE", .min = 1, .max = 1, .completes = "file", .run = run_import,
	.summary = "Put all objects of a file into a cluster, or a host by itself, that has none",
	.examples = EXAMPLES("strata cluster import house.backup"),
};

const struct cli_command command_cluster_forget = {
	.name = "cluster forget", .max = 0, .run = run_forget,
	.summary = "Make a host that was removed, or whose cluster is lost, one by itself, while its daemon is stopped",
	.more = "Its store is empty then: 'strata restore' puts a backup there. Guests and disks stay as they are.",
	.options = OPTIONS({ "state", 0, false, "DIR", "State folder of the daemon." }),
	.examples = EXAMPLES("strata cluster forget --state /var/lib/strata"),
};

const struct cli_command command_node_remove = {
	.name = "node remove", .arguments = "NAME...", .min = 1, .max = -1, .completes = "nodes", .run = run_node_remove,
	.summary = "Take a host that is gone for good out of the cluster",
	.more = "Its certificate is not accepted any more. With --force also one that is alive, or has instances: they are given up.",
	.options = OPTIONS({ "force", 'f', false, NULL, "Even when it is alive, or instances and volumes are there." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata node remove gamma", "strata node remove gamma --force"),
};
