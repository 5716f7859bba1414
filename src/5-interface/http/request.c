#include "5-interface/http/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"

static const struct parameter *parameter_find(const struct parameter *list, const char *name)
{
	for (; list && list->name; list++)
		if (text_equal(list->name, name))
			return list;
	return NULL;
}

static int unknown_parameter(const struct parameter *list, const char *name, struct err *err)
{
	const char *names[REQUEST_PARAMETERS_MAX];
	const char *nearest;
	size_t count = 0;

	for (; list && list->name; list++)
		names[count++] = list->name;
	nearest = field_nearest(name, names, count);
	if (nearest)
		return err_set(err, -EINVAL, "unknown query parameter '%s', did you mean '%s'?", shown(name), nearest);
	return err_set(err, -EINVAL, "unknown query parameter '%s'%s", shown(name),
		       count ? "" : ": this request takes none");
}

static int parse_integer(const char *text, int base, int64_t max, int64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoll(text, &end, base);
	return text[0] < '0' || text[0] > '9' || *end || errno || *ret_number > max ? -EINVAL : 0;
}

static int parse_bool(const char *text, int64_t *ret_number)
{
	*ret_number = text_equal(text, "true");
	return *ret_number || text_equal(text, "false") ? 0 : -EINVAL;
}

static int parameter_parse(const struct parameter *parameter, struct request_parameter *ret, struct err *err)
{
	switch (parameter->type) {
	case PARAMETER_TEXT:
		if (!*ret->text)
			return err_set(err, -EINVAL, "query parameter '%s' is empty", parameter->name);
		return 0;
	case PARAMETER_BOOL:
		if (parse_bool(ret->text, &ret->number) < 0)
			return err_set(err, -EINVAL, "query parameter '%s': '%s' is neither 'true' nor 'false'",
				       parameter->name, shown(ret->text));
		return 0;
	case PARAMETER_INT:
		if (parse_integer(ret->text, 10, INT64_MAX, &ret->number) < 0)
			return err_set(err, -EINVAL, "query parameter '%s': '%s' is not a number from 0 to 2^63-1",
				       parameter->name, shown(ret->text));
		return 0;
	case PARAMETER_MODE:
		if (parse_integer(ret->text, 8, 07777, &ret->number) < 0)
			return err_set(err, -EINVAL, "query parameter '%s': '%s' is not an octal mode such as 0644",
				       parameter->name, shown(ret->text));
		return 0;
	case PARAMETER_DURATION:
		if (units_parse_duration(ret->text, &ret->number, err) < 0)
			return err_prefix(err, "query parameter '%s'", parameter->name);
		return 0;
	}
	return 0;
}

static int add_parameter(struct request *request, char *query, struct err *err)
{
	struct request_parameter *added = &request->parameters[request->parameter_count];
	char *value = strchr(query, '=');

	if (!text_is_utf8(query, strlen(query)))
		return err_set(err, -EINVAL, "query parameter '%s' is not UTF-8", shown(query));
	if (value)
		*value++ = '\0';
	added->parameter = parameter_find(request->route->parameters, query);
	if (!added->parameter)
		return unknown_parameter(request->route->parameters, query, err);
	for (size_t i = 0; i < request->parameter_count; i++)
		if (request->parameters[i].parameter == added->parameter)
			return err_set(err, -EINVAL, "query parameter '%s' is given twice", added->parameter->name);
	/* "?force" alone means yes. */
	added->text = value ? value : added->parameter->type == PARAMETER_BOOL ? "true" : "";
	request->parameter_count++;	/* Cannot exceed the route's list, which fits. */
	return parameter_parse(added->parameter, added, err);
}

static const struct request_parameter *given(const struct request *request, const char *name)
{
	for (size_t i = 0; i < request->parameter_count; i++)
		if (text_equal(request->parameters[i].parameter->name, name))
			return &request->parameters[i];
	return NULL;
}

int request_decode(enum method method, char *path, char *const *queries, size_t count,
		   struct request *ret_request, char allow[64], struct err *err)
{
	struct route_match match;
	int r = route_find(method, path, &match, allow, err);

	if (r < 0)
		return r;
	ret_request->method = method;
	ret_request->route = match.route;
	ret_request->name = match.name;
	ret_request->child = match.child;
	ret_request->parameter_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!*queries[i])
			continue;
		r = add_parameter(ret_request, queries[i], err);
		if (r < 0)
			return r;
	}
	for (const struct parameter *p = match.route->parameters; p && p->name; p++)
		if (p->is_required && !given(ret_request, p->name))
			return err_set(err, -EINVAL, "query parameter '%s' is missing: %s", p->name, p->doc);
	return 0;
}

int64_t request_number(const struct request *request, const char *name, int64_t fallback)
{
	const struct request_parameter *parameter = given(request, name);

	return parameter ? parameter->number : fallback;
}

const char *request_text(const struct request *request, const char *name)
{
	const struct request_parameter *parameter = given(request, name);

	return parameter ? parameter->text : NULL;
}

/* Parameters of requests that have no body of their own are the body for the core. */
static void add_parameters(const struct request *request, struct json *body)
{
	for (size_t i = 0; i < request->parameter_count; i++) {
		const struct request_parameter *p = &request->parameters[i];

		if (text_equal(p->parameter->name, "force"))
			json_set(body, "force", json_new_bool(p->number));
		else if (p->parameter->type == PARAMETER_TEXT)
			json_set(body, p->parameter->name, json_new_string(p->text));
		else if (p->parameter->type == PARAMETER_MODE || p->parameter->type == PARAMETER_INT)
			json_set(body, p->parameter->name, json_new_int(p->number));
	}
}

static int check_against_table(const struct field_table *table, const struct json *body, struct err *err)
{
	auto_free void *object = alloc(table->size);
	int r;

	field_defaults(table, object);
	r = field_decode(table, body, FIELD_CREATE, "", object, err);
	field_done(table, object);
	return r;
}

int request_body(const struct request *request, const char *text, size_t size, struct json **ret_body,
		 struct err *err)
{
	const struct route *route = request->route;
	auto_json struct json *body = NULL;
	int r;

	if (size && route->body == CONTENT_NONE && !route->body_table)
		return err_set(err, -EINVAL, "%s %s takes no body", method_names[route->method], route->pattern);
	if (size) {
		r = json_parse(text, size, &body, err);
		if (r < 0)
			return r;
		if (json_type(body) != JSON_OBJECT)
			return err_set(err, -EINVAL, "the body is %s: it must be an object, {...}",
				       json_type_name(json_type(body)));
	} else if (route->body == CONTENT_OBJECT || route->body == CONTENT_PATCH) {
		return err_set(err, -EINVAL, "the request has no body: send a JSON object");
	}
	if (!body)
		body = json_new_object();
	add_parameters(request, body);
	if (route->body_table) {
		r = check_against_table(route->body_table, body, err);
		if (r < 0)
			return r;
	}
	if (!size && !json_count(body))
		return 0;
	*ret_body = take(body);
	return 0;
}
