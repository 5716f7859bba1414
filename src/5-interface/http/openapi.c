#include "5-interface/http/openapi.h"

#include <stdio.h>
#include <string.h>

#include "5-interface/http/bodies.h"
#include "5-interface/http/handlers.h"
#include "5-interface/http/routes.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/cluster.h"
#include "model/config.h"
#include "model/event.h"

static const struct field_table *const shared_tables[] = {
	&body_delete_table, &body_rename_table, &body_stop_table, &body_clone_table, &body_move_request_table, &body_attach_table,
	&body_detach_table, &body_exec_table, &body_commit_table, &body_prune_table, &body_pruned_table, &body_receive_table,
	&body_certificate_table, &body_join_table, &body_version_table, &body_upload_table,
	&body_certificate_answer_table, &body_check_table, &body_placement_table, &body_load_table, &body_power_table, &body_move_table,
	&event_table, &config_table,
	&body_cluster_init_table, &body_cluster_enter_table, &body_token_table, &cluster_status_table, &cluster_token_table,
};

static void write_ref(struct json_writer *writer, const char *key, const char *name, const char *suffix)
{
	char text[128];

	snprintf(text, sizeof(text), "#/components/schemas/%s%s", name, suffix);
	json_write_object(writer, key);
	json_write_string(writer, "$ref", text);
	json_write_end_object(writer);
}

static void write_list_of(struct json_writer *writer, const char *key, const char *name)
{
	json_write_object(writer, key);
	json_write_string(writer, "type", "array");
	write_ref(writer, "items", name, "");
	json_write_end_object(writer);
}

static const char *media_type(enum content content)
{
	switch (content) {
	case CONTENT_PATCH:	return "application/merge-patch+json";
	case CONTENT_LINES:	return "application/x-ndjson";
	case CONTENT_TEXT:	return "text/plain";
	case CONTENT_BYTES:	return "application/octet-stream";
	default:		return "application/json";
	}
}

static void write_simple_schema(struct json_writer *writer, const char *key, const char *type)
{
	json_write_object(writer, key);
	json_write_string(writer, "type", type);
	json_write_end_object(writer);
}

static void write_schema_of(struct json_writer *writer, const struct route *route, enum content content,
			    const struct field_table *table)
{
	const char *kind = route->kind >= 0 ? kinds[route->kind].name : "";

	switch (content) {
	case CONTENT_OBJECT:		write_ref(writer, "schema", kind, ""); break;
	case CONTENT_LIST:		write_ref(writer, "schema", kind, "_list"); break;
	case CONTENT_TABLE:
	case CONTENT_LINES:		write_ref(writer, "schema", table->name, ""); break;
	case CONTENT_TABLE_LIST:	write_list_of(writer, "schema", table->name); break;
	case CONTENT_TEXT:		write_simple_schema(writer, "schema", "string"); break;
	case CONTENT_BYTES:		break;		/* 3.1: bytes are described by having no schema. */
	default:			write_simple_schema(writer, "schema", "object"); break;
	}
}

static void write_content(struct json_writer *writer, const struct route *route, enum content content,
			  const struct field_table *table)
{
	json_write_object(writer, "content");
	json_write_object(writer, media_type(content));
	write_schema_of(writer, route, content, table);
	json_write_end_object(writer);
	json_write_end_object(writer);
}

static const char *const parameter_types[] = {
	[PARAMETER_TEXT] = "string", [PARAMETER_BOOL] = "boolean", [PARAMETER_INT] = "integer",
	[PARAMETER_DURATION] = "string", [PARAMETER_MODE] = "string",
};

static void write_parameter(struct json_writer *writer, const char *name, const char *where, bool is_required,
			    const char *type, const char *doc)
{
	json_write_object(writer, NULL);
	json_write_string(writer, "name", name);
	json_write_string(writer, "in", where);
	json_write_bool(writer, "required", is_required);
	json_write_string(writer, "description", doc);
	write_simple_schema(writer, "schema", type);
	json_write_end_object(writer);
}

static void write_parameters(struct json_writer *writer, const struct route *route)
{
	json_write_array(writer, "parameters");
	if (strstr(route->pattern, "{name}"))
		write_parameter(writer, "name", "path", true, "string", "Name of the object.");
	if (strstr(route->pattern, "{child}"))
		write_parameter(writer, "child", "path", true, "string", "Name of the snapshot.");
	for (const struct parameter *p = route->parameters; p && p->name; p++)
		write_parameter(writer, p->name, "query", p->is_required, parameter_types[p->type], p->doc);
	json_write_end_array(writer);
}

/* "post_v1_instances_name_start" */
static void write_operation_id(struct json_writer *writer, const struct route *route)
{
	auto_str struct str id = { 0 };

	for (const char *c = method_names[route->method]; *c; c++)
		str_append_char(&id, (char)(*c | 0x20));
	for (const char *c = route->pattern; *c; c++)
		if (*c != '{' && *c != '}')
			str_append_char(&id, *c == '/' || *c == '.' ? '_' : *c);
	json_write_string(writer, "operationId", id.data);
}

static void write_responses(struct json_writer *writer, const struct route *route)
{
	char status[8];

	snprintf(status, sizeof(status), "%d", route->status);
	json_write_object(writer, "responses");
	json_write_object(writer, status);
	json_write_string(writer, "description", route->status == 101 ? "A WebSocket." : "Success.");
	if (route->answer != CONTENT_NONE && route->answer != CONTENT_FRAMES)
		write_content(writer, route, route->answer, route->answer_table);
	json_write_end_object(writer);
	json_write_object(writer, "default");
	json_write_string(writer, "$ref", "#/components/responses/error");
	json_write_end_object(writer);
	json_write_end_object(writer);
}

static void write_operation(struct json_writer *writer, const struct route *route)
{
	auto_str struct str method = { 0 };

	for (const char *c = method_names[route->method]; *c; c++)
		str_append_char(&method, (char)(*c | 0x20));
	json_write_object(writer, method.data);
	json_write_string(writer, "summary", route->doc);
	write_operation_id(writer, route);
	write_parameters(writer, route);
	if (route->body != CONTENT_NONE) {
		json_write_object(writer, "requestBody");
		write_content(writer, route, route->body, route->body_table);
		json_write_end_object(writer);
	}
	write_responses(writer, route);
	json_write_end_object(writer);
}

static bool is_first_of_pattern(size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (text_equal(routes[i].pattern, routes[index].pattern))
			return false;
	return true;
}

static void write_paths(struct json_writer *writer)
{
	json_write_object(writer, "paths");
	for (size_t i = 0; i < route_count; i++) {
		if (!is_first_of_pattern(i))
			continue;
		json_write_object(writer, routes[i].pattern);
		for (size_t k = i; k < route_count; k++)
			if (text_equal(routes[k].pattern, routes[i].pattern))
				write_operation(writer, &routes[k]);
		json_write_end_object(writer);
	}
	json_write_end_object(writer);
}

static void write_kind(struct json_writer *writer, const struct kind *kind)
{
	char name[64];

	json_write_object(writer, kind->name);
	json_write_string(writer, "type", "object");
	json_write_string(writer, "description", kind->doc);
	json_write_object(writer, "properties");
	json_write_object(writer, "kind");
	json_write_string(writer, "const", kind->name);
	json_write_end_object(writer);
	write_ref(writer, "meta", meta_table.name, "");
	if (kind->spec)
		write_ref(writer, "spec", kind->spec->name, "");
	if (kind->status)
		write_ref(writer, "status", kind->status->name, "");
	json_write_end_object(writer);
	json_write_end_object(writer);

	snprintf(name, sizeof(name), "%s_list", kind->name);
	json_write_object(writer, name);
	json_write_string(writer, "type", "object");
	json_write_object(writer, "properties");
	write_simple_schema(writer, "revision", "integer");
	write_list_of(writer, "items", kind->name);
	json_write_end_object(writer);
	json_write_end_object(writer);
}

static void write_schemas(struct json_writer *writer)
{
	json_write_object(writer, "schemas");
	field_schema(&meta_table, writer, meta_table.name);
	field_schema(&body_error_table, writer, body_error_table.name);
	for (size_t i = 0; i < KIND_COUNT; i++) {
		write_kind(writer, &kinds[i]);
		if (kinds[i].spec)
			field_schema(kinds[i].spec, writer, kinds[i].spec->name);
		if (kinds[i].status)
			field_schema(kinds[i].status, writer, kinds[i].status->name);
	}
	for (size_t i = 0; i < ARRAY_COUNT(shared_tables); i++)
		field_schema(shared_tables[i], writer, shared_tables[i]->name);
	json_write_end_object(writer);
}

static void write_error_response(struct json_writer *writer)
{
	json_write_object(writer, "responses");
	json_write_object(writer, "error");
	json_write_string(writer, "description", "It did not work; 'code' repeats the status.");
	json_write_object(writer, "content");
	json_write_object(writer, "application/json");
	json_write_object(writer, "schema");
	json_write_string(writer, "type", "object");
	json_write_object(writer, "properties");
	write_ref(writer, "error", body_error_table.name, "");
	for (int i = 0; i < 6; i++)
		json_write_end_object(writer);
}

void openapi_write(struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_string(&writer, "openapi", "3.1.0");
	json_write_object(&writer, "info");
	json_write_string(&writer, "title", "Strata");
	json_write_string(&writer, "version", STRATA_VERSION);
	json_write_string(&writer, "description", "Virtual servers, their images, disks and networks, on one host.");
	json_write_object(&writer, "license");
	json_write_string(&writer, "name", "Apache-2.0");
	json_write_string(&writer, "identifier", "Apache-2.0");
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	write_paths(&writer);
	json_write_object(&writer, "components");
	write_schemas(&writer);
	write_error_response(&writer);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
}
