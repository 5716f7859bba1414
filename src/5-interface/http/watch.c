/*
 * Objects and lists out of the view: at once, or ("?after=R") when they have changed.
 */
#include <stdio.h>

#include "4-service/view.h"
#include "5-interface/http/connection.h"
#include "base/mem.h"

enum { WAIT_DEFAULT_MS = 30 * 1000, WAIT_MAX_MS = 10 * 60 * 1000 };
enum { FOLDER_BYTES = LIMIT_URL_BYTES + 64 };

/* What the snapshots are of. */
static enum kind_id parent_of(const struct request *request)
{
	return text_starts_with(request->route->pattern, "/v1/volumes/") ? KIND_VOLUME : KIND_INSTANCE;
}

/* Where the view keeps what the request asks for. */
static const char *folder_of(const struct request *request, char buffer[FOLDER_BYTES])
{
	if (request->route->single)
		return "";
	if (request->route->kind != KIND_SNAPSHOT)
		return kinds[request->route->kind].plural;
	snprintf(buffer, FOLDER_BYTES, "%s/%s/snapshots", kinds[parent_of(request)].plural, request->name);
	return buffer;
}

static const char *name_of(const struct request *request)
{
	return request->route->single ? request->route->single :
	       request->route->kind == KIND_SNAPSHOT ? request->child : request->name;
}

static int not_found(struct connection *connection, const char *kind, const char *name)
{
	return reply_status(connection, 404, "%s '%s' does not exist", kind, shown(name));
}

static int missing_object(struct connection *connection)
{
	const struct request *request = &connection->request;

	if (request->route->single)
		return reply_status(connection, 503, "'%s' is not known yet: try again", request->route->single);
	if (request->route->kind == KIND_SNAPSHOT)
		return reply_status(connection, 404, "%s '%s' has no snapshot '%s'", kinds[parent_of(request)].name,
				    shown(request->name), shown(request->child));
	return not_found(connection, kinds[request->route->kind].name, request->name);
}

static int send_text(struct connection *connection, const struct view_text *text)
{
	str_append_bytes(reply_begin(connection, 200, "application/json"), text->bytes, text->size);
	return reply_end(connection);
}

static struct view_text *get_object(struct connection *connection)
{
	char buffer[FOLDER_BYTES];

	return view_get(connection->server->params.http.view, folder_of(&connection->request, buffer),
			name_of(&connection->request));
}

static uint64_t get_list(struct connection *connection, struct str *out)
{
	char buffer[FOLDER_BYTES];

	return view_list(connection->server->params.http.view, folder_of(&connection->request, buffer), out);
}

static int reply_object(struct connection *connection)
{
	auto_view_text struct view_text *text = get_object(connection);

	return text ? send_text(connection, text) : missing_object(connection);
}

/* Of snapshots. */
static bool parent_exists(struct connection *connection)
{
	auto_view_text struct view_text *text =
		view_get(connection->server->params.http.view, kinds[parent_of(&connection->request)].plural, connection->request.name);

	return text;
}

static int reply_list(struct connection *connection)
{
	struct str *out;

	if (connection->request.route->kind == KIND_SNAPSHOT && !parent_exists(connection))
		return not_found(connection, kinds[parent_of(&connection->request)].name, connection->request.name);
	out = reply_begin(connection, 200, "application/json");
	str_append(out, "{\"items\":");
	str_printf(out, ",\"revision\":%llu}", (unsigned long long)get_list(connection, out));
	return reply_end(connection);
}

/* Is there nothing new yet? An object or instance that has gone is news. */
static bool must_wait(struct connection *connection)
{
	uint64_t after = (uint64_t)request_number(&connection->request, "after", 0), revision;

	if (connection->request.route->handler == &handler_object) {
		auto_view_text struct view_text *text = get_object(connection);

		return text && text->revision <= after;
	}
	if (connection->request.route->kind == KIND_SNAPSHOT && !parent_exists(connection))
		return false;
	revision = get_list(connection, NULL);
	/* Revisions of lists begin anew with the daemon: one from the future is from before. */
	return revision <= after && after <= view_revision(connection->server->params.http.view);
}

static int reply(struct connection *connection)
{
	if (connection->request.route->handler == &handler_object)
		return reply_object(connection);
	return reply_list(connection);
}

static void on_changed(struct connection *connection)
{
	if (!must_wait(connection))
		connection_want_write(connection);
}

static int start(struct connection *connection)
{
	int64_t timeout_ms;

	if (!request_text(&connection->request, "after"))
		return reply(connection);
	connection_watch(connection);
	if (!must_wait(connection))
		return reply(connection);
	timeout_ms = request_number(&connection->request, "timeout", WAIT_DEFAULT_MS);
	connection_set_timer(connection, timeout_ms < WAIT_MAX_MS ? timeout_ms : WAIT_MAX_MS, connection_want_write);
	return 0;
}

const struct handler handler_object = {
	.answers_head = true, .start = start, .writable = reply, .changed = on_changed,
};
const struct handler handler_list = {
	.answers_head = true, .start = start, .writable = reply, .changed = on_changed,
};
