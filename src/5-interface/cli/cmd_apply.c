/* apply, diff, delete. */
#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/each.h"
#include "5-interface/cli/manifest.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"

static int read_manifest(struct cli *cli, struct manifest *manifest, struct err *err)
{
	const char *file = cli_value(cli, "file") ? cli_value(cli, "file") : cli_argument(cli, 0);

	if (!file)
		return err_set(err, CLI_USAGE, "-f is missing: name the manifest, or - for standard input");
	return manifest_read(file, manifest, err);
}

/* What is there now, and what would be sent to change it: both null when there is no such object. */
struct present {
	struct json *json, *patch;
};

static void present_done(struct present *present)
{
	json_free(present->json);
	json_free(present->patch);
}
#define auto_present __attribute__((cleanup(present_done)))

static int fetch_present(struct cli *cli, const struct manifest_object *object, struct present *present, struct err *err)
{
	auto_free char *path = request_path(object->kind->plural, object->name, NULL);
	int result = request_json(cli, "GET", path, NULL, &present->json, err);

	if (result < 0)
		return result == -ENOENT ? 0 : result;
	present->patch = manifest_patch(object, present->json);
	return 0;
}

static void list_change(void *data, const char *place, const char *from, const char *to)
{
	struct str *text = data;

	(void)from;
	str_printf(text, text->size ? ", %s=%s" : "%s=%s", place, to ? to : "");
}

static void print_change(void *data, const char *place, const char *from, const char *to)
{
	FILE *out = data;
	char before[256], after[256];

	if (from)
		fprintf(out, "- %s: %s\n", place, text_shown(from, 250, before, sizeof(before)));
	if (to)
		fprintf(out, "+ %s: %s\n", place, text_shown(to, 250, after, sizeof(after)));
}

/* What instances need must be ready before they are sent. */
static int create_one(struct cli *cli, const struct manifest_object *object, const char *path, struct err *err)
{
	auto_free char *list = request_path(object->kind->plural, NULL);
	auto_json struct json *answer = NULL;
	int result = request_json(cli, "POST", list, object->json, &answer, err);

	if (result < 0)
		return result;
	fprintf(cli->out, "%s '%s': created\n", object->kind->name, object->name);
	if (object->kind->id == KIND_INSTANCE || cli_has(cli, "no-wait"))
		return 0;
	return wait_for(cli, &(struct wait){ .kind = object->kind, .path = path, .name = object->name, .look = wait_until_ready,
			.data = (void *)(uintptr_t)object->kind, .revision = answer_revision(answer) }, err);
}

static int apply_one(struct cli *cli, const struct manifest_object *object, struct err *err)
{
	auto_free char *path = request_path(object->kind->plural, object->name, NULL);
	auto_present struct present present = { 0 };
	auto_str struct str changes = { 0 };
	char buffer[512];
	int result = fetch_present(cli, object, &present, err);

	if (result < 0)
		return result;
	if (!present.json)
		return create_one(cli, object, path, err);
	result = manifest_diff(object, present.patch, present.json, list_change, &changes, err);
	if (result < 0)
		return result;
	if (result == 0) {
		fprintf(cli->out, "%s '%s': unchanged\n", object->kind->name, object->name);
		return 0;
	}
	result = request_json(cli, "PATCH", path, present.patch, NULL, err);
	if (result == 0)
		fprintf(cli->out, "%s '%s': changed (%s)\n", object->kind->name, object->name,
			text_shown(changes.data, 500, buffer, sizeof(buffer)));
	return result;
}

/* Also what fails is checked before anything is sent: a field that cannot change. */
static int check_all(struct cli *cli, const struct manifest *manifest, struct err *err)
{
	for (size_t i = 0; i < manifest->objects.count; i++) {
		const struct manifest_object *object = &manifest->objects.items[i];
		auto_present struct present present = { 0 };
		auto_str struct str changes = { 0 };
		int result = fetch_present(cli, object, &present, err);

		if (result == 0 && present.json)
			result = manifest_diff(object, present.patch, present.json, list_change, &changes, err);
		if (result < 0)
			return result;
	}
	return 0;
}

static int run_apply(struct cli *cli, struct err *err)
{
	auto_manifest struct manifest manifest = { 0 };
	int result = read_manifest(cli, &manifest, err);

	if (result == 0)
		result = check_all(cli, &manifest, err);
	for (size_t i = 0; i < manifest.objects.count && result == 0; i++) {
		const struct manifest_object *object = &manifest.objects.items[i];

		result = apply_one(cli, object, err);
		if (result < 0 && !text_starts_with(err->msg, object->kind->name))
			err_prefix(err, "%s '%s'", object->kind->name, shown(object->name));
	}
	return result;
}

/* Returns 1 when there is a difference. */
static int diff_one(struct cli *cli, const struct manifest_object *object, struct err *err)
{
	auto_present struct present present = { 0 };
	auto_free char *text = NULL;
	size_t size = 0;
	FILE *changes;
	int result = fetch_present(cli, object, &present, err);

	if (result < 0)
		return result;
	if (!present.json) {
		fprintf(cli->out, "%s '%s': would be created\n", object->kind->name, object->name);
		return 1;
	}
	changes = open_memstream(&text, &size);
	if (!changes)
		abort();
	result = manifest_diff(object, present.patch, present.json, print_change, changes, err);
	fclose(changes);
	if (result > 0)
		fprintf(cli->out, "%s '%s': would change\n%s", object->kind->name, object->name, text);
	return result > 0 ? 1 : result;
}

static int run_diff(struct cli *cli, struct err *err)
{
	auto_manifest struct manifest manifest = { 0 };
	int result = read_manifest(cli, &manifest, err), exit_code = 0;

	for (size_t i = 0; i < manifest.objects.count && result >= 0; i++) {
		result = diff_one(cli, &manifest.objects.items[i], err);
		exit_code = result > 0 ? 1 : exit_code;
	}
	return result < 0 ? result : exit_code;
}

static int delete_one(struct cli *cli, const struct manifest_object *object, struct err *err)
{
	auto_free char *path = request_path(object->kind->plural, object->name, NULL);
	int result;

	if (cli_has(cli, "force"))
		request_query(&path, "force", "true");
	result = request_json(cli, "DELETE", path, NULL, NULL, err);
	if (result < 0 && result != -ENOENT)
		return result;
	path[strcspn(path, "?")] = '\0';
	if (result == 0 && !cli_has(cli, "no-wait"))
		result = wait_for(cli, &(struct wait){ .kind = object->kind, .path = path, .name = object->name,
				  .look = wait_until_gone }, err);
	if (result == -ENOENT)
		fprintf(cli->out, "%s '%s': is not there\n", object->kind->name, object->name);
	else if (result == 0)
		fprintf(cli->out, "%s '%s': deleted\n", object->kind->name, object->name);
	return result == -ENOENT ? 0 : result;
}

/* Instances first: they hold the others in use. */
static int run_delete(struct cli *cli, struct err *err)
{
	auto_manifest struct manifest manifest = { 0 };
	int result = read_manifest(cli, &manifest, err);

	for (size_t i = manifest.objects.count; i-- > 0 && result == 0; )
		result = delete_one(cli, &manifest.objects.items[i], err);
	return result;
}

#define FILE_OPTION { "file", 'f', false, "FILE", "The manifest, YAML or JSON; - for standard input." }

const struct cli_command command_apply = {
	.name = "apply", .arguments = "-f FILE", .max = 1, .completes = "file", .run = run_apply,
	.summary = "Create and change what a manifest describes",
	.more = "A manifest holds documents with kind, meta and spec, as 'strata show -o yaml' writes them. All are "
		"checked before the first is sent; networks come first, then pools, images, volumes and instances.",
	.options = OPTIONS(FILE_OPTION, WAIT_OPTIONS),
	.examples = EXAMPLES("strata apply -f web.yaml", "strata show web -o yaml | strata apply -f -"),
};

const struct cli_command command_diff = {
	.name = "diff", .arguments = "-f FILE", .max = 1, .completes = "file", .run = run_diff,
	.summary = "Show what apply would change",
	.more = "Exit code 1 when it would change anything.",
	.options = OPTIONS(FILE_OPTION),
	.examples = EXAMPLES("strata diff -f web.yaml"),
};

const struct cli_command command_delete = {
	.name = "delete", .arguments = "-f FILE", .max = 1, .completes = "file", .run = run_delete,
	.summary = "Delete what a manifest describes",
	.options = OPTIONS(FILE_OPTION, { "force", 0, false, NULL, "Also instances that run." },
		{ "no-wait", 0, false, NULL, "Return at once; the work goes on." }),
	.examples = EXAMPLES("strata delete -f web.yaml"),
};
