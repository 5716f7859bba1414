/* image ls, show, tag, history, prune, rm. */
#include <unistd.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/image.h"

static const struct kind *image_kind(void)
{
	return &kinds[KIND_IMAGE];
}

static int run_ls(struct cli *cli, struct err *err)
{
	return output_list(cli, &(struct output_list){ .kind = image_kind(), .path = "/v1/images" }, err);
}

static int run_show(struct cli *cli, struct err *err)
{
	return resource_show(cli, image_kind(), err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return resource_rm(cli, image_kind(), err);
}

/* tag */

static int run_tag(struct cli *cli, struct err *err)
{
	const char *name = cli_argument(cli, 1);
	auto_free char *path = request_path("images", cli_argument(cli, 0), "tag", NULL), *image = request_path("images", name, NULL);
	auto_json struct json *body = json_new_object(), *answer = NULL;
	int result;

	json_set(body, "name", json_new_string(name));
	result = request_json(cli, "POST", path, body, &answer, err);
	if (result == 0)
		result = wait_for(cli, &(struct wait){ .kind = image_kind(), .path = image, .name = name, .look = wait_until_ready,
				  .data = (void *)(uintptr_t)image_kind(), .revision = answer_revision(answer), .is_patient = true }, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	return result;
}

/* history */

static void add_layer(struct table *table, const struct image_layer *layer)
{
	char size[UNITS_TEXT_SIZE];
	auto_free char *age = text_age(layer->created_at, clock_wall_ms());

	table_cell(table, "%.12s", layer->diff_id ? layer->diff_id : "");
	table_cell(table, "%s", age);
	table_cell(table, "%s", units_format_size(layer->size, size));
	table_text(table, layer->created_by ? layer->created_by : "");
}

static void print_layers(struct cli *cli, const struct image *image)
{
	struct table table = { 0 };

	table_header(&table, "LAYER", "AGE", "SIZE", "CREATED BY", NULL);
	for (size_t i = 0; i < image->status.layers.count; i++)
		add_layer(&table, field_list_at(&image->status.layers, struct image_layer, i));
	table_print(&table, !cli_has(cli, "no-headers"), cli->out);
	table_done(&table);
}

static int run_history(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("images", cli_argument(cli, 0), NULL);
	auto_json struct json *json = NULL;
	const struct json *layers;
	enum output_form form;
	void *object = NULL;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_json(cli, "GET", path, NULL, &json, err);
	if (result == 0)
		result = object_decode(image_kind(), json, &object, err);
	if (result < 0)
		return result;
	layers = json_path(json, "status.layers");
	if (((const struct image *)object)->spec.kind != IMAGE_CONTAINER)
		result = err_set(err, -EINVAL, "image '%s' is one for a vm: only those for containers have layers", shown(cli_argument(cli, 0)));
	else if (form == OUTPUT_TABLE)
		print_layers(cli, object);
	else if (form == OUTPUT_NAME)
		for (size_t i = 0; i < json_count(layers); i++)
			fprintf(cli->out, "%s\n", shown(json_string(json_get(json_at(layers, i), "diff_id"), "")));
	else
		form == OUTPUT_JSON ? output_json(cli, layers) : output_yaml(cli, layers);
	kind_free(image_kind(), object);
	return result;
}

/* prune */

static int ask_first(struct cli *cli, struct err *err)
{
	char answer[16] = "";

	if (!cli_has(cli, "all") || cli_has(cli, "yes") || !isatty(STDIN_FILENO))
		return 0;
	fprintf(cli->messages, "Remove every container image that no instance uses? [y/N] ");
	fflush(cli->messages);
	if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
		return err_set(err, -ECANCELED, "nothing was removed");
	return 0;
}

static int run_prune(struct cli *cli, struct err *err)
{
	auto_json struct json *body = json_new_object(), *answer = NULL;
	char size[UNITS_TEXT_SIZE];
	const struct json *removed;
	int result = ask_first(cli, err);

	json_set(body, "all", json_new_bool(cli_has(cli, "all")));
	if (result == 0)
		result = request_json(cli, "POST", "/v1/images/prune", body, &answer, err);
	if (result < 0)
		return result;
	removed = json_get(answer, "removed");
	for (size_t i = 0; i < json_count(removed); i++)
		fprintf(cli->out, "%s\n", shown(json_string(json_at(removed, i), "")));
	fprintf(cli->messages, "%zu removed, %s freed\n", json_count(removed),
		units_format_size(json_uint(json_get(answer, "bytes"), 0), size));
	return 0;
}

const struct cli_command command_image_ls = {
	.name = "image ls", .max = 0, .run = run_ls, .summary = "List images",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata image ls", "strata image ls -o name"),
};

const struct cli_command command_image_show = {
	.name = "image show", .arguments = "NAME...", .min = 1, .max = -1, .completes = "images", .run = run_show,
	.summary = "Show everything about an image",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata image show tiny"),
};

const struct cli_command command_image_rm = {
	.name = "image rm", .arguments = "NAME...", .min = 1, .max = -1, .completes = "images", .run = run_rm,
	.summary = "Remove images",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata image rm debian"),
};

const struct cli_command command_image_tag = {
	.name = "image tag", .arguments = "NAME NEW-NAME", .min = 2, .max = 2, .completes = "images", .run = run_tag,
	.summary = "Give a container image another name beside its own",
	.examples = EXAMPLES("strata image tag web:7 registry.example/shop/web:7"),
};

const struct cli_command command_image_history = {
	.name = "image history", .arguments = "NAME", .min = 1, .max = 1, .completes = "images", .run = run_history,
	.summary = "List the layers of a container image, top first",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata image history web:7"),
};

const struct cli_command command_image_prune = {
	.name = "image prune", .max = 0, .run = run_prune,
	.summary = "Remove images that failed, or that nobody uses",
	.more = "Layers that no other image shares go with them. Lists what went.",
	.options = OPTIONS({ "all", 'a', false, NULL, "Also every image that no instance uses; asks first on a terminal." },
		{ "yes", 'y', false, NULL, "Do not ask." }),
	.examples = EXAMPLES("strata image prune", "strata image prune --all --yes"),
};
