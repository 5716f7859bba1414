#include "5-interface/cli/commands.h"
#include "5-interface/cli/each.h"
#include "5-interface/cli/resource.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/schedule.h"
#include "model/volume.h"

static const struct kind *pool_kind(void)
{
	return &kinds[KIND_POOL];
}

static const struct output_column columns[] = {
	{ .title = "NAME", .path = "meta.name" },
	{ .title = "STATE", .path = "status.state" },
	{ .title = "NODE", .path = "status.node_name", .may_be_empty = true },
	{ .title = "DRIVER", .path = "spec.driver" },
	{ .title = "SIZE", .path = "status.size" },
	{ .title = "FREE", .path = "status.free" },
	{ .title = "AGE", .path = "meta.created_at" },
	{ .title = "REASON", .path = "status.lost", .otherwise = "status.reason", .may_be_empty = true },
	{ 0 },
};

static int run_ls(struct cli *cli, struct err *err)
{
	return output_list(cli, &(struct output_list){ .kind = pool_kind(), .path = "/v1/pools", .columns = columns }, err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return resource_rm(cli, pool_kind(), err);
}

static int run_create(struct cli *cli, struct err *err)
{
	struct json *spec = json_new_object();

	set_from_option(cli, "driver", spec, "driver");
	set_from_option(cli, "source", spec, "source");
	set_from_option(cli, "size", spec, "size");
	set_from_option(cli, "on", spec, "node");
	if (cli_has(cli, "shared"))
		json_set(spec, "shared", json_new_bool(true));
	return resource_create(cli, pool_kind(), cli_argument(cli, 0), spec, err);
}

/* The pool's volumes: what is in them, and how much of it would be lost at worst. */

static void add_promise(struct table *table, const struct volume *volume)
{
	static const char *const states[] = { [SCHEDULE_NONE] = "-", [SCHEDULE_KEPT] = "yes", [SCHEDULE_BROKEN] = "NO" };
	int64_t period = schedule_period_ms(volume->spec.snapshots);
	char text[UNITS_TEXT_SIZE];

	if (period)
		table_cell(table, "lose %s at most", units_format_duration(period, text));
	else
		table_text(table, "-");
	table_text(table, states[schedule_look(period, volume->meta.created_at, volume->status.snapshot_at, clock_wall_ms())]);
}

static void add_volume(struct table *table, const struct volume *volume)
{
	char size[UNITS_TEXT_SIZE], allocated[UNITS_TEXT_SIZE];
	auto_free char *age = text_age(volume->status.snapshot_at, clock_wall_ms());
	uint64_t bytes = volume->status.size ? volume->status.size : volume->spec.size;

	table_text(table, volume->meta.name);
	table_text(table, bytes ? units_format_size(bytes, size) : "no limit");
	table_text(table, units_format_size(volume->status.allocated, allocated));
	table_text(table, volume->spec.snapshots ? volume->spec.snapshots : "-");
	table_text(table, age);
	add_promise(table, volume);
}

static int print_volumes(struct cli *cli, const char *pool, struct err *err)
{
	const struct kind *kind = &kinds[KIND_VOLUME];
	struct table table = { 0 };
	auto_json struct json *json = NULL;
	const struct json *items;
	size_t count = 0;
	int result = request_json(cli, "GET", "/v1/volumes", NULL, &json, err);

	items = json_get(json, "items");
	table_header(&table, "VOLUME", "SIZE", "ALLOCATED", "SNAPSHOTS", "NEWEST", "PROMISE", "KEPT", NULL);
	for (size_t i = 0; i < json_count(items) && result == 0; i++) {
		void *volume = NULL;

		if (!text_equal(json_string(json_path(json_at(items, i), "spec.pool"), ""), pool))
			continue;
		result = object_decode(kind, json_at(items, i), &volume, err);
		if (result == 0)
			add_volume(&table, volume);
		kind_free(kind, volume);
		count++;
	}
	if (result == 0 && count) {
		fputs("\n", cli->out);
		table_print(&table, !cli_has(cli, "no-headers"), cli->out);
	} else if (result == 0) {
		fputs("\nno volumes are in it\n", cli->out);
	}
	table_done(&table);
	return result;
}

static int show_one(struct cli *cli, const char *name, void *data, struct err *err)
{
	auto_free char *path = request_path("pools", name, NULL);
	const enum output_form *form = data;
	int result = output_object(cli, pool_kind(), path, err);

	return result < 0 || *form != OUTPUT_TABLE ? result : print_volumes(cli, name, err);
}

static int run_show(struct cli *cli, struct err *err)
{
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	return result < 0 ? result : each_argument(cli, show_one, &form, err);
}

const struct cli_command command_pool_ls = {
	.name = "pool ls", .max = 0, .run = run_ls, .summary = "List pools",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata pool ls"),
};

const struct cli_command command_pool_show = {
	.name = "pool show", .arguments = "NAME...", .min = 1, .max = -1, .completes = "pools", .run = run_show,
	.summary = "Show a pool, its volumes and what would be lost of them",
	.more = "A volume whose snapshots are taken by a schedule promises that no more than its shortest period is lost; KEPT says "
		"whether the newest snapshot is young enough for that now.",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata pool show default"),
};

const struct cli_command command_pool_create = {
	.name = "pool create", .arguments = "NAME", .min = 1, .max = 1, .run = run_create,
	.summary = "Make a place for volumes, images and the roots of instances",
	.more = "Files lie on any file system. btrfs has limits and cheap snapshots of folders; its source is a block device, a folder on "
		"btrfs, or a file that is made. Without a source it is made below the daemon's state folder.",
	.options = OPTIONS({ "driver", 'd', false, "DRIVER", "file or btrfs (file)." },
		{ "source", 's', false, "PATH", "Folder, block device or file." },
		{ "shared", 0, false, NULL, "Every host reaches the same folder at --source (NFS, CephFS)." },
		{ "on", 0, false, "NODE", "Host it is on (this one)." },
		{ "size", 0, false, "SIZE", "Size of the file that is made, of btrfs (10GiB)." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata pool create big --source /srv/strata", "strata pool create fast --driver btrfs --size 50GiB",
			     "strata pool create fast --driver btrfs --source /dev/nvme1n1"),
};

const struct cli_command command_pool_rm = {
	.name = "pool rm", .arguments = "NAME...", .min = 1, .max = -1, .completes = "pools", .run = run_rm,
	.summary = "Remove pools in which nothing is left",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata pool rm fast"),
};
