#include "5-interface/cli/request.h"

#include <stdarg.h>
#include <string.h>

#include "base/str.h"

enum { ANSWER_BYTES = 256 << 20, REFUSAL_BYTES = 64 << 10 };

/* Has it parts like "..", or empty ones? */
static bool is_resolvable(const char *segment)
{
	auto_free char *copy = text_copy(segment);
	char *rest = copy, *part;

	while ((part = strsep(&rest, "/")))
		if (!part[0] || text_equal(part, ".") || text_equal(part, ".."))
			return true;
	return false;
}

/*
 * Names of images have a '/', encoded. But servers resolve "..", even encoded, before they look at names: "a/../b"
 * must not come to mean "b". No name is like that, and no other has a '/', so these are encoded twice: the daemon then says that
 * there is none of that name.
 */
static void append_segment(struct str *path, const char *segment, bool may_have_slash)
{
	auto_str struct str encoded = { 0 };

	str_append_char(path, '/');
	if (!is_resolvable(segment) && (may_have_slash || !strchr(segment, '/'))) {
		str_append_url(path, segment);
		return;
	}
	for (; *segment; segment++)
		str_printf(&encoded, *segment == '/' || *segment == '.' ? "%%%02X" : "%c", (unsigned char)*segment);
	str_append_url(path, encoded.data);
}

char *request_path(const char *first, ...)
{
	struct str path = { 0 };
	va_list args;

	str_append(&path, "/v1");
	va_start(args, first);
	for (const char *segment = first; segment; segment = va_arg(args, const char *))
		append_segment(&path, segment, text_equal(first, "images"));
	va_end(args);
	return path.data;
}

void request_query(char **path, const char *name, const char *value)
{
	struct str whole = { 0 };

	str_printf(&whole, "%s%c%s=", *path, strchr(*path, '?') ? '&' : '?', name);
	str_append_url(&whole, value);
	free(*path);
	*path = whole.data;
}

struct client *cli_client(struct cli *cli)
{
	if (!cli->client)
		cli->client = client_new(&cli->target);
	return cli->client;
}

char *json_text(const struct json *json, int indent)
{
	struct str text = { 0 };
	struct json_writer writer = { .out = &text, .indent = indent };

	json_write_value(&writer, NULL, json);
	return text.data;
}

int request_refused(struct client *client, const struct client_response *response, struct err *err)
{
	int code = err_from_http_status(response->status);
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	char buffer[sizeof(err->msg)];
	struct err ignored;
	const char *message;

	if (client_read_all(client, REFUSAL_BYTES, &body, &ignored) < 0 ||
	    json_parse(str_text(&body), body.size, &json, &ignored) < 0)
		return err_set(err, code, "the daemon answers with HTTP status %d", response->status);
	message = json_string(json_path(json, "error.message"), NULL);
	if (!message || !message[0])
		return err_set(err, code, "the daemon answers with HTTP status %d", response->status);
	return err_set(err, code, "%s", text_shown(message, sizeof(buffer) - sizeof("..."), buffer, sizeof(buffer)));
}

static int send_and_read(struct cli *cli, const struct client_request *request, struct str *out, struct err *err)
{
	struct client *client = cli_client(cli);
	struct client_response response;
	int result = client_send(client, request, &response, err);

	if (result < 0)
		return result;
	if (response.status >= 400)
		return request_refused(client, &response, err);
	return client_read_all(client, ANSWER_BYTES, out, err);
}

int request_plain(struct cli *cli, const char *path, struct str *out, struct err *err)
{
	return send_and_read(cli, &(struct client_request){ .method = "GET", .path = path }, out, err);
}

int request_json(struct cli *cli, const char *method, const char *path, const struct json *body,
		 struct json **ret_json, struct err *err)
{
	auto_free char *text = body ? json_text(body, 0) : NULL;
	struct client_request request = { .method = method, .path = path, .body = text,
		.body_size = text ? strlen(text) : 0 };
	auto_str struct str answer = { 0 };
	int result = send_and_read(cli, &request, &answer, err);

	if (result < 0 || !ret_json)
		return result;
	result = json_parse(str_text(&answer), answer.size, ret_json, err);
	return result < 0 ? err_prefix(err, "the daemon's answer") : 0;
}

int object_decode(const struct kind *kind, const struct json *json, void **ret_object, struct err *err)
{
	void *object = kind_new(kind);
	int result = kind_decode(kind, json, FIELD_STORED, object, err);

	if (result < 0) {
		kind_free(kind, object);
		return err_prefix(err, "the daemon's answer (is it of another version than strata " STRATA_VERSION "?)");
	}
	*ret_object = object;
	return 0;
}

int request_object(struct cli *cli, const char *method, const char *path, const struct json *body,
		   const struct kind *kind, void **ret_object, struct err *err)
{
	auto_json struct json *json = NULL;
	int result = request_json(cli, method, path, body, &json, err);

	return result < 0 ? result : object_decode(kind, json, ret_object, err);
}
