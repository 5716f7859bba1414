#include "5-interface/cli/attach.h"

#include <signal.h>
#include <unistd.h>

#include "5-interface/cli/request.h"
#include "5-interface/cli/session_loop.h"
#include "5-interface/cli/wait.h"
#include "base/str.h"
#include "model/instance.h"

/* What the instance looked like before we tried. */
struct before {
	bool has_terminal, has_input;
	bool is_coming;			/* It will run, but does not yet. */
	bool has_ended;
	int exit_code;
};

static bool is_one_of(const char *state, const char *const *states)
{
	for (; *states; states++)
		if (text_equal(state, *states))
			return true;
	return false;
}

static int look_at(struct cli *cli, const char *name, struct before *ret_before, struct err *err)
{
	static const char *const coming[] = { "pending", "creating", "starting", NULL }, *const ended[] = { "stopped", "failed", NULL };
	auto_free char *path = request_path("instances", name, NULL);
	auto_json struct json *json = NULL;
	int result = request_json(cli, "GET", path, NULL, &json, err);
	const char *state = json_string(json_path(json, "status.state"), "");
	int64_t wanted = json_int(json_path(json, "spec.start_serial"), 0);

	if (result < 0)
		return result;
	if (!text_equal(json_string(json_path(json, "spec.kind"), ""), "container"))
		return err_set(err, -EINVAL, "instance '%s' is a vm: use 'strata console %s'", shown(name), shown(name));
	*ret_before = (struct before){
		.has_terminal = json_bool(json_path(json, "spec.container.terminal"), false),
		.has_input = json_bool(json_path(json, "spec.container.input"), false),
		.exit_code = (int)(json_int(json_path(json, "status.exit_code"), 0) & 0xff),
		.has_ended = is_one_of(state, ended) && json_int(json_path(json, "status.ended_serial"), 0) >= wanted,
	};
	ret_before->is_coming = !ret_before->has_ended && (is_one_of(state, coming) || json_int(json_path(json, "status.started_serial"), 0) < wanted);
	return 0;
}

/* Signals. */

struct stopping { const char *name; bool has_asked; };

static int ask_to_stop(struct session *session, int number, struct err *err)
{
	struct stopping *stopping = session->data;
	auto_free char *path = request_path("instances", stopping->name, "stop", NULL);
	int result;

	if (session->raw.is_raw || stopping->has_asked || number == SIGHUP)
		return 0;
	stopping->has_asked = true;
	fprintf(session->cli->messages, "stopping '%s'; once more leaves it\n", shown(stopping->name));
	fflush(session->cli->messages);
	result = request_json(session->cli, "POST", path, NULL, NULL, err);
	return result < 0 ? result : 1;
}

/* The session. */

static void say_detached(const struct session *session, const char *name)
{
	const char *line = session->raw.is_raw ? "\r\n" : "";

	if (session->is_detached)
		fprintf(session->cli->messages, "%sleft '%s', which goes on: 'strata attach %s' comes back%s\n", line, shown(name), shown(name),
			session->raw.is_raw ? "\r" : "");
}

static int run_session(struct session *session, const char *name, const struct before *before, struct err *err)
{
	int result = 0;

	if (before->has_terminal && session->input >= 0)
		result = terminal_raw_begin(&session->raw, session->input, err);
	if (!session->raw.is_raw)
		session->detach = NULL;		/* A pipe holds bytes, not keys. */
	if (result == 0 && before->has_terminal && isatty(session->output))
		result = session_send_size(session, err);
	if (result == 0)
		result = session_run(session, err);
	if (result >= 0)
		say_detached(session, name);
	return result;
}

/* The daemon refuses with a status, or with a message when the WebSocket is open already. */
static int try_attach(struct cli *cli, const char *name, const struct before *before, int64_t tail_bytes, bool *ret_was_refused,
		      struct err *err)
{
	const char *keys = cli_value(cli, "detach-keys");
	struct stopping stopping = { .name = name };
	struct detach detach;
	struct session session = { .cli = cli, .has_channels = true, .is_attached = true, .escape = SESSION_NO_ESCAPE, .detach = &detach,
		.input = before->has_input ? STDIN_FILENO : -1, .output = fileno(cli->out), .error = STDERR_FILENO,
		.on_signal = cli_has(cli, "no-signals") ? NULL : ask_to_stop, .data = &stopping };
	auto_free char *path = request_path("instances", name, "attach", NULL);
	auto_free char *tail = text_format("%lld", (long long)tail_bytes);
	int result = detach_parse(keys ? keys : DETACH_KEYS_DEFAULT, &detach, err);

	request_query(&path, "tail", tail);
	if (result == 0)
		result = session_open(&session, path, err);
	if (result == 0)
		result = run_session(&session, name, before, err);
	if (result == -ECONNRESET)
		err_set(err, result, "the connection was cut, '%s' may go on: 'strata attach %s' comes back", shown(name), shown(name));
	*ret_was_refused = result < 0 && result != CLI_USAGE && result != -EPIPE && !session.has_output && !stopping.has_asked;
	session_done(&session);
	return result;
}

/* Containers that have just been made. */

static int wait_until_up_or_ended(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;

	if (instance && instance->spec.start_serial && instance->status.ended_serial >= instance->spec.start_serial)
		return WAIT_DONE;
	return wait_until_running(data, object, err);
}

static int wait_for_start(struct cli *cli, const char *name, struct err *err)
{
	auto_free char *path = request_path("instances", name, NULL);

	return wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = name, .look = wait_until_up_or_ended }, err);
}

/* It was quicker than we: what it wrote, and its exit code, are kept. */
static int tell_end(struct cli *cli, const char *name, const struct before *before, struct err *err)
{
	auto_free char *path = request_path("instances", name, "logs", NULL);
	auto_str struct str text = { 0 };
	int result = request_plain(cli, path, &text, err);

	if (result == 0)
		result = write_all(fileno(cli->out), str_text(&text), text.size, err);
	return result < 0 ? result : before->exit_code;
}

int attach(struct cli *cli, const char *name, bool is_new, int64_t tail_bytes, struct err *err)
{
	for (;;) {
		struct before before = { 0 };
		bool was_refused;
		int result = look_at(cli, name, &before, err);

		if (result == -ENOENT && is_new)
			return err_set(err, result, "instance '%s' has ended and was removed before its output could be read: "
				       "leave --rm out to see it", shown(name));
		if (result < 0)
			return result;
		result = try_attach(cli, name, &before, tail_bytes, &was_refused, err);
		if (!was_refused || !is_new)
			return result;
		if (before.has_ended)
			return tell_end(cli, name, &before, err);
		if (!before.is_coming)
			return result;
		result = wait_for_start(cli, name, err);
		if (result < 0 && result != -ENOENT)
			return result;
	}
}
