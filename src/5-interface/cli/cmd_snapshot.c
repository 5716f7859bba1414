/* snapshot ..., clone, export, import. */
#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/snapshots.h"
#include "5-interface/cli/transfer.h"
#include "base/str.h"

static const struct kind *snapshot_kind(void)
{
	return &kinds[KIND_SNAPSHOT];
}

static int run_ls(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "snapshots", NULL);

	return output_list(cli, &(struct output_list){ .kind = snapshot_kind(), .path = path }, err);
}

static int run_show(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "snapshots", cli_argument(cli, 1), NULL);

	return output_object(cli, snapshot_kind(), path, err);
}

static int run_create(struct cli *cli, struct err *err)
{
	struct json *spec = json_new_object();

	json_set(spec, "memory", json_new_bool(cli_has(cli, "memory")));
	return snapshots_create(cli, "instances", spec, err);
}

static int run_restore(struct cli *cli, struct err *err)
{
	const char *instance = cli_argument(cli, 0);
	auto_free char *path = request_path("instances", instance, NULL);
	auto_free char *restore = request_path("instances", instance, "snapshots", cli_argument(cli, 1), "restore", NULL);
	auto_json struct json *answer = NULL;
	int result = request_json(cli, "POST", restore, NULL, &answer, err);

	if (result < 0 || cli_has(cli, "no-wait"))
		return result;
	return wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = instance,
			.look = wait_until_restored, .revision = answer_revision(answer) }, err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return snapshots_rm(cli, "instances", err);
}

static int wait_for_copy(struct cli *cli, const char *name, const struct json *answer, struct err *err)
{
	auto_free char *path = request_path("instances", name, NULL);
	int result = 0;

	if (!cli_has(cli, "no-wait"))
		result = wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = name,
				  .look = wait_until_created, .revision = answer_revision(answer) }, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	return result;
}

static int run_clone(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "clone", NULL);
	auto_json struct json *body = json_new_object(), *answer = NULL;
	int result;

	json_set(body, "name", json_new_string(cli_argument(cli, 1)));
	set_from_option(cli, "snapshot", body, "snapshot");
	result = request_json(cli, "POST", path, body, &answer, err);
	return result < 0 ? result : wait_for_copy(cli, cli_argument(cli, 1), answer, err);
}

static int run_export(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "export", NULL);

	return transfer_download(cli, path, cli_argument(cli, 1), err);
}

static int run_import(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object(), *answer = NULL;
	auto_free char *id = NULL;
	struct json *spec = spec_member(body, "spec");
	int result = transfer_upload(cli, cli_argument(cli, 0), &id, err);

	if (result < 0)
		return result;
	json_set(spec_member(body, "meta"), "name", json_new_string(cli_argument(cli, 1)));
	json_set(spec_member(spec, "source"), "upload", json_new_string(id));
	json_set(spec, "power", json_new_string("stopped"));
	result = request_json(cli, "POST", "/v1/instances", body, &answer, err);
	return result < 0 ? result : wait_for_copy(cli, cli_argument(cli, 1), answer, err);
}

const struct cli_command command_snapshot_create = {
	.name = "snapshot create", .arguments = "INSTANCE [NAME]", .min = 1, .max = 2, .completes = "instances", .run = run_create,
	.summary = "Keep an instance's disks as they are now",
	.more = "Without a NAME it becomes s1, s2, ...",
	.options = OPTIONS({ "memory", 'm', false, NULL, "Keep its memory too: it goes on from there when restored." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata snapshot create web", "strata snapshot create web before-upgrade --memory"),
};

const struct cli_command command_snapshot_ls = {
	.name = "snapshot ls", .arguments = "INSTANCE", .min = 1, .max = 1, .completes = "instances", .run = run_ls,
	.summary = "List the snapshots of an instance",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata snapshot ls web"),
};

const struct cli_command command_snapshot_show = {
	.name = "snapshot show", .arguments = "INSTANCE NAME", .min = 2, .max = 2, .completes = "instances", .run = run_show,
	.summary = "Show everything about a snapshot",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata snapshot show web s1"),
};

const struct cli_command command_snapshot_restore = {
	.name = "snapshot restore", .arguments = "INSTANCE NAME", .min = 2, .max = 2, .completes = "instances", .run = run_restore,
	.summary = "Bring an instance back to a snapshot",
	.more = "What has been written since is lost. A running instance goes on from the snapshot.",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata snapshot restore web s1"),
};

const struct cli_command command_snapshot_rm = {
	.name = "snapshot rm", .arguments = "INSTANCE NAME...", .min = 2, .max = -1, .completes = "instances", .run = run_rm,
	.summary = "Remove snapshots",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata snapshot rm web s1 s2"),
};

const struct cli_command command_clone = {
	.name = "clone", .arguments = "INSTANCE NEW-NAME", .min = 2, .max = 2, .completes = "instances", .run = run_clone,
	.summary = "Copy an instance",
	.options = OPTIONS({ "snapshot", 's', false, "NAME", "As it was at this snapshot, not as it is now." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata clone web web2", "strata clone web web3 --snapshot s1"),
};

const struct cli_command command_export = {
	.name = "export", .arguments = "INSTANCE FILE", .min = 2, .max = 2, .completes = "instances", .run = run_export,
	.summary = "Write an instance to one file",
	.examples = EXAMPLES("strata export web web.tar"),
};

const struct cli_command command_import = {
	.name = "import", .arguments = "FILE NAME", .min = 2, .max = 2, .completes = "file", .run = run_import,
	.summary = "Make an instance from an exported file",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata import web.tar web", "ssh other strata export web - | strata import - web"),
};
