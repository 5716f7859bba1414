#include "5-interface/cli/output.h"

#include "base/str.h"
#include "base/yaml.h"

int output_form(const struct cli *cli, enum output_form fallback, enum output_form *ret_form, struct err *err)
{
	static const char *const names[] = { "table", "json", "yaml", "name" };
	const char *text = cli_value(cli, "output");

	*ret_form = fallback;
	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (text_equal(text, names[i])) {
			*ret_form = (enum output_form)i;
			return 0;
		}
	}
	return err_set(err, CLI_USAGE, "--output: '%s' is not a form of output: use table, json, yaml or name", shown(text));
}

void output_json(struct cli *cli, const struct json *json)
{
	auto_free char *text = json_text(json, 2);

	fprintf(cli->out, "%s\n", text);
}

void output_yaml(struct cli *cli, const struct json *json)
{
	auto_str struct str text = { 0 };

	yaml_write(json, &text);
	fputs(str_text(&text), cli->out);
}

int output_object(struct cli *cli, const struct kind *kind, const char *path, struct err *err)
{
	auto_json struct json *json = NULL;
	enum output_form form;
	void *object = NULL;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_json(cli, "GET", path, NULL, &json, err);
	if (result < 0)
		return result;
	if (form == OUTPUT_JSON || form == OUTPUT_YAML) {
		form == OUTPUT_JSON ? output_json(cli, json) : output_yaml(cli, json);
		return 0;
	}
	result = object_decode(kind, json, &object, err);
	if (result < 0)
		return result;
	if (form == OUTPUT_NAME)
		fprintf(cli->out, "%s\n", kind_meta(object)->name);
	else
		show_object(kind, object, cli->out);
	kind_free(kind, object);
	return 0;
}
