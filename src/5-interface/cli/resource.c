#include "5-interface/cli/resource.h"

#include "5-interface/cli/each.h"
#include "base/str.h"
#include "model/instance.h"

int64_t answer_revision(const struct json *answer)
{
	return json_int(json_path(answer, "meta.revision"), 0);
}

void set_from_option(const struct cli *cli, const char *option, struct json *object, const char *key)
{
	const char *text = cli_value(cli, option);

	if (text)
		json_set(object, key, json_new_string(text));
}

/* What could not be made is told, and its record need not stay to tell it. */
static void forget_failure(struct cli *cli, const char *path)
{
	struct err ignored;

	request_json(cli, "DELETE", path, NULL, NULL, &ignored);
}

int resource_create(struct cli *cli, const struct kind *kind, const char *name, struct json *spec, struct err *err)
{
	auto_free char *list = request_path(kind->plural, NULL), *path = request_path(kind->plural, name, NULL);
	auto_json struct json *body = json_new_object(), *answer = NULL;
	int result;

	json_set(spec_member(body, "meta"), "name", json_new_string(name));
	json_set(body, "spec", spec);
	result = request_json(cli, "POST", list, body, &answer, err);
	if (result == 0 && !cli_has(cli, "no-wait"))
		result = wait_for(cli, &(struct wait){ .kind = kind, .path = path, .name = name, .look = wait_until_ready,
				  .data = (void *)(uintptr_t)kind, .revision = answer_revision(answer) }, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	else if (answer && result != -EINTR && result != -ETIMEDOUT)
		forget_failure(cli, path);
	return result;
}

static int show_one(struct cli *cli, const char *name, void *data, struct err *err)
{
	const struct kind *kind = data;
	auto_free char *path = request_path(kind->plural, name, NULL);

	return output_object(cli, kind, path, err);
}

int resource_show(struct cli *cli, const struct kind *kind, struct err *err)
{
	return each_argument(cli, show_one, (void *)(uintptr_t)kind, err);
}

static int request_rm(struct cli *cli, const struct kind *kind, const char *name, int64_t *ret_revision, struct err *err)
{
	auto_free char *path = request_path(kind->plural, name, NULL);

	if (cli_offers(cli, "force") && cli_has(cli, "force"))
		request_query(&path, "force", "true");
	*ret_revision = 0;
	return request_json(cli, "DELETE", path, NULL, NULL, err);
}

int resource_rm(struct cli *cli, const struct kind *kind, struct err *err)
{
	return each_request(cli, &(struct each_job){ .kind = kind, .request = request_rm, .look = wait_until_gone }, err);
}

int resource_set(struct cli *cli, const struct kind *kind, struct err *err)
{
	auto_free char *path = request_path(kind->plural, cli_argument(cli, 0), NULL);
	auto_json struct json *patch = json_new_object();

	for (size_t i = 1; i < cli_argument_count(cli); i++) {
		int result = spec_assign(kind, cli_argument(cli, i), patch, err);

		if (result < 0)
			return result;
	}
	return request_json(cli, "PATCH", path, patch, NULL, err);
}

int say_pending(struct cli *cli, const char *name, const char *path, struct err *err)
{
	void *object;
	const struct instance *instance;
	int result = request_object(cli, "GET", path, NULL, &kinds[KIND_INSTANCE], &object, err);

	if (result < 0)
		return result;
	instance = object;
	for (size_t i = 0; i < instance->status.pending.count; i++) {
		const char *text = *field_list_at(&instance->status.pending, char *, i);

		fprintf(cli->messages, "at the next start of '%s': %s\n", name, shown(text));
	}
	if (instance->status.pending.count)
		fprintf(cli->messages, "to have it now: 'strata restart %s'\n", name);
	kind_free(&kinds[KIND_INSTANCE], object);
	return 0;
}
