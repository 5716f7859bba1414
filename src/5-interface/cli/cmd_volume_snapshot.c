/* volume snapshot ..., volume backup, restore. */
#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/snapshots.h"
#include "5-interface/cli/transfer.h"
#include "base/str.h"

static const struct output_column columns[] = {
	{ .title = "NAME", .path = "meta.name" },
	{ .title = "STATE", .path = "status.state" },
	{ .title = "TAKEN AT", .path = "status.taken_at" },
	{ .title = "AGE", .path = "meta.created_at" },
	{ .title = "REASON", .path = "status.reason", .may_be_empty = true },
	{ 0 },
};

static int run_ls(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("volumes", cli_argument(cli, 0), "snapshots", NULL);

	return output_list(cli, &(struct output_list){ .kind = &kinds[KIND_SNAPSHOT], .path = path, .columns = columns }, err);
}

static int run_create(struct cli *cli, struct err *err)
{
	return snapshots_create(cli, "volumes", json_new_object(), err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return snapshots_rm(cli, "volumes", err);
}

static int wait_for_volume(struct cli *cli, const char *name, const struct json *answer, struct err *err)
{
	const struct kind *kind = &kinds[KIND_VOLUME];
	auto_free char *path = request_path("volumes", name, NULL);

	if (cli_has(cli, "no-wait"))
		return 0;
	return wait_for(cli, &(struct wait){ .kind = kind, .path = path, .name = name, .look = wait_until_restored_volume,
			.data = (void *)(uintptr_t)kind, .revision = answer_revision(answer) }, err);
}

static int run_snapshot_restore(struct cli *cli, struct err *err)
{
	const char *name = cli_argument(cli, 0);
	auto_free char *path = request_path("volumes", name, "snapshots", cli_argument(cli, 1), "restore", NULL);
	auto_json struct json *answer = NULL;
	int result = request_json(cli, "POST", path, NULL, &answer, err);

	return result < 0 ? result : wait_for_volume(cli, name, answer, err);
}

static int run_backup(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("volumes", cli_argument(cli, 0), "backup", NULL);

	if (!cli_value(cli, "snapshot"))
		return err_set(err, CLI_USAGE, "--snapshot: say of which one, and make it with 'strata volume snapshot create %s' first",
			       shown(cli_argument(cli, 0)));
	request_query(&path, "snapshot", cli_value(cli, "snapshot"));
	if (cli_value(cli, "since"))
		request_query(&path, "base", cli_value(cli, "since"));
	return transfer_download(cli, path, cli_argument(cli, 1), err);
}

/* What a backup since a snapshot holds goes onto a volume that has that snapshot. */
static int restore_onto(struct cli *cli, const char *name, const char *upload, struct json **ret_answer, struct err *err)
{
	auto_free char *path = request_path("volumes", name, "receive", NULL);
	auto_json struct json *body = json_new_object();

	json_set(body, "upload", json_new_string(upload));
	return request_json(cli, "POST", path, body, ret_answer, err);
}

static int restore_as(struct cli *cli, const char *name, const char *upload, struct json **ret_answer, struct err *err)
{
	auto_json struct json *body = json_new_object();
	struct json *spec;

	json_set(spec_member(body, "meta"), "name", json_new_string(name));
	spec = spec_member(body, "spec");
	set_from_option(cli, "pool", spec, "pool");
	json_set(spec_member(spec, "source"), "upload", json_new_string(upload));
	return request_json(cli, "POST", "/v1/volumes", body, ret_answer, err);
}

static int run_restore(struct cli *cli, struct err *err)
{
	const char *name = cli_argument(cli, 1);
	auto_json struct json *answer = NULL;
	auto_free char *id = NULL;
	int result;

	if (cli_has(cli, "onto") && cli_value(cli, "pool"))
		return err_set(err, CLI_USAGE, "--pool: with --onto the volume stays where it is: leave one of them out");
	result = transfer_upload(cli, cli_argument(cli, 0), &id, err);
	if (result == 0)
		result = cli_has(cli, "onto") ? restore_onto(cli, name, id, &answer, err) : restore_as(cli, name, id, &answer, err);
	if (result == 0)
		result = wait_for_volume(cli, name, answer, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	return result;
}

const struct cli_command command_volume_snapshot_create = {
	.name = "volume snapshot create", .arguments = "VOLUME [SNAPSHOT]", .min = 1, .max = 2, .completes = "volumes", .run = run_create,
	.summary = "Keep a volume as it is now",
	.more = "Without a name it becomes s1, s2, ... 'strata volume set VOLUME snapshots=SCHEDULE' has them taken by themselves.",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume snapshot create data", "strata volume snapshot create data before-upgrade"),
};

const struct cli_command command_volume_snapshot_ls = {
	.name = "volume snapshot ls", .arguments = "VOLUME", .min = 1, .max = 1, .completes = "volumes", .run = run_ls,
	.summary = "List the snapshots of a volume",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata volume snapshot ls data"),
};

const struct cli_command command_volume_snapshot_restore = {
	.name = "volume snapshot restore", .arguments = "VOLUME SNAPSHOT", .min = 2, .max = 2, .completes = "volumes",
	.run = run_snapshot_restore,
	.summary = "Bring a volume back to a snapshot",
	.more = "What has been written since is lost. No running instance may have the volume.",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume snapshot restore data before-upgrade"),
};

const struct cli_command command_volume_snapshot_rm = {
	.name = "volume snapshot rm", .arguments = "VOLUME SNAPSHOT...", .min = 2, .max = -1, .completes = "volumes", .run = run_rm,
	.summary = "Remove snapshots of a volume",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume snapshot rm data s1 s2"),
};

const struct cli_command command_volume_backup = {
	.name = "volume backup", .arguments = "VOLUME FILE", .min = 2, .max = 2, .completes = "volumes", .run = run_backup,
	.summary = "Write a volume, or what changed in it, to a file",
	.more = "With --since it holds only what changed between the two snapshots.",
	.options = OPTIONS({ "snapshot", 's', false, "SNAPSHOT", "As it was at this snapshot." },
		{ "since", 0, false, "SNAPSHOT", "Only what has changed since this older one." }),
	.examples = EXAMPLES("strata volume backup data monday.backup --snapshot monday",
			     "strata volume backup data tuesday.backup --snapshot tuesday --since monday",
			     "strata volume backup data - --snapshot monday | ssh other strata volume restore - data"),
};

const struct cli_command command_volume_restore = {
	.name = "volume restore", .arguments = "FILE NAME", .min = 2, .max = 2, .completes = "file", .run = run_restore,
	.summary = "Make a volume from a backup",
	.options = OPTIONS({ "pool", 0, false, "POOL", "Pool it is to be in ('default')." },
		{ "onto", 0, false, NULL, "Bring a volume that is there up to this backup, which was made with --since." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume restore monday.backup data", "strata volume restore uploads.backup uploads --pool fast",
			     "strata volume restore tuesday.backup data --onto"),
};
