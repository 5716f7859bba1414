/* volume ls, show, create, set, clone, resize, rm. */
#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"
#include "model/volume.h"

static const struct kind *volume_kind(void)
{
	return &kinds[KIND_VOLUME];
}

static const struct output_column columns[] = {
	{ .title = "NAME", .path = "meta.name" },
	{ .title = "STATE", .path = "status.state" },
	{ .title = "NODE", .path = "status.node_name", .may_be_empty = true },
	{ .title = "POOL", .path = "spec.pool" },
	{ .title = "CONTENT", .path = "spec.content" },
	{ .title = "SIZE", .path = "spec.size" },
	{ .title = "ALLOCATED", .path = "status.allocated" },
	{ .title = "INSTANCE", .path = "status.instance" },
	{ .title = "AGE", .path = "meta.created_at" },
	{ .title = "REASON", .path = "status.lost", .otherwise = "status.reason", .may_be_empty = true },
	{ 0 },
};

static int run_ls(struct cli *cli, struct err *err)
{
	return output_list(cli, &(struct output_list){ .kind = volume_kind(), .path = "/v1/volumes", .columns = columns }, err);
}

static int run_show(struct cli *cli, struct err *err)
{
	return resource_show(cli, volume_kind(), err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return resource_rm(cli, volume_kind(), err);
}

static int run_create(struct cli *cli, struct err *err)
{
	struct json *spec = json_new_object();

	if (cli_argument(cli, 1))
		json_set(spec, "size", json_new_string(cli_argument(cli, 1)));
	set_from_option(cli, "pool", spec, "pool");
	set_from_option(cli, "on", spec, "node");
	set_from_option(cli, "snapshots", spec, "snapshots");
	if (cli_has(cli, "filesystem"))
		json_set(spec, "content", json_new_string("filesystem"));
	return resource_create(cli, volume_kind(), cli_argument(cli, 0), spec, err);
}

static int run_set(struct cli *cli, struct err *err)
{
	return resource_set(cli, volume_kind(), err);
}

static int run_clone(struct cli *cli, struct err *err)
{
	const char *name = cli_argument(cli, 1);
	auto_free char *clone = request_path("volumes", cli_argument(cli, 0), "clone", NULL), *path = request_path("volumes", name, NULL);
	auto_json struct json *body = json_new_object(), *answer = NULL;
	int result;

	json_set(body, "name", json_new_string(name));
	set_from_option(cli, "snapshot", body, "snapshot");
	result = request_json(cli, "POST", clone, body, &answer, err);
	if (result == 0 && !cli_has(cli, "no-wait"))
		result = wait_for(cli, &(struct wait){ .kind = volume_kind(), .path = path, .name = name, .look = wait_until_ready,
				  .data = (void *)(uintptr_t)volume_kind(), .revision = answer_revision(answer) }, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	return result;
}

static int wait_until_resized(void *data, const void *object, struct err *err)
{
	const struct volume *volume = object;

	if (volume && volume->status.size == volume->spec.size)
		return WAIT_DONE;
	if (volume && volume->status.state == VOLUME_READY)
		return WAIT_MORE;
	return wait_until_ready(data, object, err);
}

static int run_resize(struct cli *cli, struct err *err)
{
	const char *name = cli_argument(cli, 0);
	auto_free char *path = request_path("volumes", name, NULL);
	auto_json struct json *patch = json_new_object(), *answer = NULL;
	int result;

	json_set(spec_member(patch, "spec"), "size", json_new_string(cli_argument(cli, 1)));
	result = request_json(cli, "PATCH", path, patch, &answer, err);
	if (result < 0 || cli_has(cli, "no-wait"))
		return result;
	return wait_for(cli, &(struct wait){ .kind = volume_kind(), .path = path, .name = name, .look = wait_until_resized,
			.data = (void *)(uintptr_t)volume_kind(), .revision = answer_revision(answer) }, err);
}

const struct cli_command command_volume_ls = {
	.name = "volume ls", .max = 0, .run = run_ls, .summary = "List volumes",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata volume ls"),
};

const struct cli_command command_volume_show = {
	.name = "volume show", .arguments = "NAME...", .min = 1, .max = -1, .completes = "volumes", .run = run_show,
	.summary = "Show everything about a volume",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata volume show data"),
};

const struct cli_command command_volume_create = {
	.name = "volume create", .arguments = "NAME [SIZE]", .min = 1, .max = 2, .run = run_create,
	.summary = "Create an empty disk, or a folder for containers",
	.more = "A folder needs no SIZE; with one it is limited where the pool can. A schedule says how often snapshots are taken by "
		"themselves and how many are kept: 'hourly keep 24, daily keep 7'. One instance may have it for writing, or any number "
		"read-only.",
	.options = OPTIONS({ "pool", 0, false, "POOL", "Pool it is in ('default')." },
		{ "on", 0, false, "NODE", "Host that has it (this one, or the pool's)." },
		{ "filesystem", 'f', false, NULL, "A folder for containers instead of a disk." },
		{ "snapshots", 0, false, "SCHEDULE", "When snapshots are taken and how many are kept." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume create data 10GiB",
			     "strata volume create uploads --filesystem --pool fast --snapshots 'hourly keep 24, daily keep 7'"),
};

const struct cli_command command_volume_set = {
	.name = "volume set", .arguments = "NAME FIELD=VALUE...", .min = 2, .max = -1, .completes = "volumes", .run = run_set,
	.summary = "Change a volume",
	.more = "'strata explain volume' lists the fields.",
	.examples = EXAMPLES("strata volume set data snapshots='hourly keep 24, daily keep 7'", "strata volume set data label.owner=tests"),
};

const struct cli_command command_volume_clone = {
	.name = "volume clone", .arguments = "NAME NEW-NAME", .min = 2, .max = 2, .completes = "volumes", .run = run_clone,
	.summary = "Copy a volume",
	.options = OPTIONS({ "snapshot", 's', false, "SNAPSHOT", "As it was at this snapshot, not as it is now." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume clone data data2", "strata volume clone data test --snapshot before-upgrade"),
};

const struct cli_command command_volume_resize = {
	.name = "volume resize", .arguments = "NAME SIZE", .min = 2, .max = 2, .completes = "volumes", .run = run_resize,
	.summary = "Let a volume grow",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume resize data 20GiB"),
};

const struct cli_command command_volume_rm = {
	.name = "volume rm", .arguments = "NAME...", .min = 1, .max = -1, .completes = "volumes", .run = run_rm,
	.summary = "Remove volumes and what is on them",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume rm data"),
};
