#include "container.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "5-interface/cli/websocket.h"
#include "base/json.h"
#include "base/mem.h"

enum { WAIT_TIMEOUT_MS = 60000 };

char *container_body(const struct signals *signals, const char *name)
{
	return text_format("{\"meta\": {\"name\": \"%s\"}, \"spec\": {\"kind\": \"container\", \"image\": \"busybox\", \"cpus\": 1,"
			   " \"memory\": %llu, \"container\": {\"pids\": %d, \"command\": [\"sh\", \"-c\", \"" CONTAINER_SCRIPT "\"],"
			   " \"mounts\": [{\"kind\": \"bind\", \"source\": \"%s\", \"target\": \"/signal\"}]}}}",
			   name, CONTAINER_MEMORY_MIB * 1024ULL * 1024, CONTAINER_PIDS, signals->folder);
}

int container_run_cli(struct node *node, const struct signals *signals, const char *name, double *ret_ms, struct err *err)
{
	auto_free char *memory = text_format("%dMiB", CONTAINER_MEMORY_MIB), *pids = text_format("%d", CONTAINER_PIDS);
	auto_free char *mount = text_format("%s:/signal", signals->folder);

	return node_cli(node, cli("run", "--container", "busybox", name, "--cpus", "1", "--memory", memory, "--pids", pids,
				  "--volume", mount, "--", "sh", "-c", CONTAINER_SCRIPT), ret_ms, err);
}

/* Asks again as soon as something of it has changed; 'is_done' sees each answer. */
static int wait_until(struct client *client, const char *name, bool (*is_done)(int status, const struct json *json, const void *data),
		      const void *data, struct err *err)
{
	auto_free char *path = text_format("/v1/instances/%s", name);
	double end = now_ms() + WAIT_TIMEOUT_MS;
	auto_str struct str text = { 0 };

	while (now_ms() < end) {
		auto_json struct json *json = NULL;
		int status, r = client_call(client, "GET", path, NULL, &status, &text, err);

		if (r == 0)
			r = json_parse(str_text(&text), text.size, &json, err);
		if (r < 0)
			return r;
		if (is_done(status, json, data))
			return 0;
		if (status >= 400)
			break;
		free(take(path));
		path = text_format("/v1/instances/%s?after=%lld&timeout=10s", name,
				   (long long)json_int(json_path(json, "meta.revision"), 0));
	}
	return err_set(err, -EIO, "'%s' does not become what it should: %.150s", name, str_text(&text));
}

static bool has_state(int status, const struct json *json, const void *state)
{
	return status == 200 && text_equal(json_string(json_path(json, "status.state"), ""), state);
}

static bool is_gone(int status, const struct json *json, const void *data)
{
	(void)json, (void)data;
	return status == 404;
}

int container_wait_state(struct client *client, const char *name, const char *state, struct err *err)
{
	return wait_until(client, name, has_state, state, err);
}

int container_wait_gone(struct client *client, const char *name, struct err *err)
{
	return wait_until(client, name, is_gone, NULL, err);
}

int container_delete(struct client *client, const char *name, struct err *err)
{
	auto_free char *path = text_format("/v1/instances/%s?force=true", name);
	int r = client_call(client, "DELETE", path, NULL, NULL, NULL, err);

	return r < 0 ? r : container_wait_gone(client, name, err);
}

int container_teach(struct node *node, struct client *client, struct signals *signals, struct crun *crun, struct err *err)
{
	auto_free char *body = container_body(signals, "zero");
	auto_str struct str text = { 0 };
	auto_json struct json *json = NULL;
	int r = client_call(client, "POST", "/v1/instances", body, NULL, &text, err);

	if (r == 0)
		r = json_parse(str_text(&text), text.size, &json, err);
	if (r == 0)
		r = signals_wait(signals, 1, err);
	if (r == 0)
		r = container_wait_state(client, "zero", "running", err);
	if (r == 0)
		r = crun_learn(crun, node, json_string(json_path(json, "meta.uid"), ""), err);
	return r < 0 ? r : container_delete(client, "zero", err);
}

/* The last text frame: {"exit_code": 0}. */
static int wait_for_code(struct websocket *websocket, struct err *err)
{
	struct websocket_message message;
	int r;

	for (;;) {
		struct pollfd wanted = { .fd = websocket_fd(websocket), .events = websocket_events(websocket) };

		while ((r = websocket_receive(websocket, &message, err)) == 1) {
			if (message.type == WEBSOCKET_TEXT && strstr(message.bytes, "\"exit_code\":0"))
				return 0;
			if (message.type != WEBSOCKET_BINARY)
				return err_set(err, -EIO, "exec: %s", shown(message.bytes));
		}
		if (r < 0)
			return r;
		if (poll(&wanted, 1, WAIT_TIMEOUT_MS) <= 0)
			return err_set(err, -ETIMEDOUT, "exec does not end");
	}
}

int container_exec_true(const struct node *node, const char *name, struct err *err)
{
	static const char request[] = "{\"argv\": [\"true\"]}";
	auto_free char *path = text_format("/v1/instances/%s/exec", name);
	struct client *client = node_connect(node);
	struct websocket *websocket = NULL;
	struct client_response response;
	int r = websocket_open(client, path, &websocket, &response, err);

	if (r == 0 && !websocket)
		r = err_set(err, -EIO, "exec: status %d", response.status);
	if (r == 0)
		r = websocket_send(websocket, WEBSOCKET_TEXT, request, strlen(request), err);
	if (r == 0)
		r = wait_for_code(websocket, err);
	websocket_free(websocket);
	client_free(client);
	return r;
}
