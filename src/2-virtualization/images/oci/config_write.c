/* Configurations of images made here: committed, built, imported from a root file system. */
#include <string.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/units.h"

static void write_list(struct json_writer *writer, const char *key, const struct field_list *list)
{
	if (!list->count)
		return;
	json_write_array(writer, key);
	for (size_t i = 0; i < list->count; i++)
		json_write_string(writer, NULL, *field_list_at(list, char *, i));
	json_write_end_array(writer);
}

static void write_set(struct json_writer *writer, const char *key, const struct field_list *list)
{
	if (!list->count)
		return;
	json_write_object(writer, key);
	for (size_t i = 0; i < list->count; i++) {
		json_write_object(writer, *field_list_at(list, char *, i));
		json_write_end_object(writer);
	}
	json_write_end_object(writer);
}

static void write_text(struct json_writer *writer, const char *key, const char *text)
{
	if (text)
		json_write_string(writer, key, text);
}

static void write_settings(struct json_writer *writer, const struct image_config *settings)
{
	json_write_object(writer, "config");
	write_text(writer, "User", settings->user);
	write_set(writer, "ExposedPorts", &settings->ports);
	write_list(writer, "Env", &settings->env);
	write_list(writer, "Entrypoint", &settings->entrypoint);
	write_list(writer, "Cmd", &settings->command);
	write_set(writer, "Volumes", &settings->volumes);
	write_text(writer, "WorkingDir", settings->directory);
	if (settings->labels.count) {
		json_write_object(writer, "Labels");
		for (size_t i = 0; i < settings->labels.count; i++) {
			const struct field_pair *pair = field_list_at(&settings->labels, struct field_pair, i);

			json_write_string(writer, pair->key, pair->value);
		}
		json_write_end_object(writer);
	}
	write_text(writer, "StopSignal", settings->stop_signal);
	json_write_end_object(writer);
}

static void write_history(struct json_writer *writer, const struct oci_config *config, const char *comment)
{
	char time[UNITS_TEXT_SIZE];

	json_write_array(writer, "history");
	for (size_t i = 0; i < config->steps.count; i++) {
		const struct oci_step *step = &config->steps.items[i];

		json_write_object(writer, NULL);
		if (step->created_at)
			json_write_string(writer, "created", units_format_time(step->created_at, time));
		write_text(writer, "created_by", step->created_by);
		/* What is new is the last step. */
		if (i + 1 == config->steps.count)
			write_text(writer, "comment", comment);
		json_write_end_object(writer);
	}
	json_write_end_array(writer);
}

void oci_config_write(const struct oci_config *config, const char *comment, struct str *out)
{
	struct json_writer writer = { .out = out };
	char time[UNITS_TEXT_SIZE];

	json_write_object(&writer, NULL);
	json_write_string(&writer, "created", units_format_time(config->settings.created_at, time));
	json_write_string(&writer, "architecture", OCI_ARCHITECTURE);
	json_write_string(&writer, "os", "linux");
	write_settings(&writer, &config->settings);
	json_write_object(&writer, "rootfs");
	json_write_string(&writer, "type", "layers");
	json_write_array(&writer, "diff_ids");
	for (size_t i = 0; i < config->diff_ids.count; i++) {
		auto_free char *digest = text_format("sha256:%s", config->diff_ids.items[i]);

		json_write_string(&writer, NULL, digest);
	}
	json_write_end_array(&writer);
	json_write_end_object(&writer);
	if (config->steps.count)
		write_history(&writer, config, comment);
	json_write_end_object(&writer);
}
