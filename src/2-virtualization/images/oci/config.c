/* Configurations of images (OCI image spec, config.md; Docker's has the same members): read tolerantly, within limits. */
#include <errno.h>
#include <string.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"

struct settings {			/* While they are read. */
	struct image_config *config;
	size_t bytes, env_bytes;
};

void oci_list_add(struct field_list *list, const char *text)
{
	*(char **)field_list_push(list, sizeof(char *)) = text_copy(text);
}

void oci_config_done(struct oci_config *config)
{
	field_done(&image_config_table, &config->settings);
	for (size_t i = 0; i < config->diff_ids.count; i++)
		free(config->diff_ids.items[i]);
	vec_done(&config->diff_ids);
	for (size_t i = 0; i < config->steps.count; i++)
		free(config->steps.items[i].created_by);
	vec_done(&config->steps);
}

/* Everything that is kept counts, so that an image stays an object of ordinary size. */
static int count(struct settings *settings, const char *name, size_t bytes, struct err *err)
{
	settings->bytes += bytes;
	if (bytes > LIMIT_TEXT_BYTES)
		return err_set(err, -EFBIG, "the image's configuration: a value of '%s' has %zu bytes, at most %d are taken", name, bytes,
			       LIMIT_TEXT_BYTES);
	if (settings->bytes > LIMIT_OCI_SETTINGS_BYTES)
		return err_set(err, -EFBIG, "the image's configuration says more than %d bytes about how to run it (at '%s')",
			       LIMIT_OCI_SETTINGS_BYTES, name);
	return 0;
}

static int take_text(struct settings *settings, const struct json *json, const char *name, char **ret_text, struct err *err)
{
	const struct json *value = json_get(json, name);
	const char *text = json_string(value, "");

	if (value && json_type(value) != JSON_STRING && json_type(value) != JSON_NULL)
		return err_set(err, -EINVAL, "the image's configuration: '%s' is %s instead of text", name, json_type_name(json_type(value)));
	if (!text[0])
		return 0;
	*ret_text = text_copy(text);
	return count(settings, name, strlen(text), err);
}

static int check_count(const struct json *value, enum json_type type, const char *name, struct err *err)
{
	if (json_type(value) == JSON_ABSENT || json_type(value) == JSON_NULL)
		return 0;
	if (json_type(value) != type)
		return err_set(err, -EINVAL, "the image's configuration: '%s' is %s instead of %s", name, json_type_name(json_type(value)),
			       json_type_name(type));
	if (json_count(value) > LIMIT_LIST_ITEMS)
		return err_set(err, -EFBIG, "the image's configuration: '%s' has %zu entries, at most %d are taken", name, json_count(value),
			       LIMIT_LIST_ITEMS);
	return 0;
}

static int take_list(struct settings *settings, const struct json *json, const char *name, struct field_list *list, struct err *err)
{
	const struct json *value = json_get(json, name);
	int r = check_count(value, JSON_ARRAY, name, err);

	for (size_t i = 0; r == 0 && json_type(value) == JSON_ARRAY && i < json_count(value); i++) {
		const char *text = json_string(json_at(value, i), NULL);

		if (!text)
			return err_set(err, -EINVAL, "the image's configuration: '%s' holds something that is not text", name);
		oci_list_add(list, text);
		r = count(settings, name, strlen(text), err);
	}
	return r;
}

/* {"80/tcp": {}, ...}: Go's way of writing a set. */
static int take_set(struct settings *settings, const struct json *json, const char *name, struct field_list *list, struct err *err)
{
	const struct json *value = json_get(json, name);
	int r = check_count(value, JSON_OBJECT, name, err);

	for (struct json_cursor at = { 0 }; r == 0 && json_type(value) == JSON_OBJECT && json_next(value, &at);) {
		oci_list_add(list, at.key);
		r = count(settings, name, strlen(at.key), err);
	}
	return r;
}

static int take_labels(struct settings *settings, const struct json *json, struct err *err)
{
	const struct json *value = json_get(json, "Labels");
	int r = check_count(value, JSON_OBJECT, "Labels", err);

	for (struct json_cursor at = { 0 }; r == 0 && json_type(value) == JSON_OBJECT && json_next(value, &at);) {
		struct field_pair *pair = field_list_push(&settings->config->labels, sizeof(*pair));

		pair->key = text_copy(at.key);
		pair->value = text_copy(json_string(at.value, ""));
		r = count(settings, "Labels", strlen(pair->key) + strlen(pair->value), err);
	}
	return r;
}

/* A variable without a name would be no variable; all together must fit a program's start. */
static int check_env(const struct json *json, struct err *err)
{
	const struct json *value = json_get(json, "Env");
	size_t bytes = 0;

	for (size_t i = 0; json_type(value) == JSON_ARRAY && i < json_count(value); i++) {
		const char *text = json_string(json_at(value, i), "");

		bytes += strlen(text) + 1;
		if (text[0] == '=' || text[0] == '\0')
			return err_set(err, -EINVAL, "the image's configuration: variable '%s' of its environment has no name", shown(text));
	}
	if (bytes > LIMIT_OCI_ENV_BYTES)
		return err_set(err, -EFBIG, "the image's environment (Env) has %zu bytes: at most %d are taken", bytes, LIMIT_OCI_ENV_BYTES);
	return 0;
}

static int take_settings(struct settings *settings, const struct json *json, struct err *err)
{
	struct image_config *config = settings->config;
	int r = check_env(json, err);

	if (r < 0 || (r = take_list(settings, json, "Env", &config->env, err)) < 0 ||
	    (r = take_list(settings, json, "Entrypoint", &config->entrypoint, err)) < 0 ||
	    (r = take_list(settings, json, "Cmd", &config->command, err)) < 0 ||
	    (r = take_text(settings, json, "User", &config->user, err)) < 0 ||
	    (r = take_text(settings, json, "WorkingDir", &config->directory, err)) < 0 ||
	    (r = take_text(settings, json, "StopSignal", &config->stop_signal, err)) < 0 ||
	    (r = take_set(settings, json, "ExposedPorts", &config->ports, err)) < 0 ||
	    (r = take_set(settings, json, "Volumes", &config->volumes, err)) < 0)
		return r;
	return take_labels(settings, json, err);
}

static int take_platform(struct settings *settings, const struct json *json, struct err *err)
{
	struct image_config *config = settings->config;
	struct err ignored;
	const char *created = json_string(json_get(json, "created"), NULL);
	int r;

	if ((r = take_text(settings, json, "architecture", &config->architecture, err)) < 0 ||
	    (r = take_text(settings, json, "os", &config->os, err)) < 0)
		return r;
	if ((config->os && !text_equal(config->os, "linux")) ||
	    (config->architecture && !text_equal(config->architecture, OCI_ARCHITECTURE)))
		return err_set(err, -ENOENT, "the image is for %s/%s, this host runs linux/" OCI_ARCHITECTURE,
			       shown(config->os ? config->os : "linux"), shown(config->architecture ? config->architecture : "unknown"));
	if (created && units_parse_time(created, &config->created_at, &ignored) < 0)
		config->created_at = 0;		/* Only told to people. */
	return 0;
}

static int take_layers(const struct json *json, struct oci_config *config, struct err *err)
{
	const struct json *list = json_path(json, "rootfs.diff_ids");
	char diff_id[SHA256_TEXT_SIZE];
	int r = 0;

	if (json_type(list) != JSON_ARRAY)
		return err_set(err, -EINVAL, "the image's configuration has no rootfs.diff_ids: it is no container image");
	if (json_count(list) > LIMIT_OCI_LAYERS)
		return err_set(err, -EFBIG, "the image has %zu layers: at most %d can be stacked", json_count(list), LIMIT_OCI_LAYERS);
	for (size_t i = 0; r == 0 && i < json_count(list); i++) {
		r = oci_digest_parse(json_string(json_at(list, i), NULL), "a layer in the image's configuration", diff_id, err);
		if (r == 0)
			*vec_push(&config->diff_ids) = text_copy(diff_id);
	}
	return r;
}

static void forget_steps(struct oci_config *config)
{
	for (size_t i = 0; i < config->steps.count; i++)
		free(config->steps.items[i].created_by);
	config->steps.count = 0;
}

/* Only told to people, so whatever does not fit is left out. */
static void take_history(const struct json *json, struct oci_config *config)
{
	const struct json *list = json_get(json, "history");
	struct err ignored;

	for (size_t i = 0; json_type(list) == JSON_ARRAY && i < json_count(list) && config->steps.count <= LIMIT_OCI_LAYERS; i++) {
		const struct json *entry = json_at(list, i);
		const char *by = json_string(json_get(entry, "created_by"), NULL), *created = json_string(json_get(entry, "created"), NULL);
		struct oci_step *step;

		if (json_bool(json_get(entry, "empty_layer"), false))
			continue;
		step = vec_push(&config->steps);
		step->created_by = by ? text_copy_length(by, strnlen(by, 1024)) : NULL;
		/* The cut may have gone through a character. */
		if (by && !text_is_utf8(step->created_by, strlen(step->created_by)))
			text_replace(&step->created_by, NULL);
		if (!created || units_parse_time(created, &step->created_at, &ignored) < 0)
			step->created_at = 0;
	}
	if (config->steps.count != config->diff_ids.count)
		forget_steps(config);
}

int oci_config_parse(const char *text, size_t size, struct oci_config *ret_config, struct err *err)
{
	auto_config struct oci_config config = { 0 };
	struct settings settings = { .config = &config.settings };
	auto_json struct json *json = NULL;
	const struct json *inner;
	int r;

	if (size > LIMIT_OCI_CONFIG_BYTES)
		return err_set(err, -EFBIG, "the image's configuration has %zu bytes: at most %d are taken", size, LIMIT_OCI_CONFIG_BYTES);
	if ((r = json_parse(text, size, &json, err)) < 0)
		return err_prefix(err, "the image's configuration");
	inner = json_get(json, "config");
	if (json_type(json) != JSON_OBJECT)
		return err_set(err, -EINVAL, "the image's configuration is %s: it is no container image", json_type_name(json_type(json)));
	if ((r = take_platform(&settings, json, err)) < 0 || (r = take_layers(json, &config, err)) < 0 ||
	    (r = take_settings(&settings, inner, err)) < 0)
		return r;
	take_history(json, &config);
	*ret_config = config;
	config = (struct oci_config){ 0 };
	return 0;
}
