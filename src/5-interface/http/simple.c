/*
 * Requests that are answered at once out of nothing: versions, the API's description, certificates.
 */
#include "4-service/pki/pki.h"
#include "5-interface/http/bodies.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/openapi.h"
#include "base/mem.h"

static int send_version(struct connection *connection)
{
	static const char text[] = "{\"version\": \"" STRATA_VERSION "\", \"api\": \"v1\"}";

	return reply_json(connection, 200, text, sizeof(text) - 1);
}

static int send_openapi(struct connection *connection)
{
	openapi_write(reply_begin(connection, 200, "application/json"));
	return reply_end(connection);
}

const struct handler handler_version = { .answers_head = true, .start = send_version };
const struct handler handler_openapi = { .answers_head = true, .start = send_openapi };

static int start_certificate(struct connection *connection)
{
	connection->state = alloc(sizeof(struct str));	/* The body, while it comes. */
	return 0;
}

static int receive_certificate(struct connection *connection, const char *bytes, size_t size)
{
	struct str *body = connection->state;

	if (body->size + size > LIMIT_BODY_BYTES)
		return reply_status(connection, 413, "the body is larger than %d bytes", LIMIT_BODY_BYTES);
	str_append_bytes(body, bytes, size);
	return 0;
}

static int send_certificate(struct connection *connection, const struct pki_user *user)
{
	struct str *out = reply_begin(connection, 201, "application/json");
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_string(&writer, "certificate", user->certificate.data);
	json_write_string(&writer, "key", user->key.data);
	json_write_string(&writer, "ca", user->ca.data);
	json_write_end_object(&writer);
	return reply_end(connection);
}

static int issue_certificate(struct connection *connection)
{
	struct str *body = connection->state;
	auto_json struct json *json = NULL;
	struct pki_user user = { 0 };
	struct err err;
	int r;

	r = request_body(&connection->request, str_text(body), body->size, &json, &err);
	if (r == 0)
		r = pki_issue_user(connection->server->params.http.certificates, json_string(json_get(json, "name"), ""),
			      &user, &err);
	r = r < 0 ? reply_error(connection, &err) : send_certificate(connection, &user);
	pki_user_done(&user);
	return r;
}

static void certificate_done(struct connection *connection)
{
	struct str *body = connection->state;

	str_done(body);
	free(body);
}

const struct handler handler_certificate = {
	.start = start_certificate, .body = receive_certificate, .body_end = issue_certificate,
	.done = certificate_done,
};
