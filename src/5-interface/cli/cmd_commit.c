#include "5-interface/cli/commands.h"
#include "5-interface/cli/container_text.h"
#include "5-interface/cli/new_instance.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"

static int add_words(const struct cli *cli, const char *option, const char *key, struct json *config, struct err *err)
{
	struct json *words;
	const char *text = cli_value(cli, option);
	int result = text ? container_words(text, &words, err) : 0;

	if (result < 0)
		return err_prefix(err, "--%s", option);
	if (text)
		json_set(config, key, words);
	return 0;
}

static int pair_of(const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *variables = json_new_object();
	struct json_cursor cursor = { 0 };
	auto_free char *pair = NULL;
	int result = container_env(text, variables, err);

	if (result < 0)
		return result;
	if (!json_next(variables, &cursor))
		return err_set(err, CLI_USAGE, "'%s' is not set in our own environment: use NAME=VALUE", shown(text));
	pair = text_format("%s=%s", cursor.key, json_string(cursor.value, ""));
	*ret_json = json_new_string(pair);
	return 0;
}

/* Only what was asked for: all else stays as the container's own image has it. */
static int add_config(const struct cli *cli, struct json *config, struct err *err)
{
	auto_json struct json *env = json_new_array();
	const char *label;
	int result = add_words(cli, "entrypoint", "entrypoint", config, err);

	if (result == 0)
		result = add_words(cli, "cmd", "command", config, err);
	if (result == 0)
		result = new_instance_list(cli, "env", pair_of, env, err);
	if (json_count(env))
		json_set(config, "env", take(env));
	for (size_t i = 0; result == 0 && (label = cli_value_at(cli, "label", i)); i++)
		result = spec_label(label, spec_member(config, "labels"), err);
	set_from_option(cli, "user", config, "user");
	set_from_option(cli, "workdir", config, "directory");
	return result;
}

static int run_commit(struct cli *cli, struct err *err)
{
	const struct kind *kind = &kinds[KIND_IMAGE];
	const char *name = cli_argument(cli, 1);
	auto_free char *path = request_path("instances", cli_argument(cli, 0), "commit", NULL), *image = request_path("images", name, NULL);
	auto_json struct json *body = json_new_object(), *config = json_new_object(), *answer = NULL;
	int result = add_config(cli, config, err);

	json_set(body, "image", json_new_string(name));
	set_from_option(cli, "message", body, "comment");
	if (json_count(config))
		json_set(body, "config", take(config));
	if (result == 0)
		result = request_json(cli, "POST", path, body, &answer, err);
	if (result == 0 && !cli_has(cli, "no-wait"))
		result = wait_for(cli, &(struct wait){ .kind = kind, .path = image, .name = name, .look = wait_until_ready,
				  .data = (void *)(uintptr_t)kind, .revision = answer_revision(answer) }, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", name);
	return result;
}

const struct cli_command command_commit = {
	.name = "commit", .arguments = "NAME IMAGE", .min = 2, .max = 2, .completes = "instances", .run = run_commit,
	.summary = "Make an image from a container as it is now",
	.more = "What it has changed becomes a layer on those of its own image. Mounted volumes and folders are not in it. How the image "
		"wants to be run stays as it was but for what is given.",
	.options = OPTIONS({ "message", 'm', false, "TEXT", "What was changed, in words." },
		{ "entrypoint", 0, false, "WORDS", "Program and first arguments; \"\" for none." },
		{ "cmd", 0, false, "WORDS", "Arguments, or the program when there is no entrypoint." },
		{ "env", 'e', true, "NAME=VALUE", "Set a variable of its environment." },
		{ "label", 'l', true, "KEY=VALUE", "Label of the image." },
		{ "user", 'u', false, "USER[:GROUP]", "Who it runs as." },
		{ "workdir", 'w', false, "DIR", "Folder it starts in." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata commit web web:patched --message 'openssl 3.0.15'",
			     "strata commit build app:1 --entrypoint /app/server --cmd '--port 80' --env MODE=prod"),
};
