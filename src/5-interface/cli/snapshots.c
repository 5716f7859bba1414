#include "5-interface/cli/snapshots.h"

#include <stdlib.h>

#include "5-interface/cli/each.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"

static const struct kind *snapshot_kind(void)
{
	return &kinds[KIND_SNAPSHOT];
}

/* The first of s1, s2, ... above all that are there. */
static int free_name(struct cli *cli, const char *list, char **ret_name, struct err *err)
{
	auto_json struct json *json = NULL;
	const struct json *items;
	long highest = 0;
	int result = request_json(cli, "GET", list, NULL, &json, err);

	if (result < 0)
		return result;
	items = json_get(json, "items");
	for (size_t i = 0; i < json_count(items); i++) {
		const char *name = json_string(json_path(json_at(items, i), "meta.name"), "");
		char *end;
		long number = name[0] == 's' ? strtol(name + 1, &end, 10) : 0;

		if (number > highest && !*end)
			highest = number;
	}
	*ret_name = text_format("s%ld", highest + 1);
	return 0;
}

int snapshots_create(struct cli *cli, const char *parents, struct json *spec, struct err *err)
{
	const char *parent = cli_argument(cli, 0);
	auto_free char *list = request_path(parents, parent, "snapshots", NULL);
	auto_free char *name = text_copy(cli_argument(cli, 1)), *path = NULL;
	auto_json struct json *body = json_new_object(), *answer = NULL;
	int result = name ? 0 : free_name(cli, list, &name, err);

	json_set(body, "spec", spec);
	if (result < 0)
		return result;
	json_set(spec_member(body, "meta"), "name", json_new_string(name));
	result = request_json(cli, "POST", list, body, &answer, err);
	if (result < 0)
		return result;
	path = request_path(parents, parent, "snapshots", name, NULL);
	if (!cli_has(cli, "no-wait"))
		result = wait_for(cli, &(struct wait){ .kind = snapshot_kind(), .path = path, .name = name, .look = wait_until_ready,
				  .data = (void *)(uintptr_t)snapshot_kind(), .revision = answer_revision(answer) }, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	return result;
}

static int rm_one(struct cli *cli, const char *parents, const char *name, struct err *err)
{
	auto_free char *path = request_path(parents, cli_argument(cli, 0), "snapshots", name, NULL);
	int result = request_json(cli, "DELETE", path, NULL, NULL, err);

	if (result < 0 || cli_has(cli, "no-wait"))
		return result;
	return wait_for(cli, &(struct wait){ .kind = snapshot_kind(), .path = path, .name = name, .look = wait_until_gone }, err);
}

int snapshots_rm(struct cli *cli, const char *parents, struct err *err)
{
	int exit_code = 0;

	for (size_t i = 1; i < cli_argument_count(cli); i++) {
		int result = rm_one(cli, parents, cli_argument(cli, i), err);

		if (result < 0 && cli_argument_count(cli) == 2)
			return result;
		if (result < 0) {
			cli_complain(cli, err);
			exit_code = 1;
		}
	}
	return exit_code;
}
