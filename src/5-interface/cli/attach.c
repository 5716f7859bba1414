#include "5-interface/cli/attach.h"

#include <signal.h>
#include <unistd.h>

#include "5-interface/cli/request.h"
#include "5-interface/cli/session_loop.h"
#include "base/str.h"
#include "model/instance.h"

/* What its standard streams are. */
struct streams { bool has_terminal, has_input; };

static int look_at(struct cli *cli, const char *name, struct streams *ret_streams, struct err *err)
{
	auto_free char *path = request_path("instances", name, NULL);
	auto_json struct json *json = NULL;
	int result = request_json(cli, "GET", path, NULL, &json, err);

	if (result < 0)
		return result;
	if (!text_equal(json_string(json_path(json, "spec.kind"), ""), "container"))
		return err_set(err, -EINVAL, "instance '%s' is a vm: use 'strata console %s'", shown(name), shown(name));
	*ret_streams = (struct streams){
		.has_terminal = json_bool(json_path(json, "spec.container.terminal"), false),
		.has_input = json_bool(json_path(json, "spec.container.input"), false),
	};
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

static int run_session(struct session *session, const char *name, const struct streams *streams, struct err *err)
{
	int result = 0;

	if (streams->has_terminal && session->input >= 0)
		result = terminal_raw_begin(&session->raw, session->input, err);
	if (!session->raw.is_raw)
		session->detach = NULL;		/* A pipe holds bytes, not keys. */
	if (result == 0 && streams->has_terminal && isatty(session->output))
		result = session_send_size(session, err);
	if (result == 0)
		result = session_run(session, err);
	if (result >= 0)
		say_detached(session, name);
	return result;
}

/* The daemon holds us while the container comes up. It refuses with a status, or with a message when the WebSocket is open already. */
static int try_attach(struct cli *cli, const char *name, const struct streams *streams, int64_t tail_bytes, struct err *err)
{
	const char *keys = cli_value(cli, "detach-keys");
	struct stopping stopping = { .name = name };
	struct detach detach;
	struct session session = { .cli = cli, .has_channels = true, .is_attached = true, .escape = SESSION_NO_ESCAPE, .detach = &detach,
		.input = streams->has_input ? STDIN_FILENO : -1, .output = fileno(cli->out), .error = STDERR_FILENO,
		.on_signal = cli_has(cli, "no-signals") ? NULL : ask_to_stop, .data = &stopping };
	auto_free char *path = request_path("instances", name, "attach", NULL);
	auto_free char *tail = text_format("%lld", (long long)tail_bytes);
	int result = detach_parse(keys ? keys : DETACH_KEYS_DEFAULT, &detach, err);

	request_query(&path, "tail", tail);
	if (result == 0)
		result = session_open(&session, path, err);
	if (result == 0)
		result = run_session(&session, name, streams, err);
	if (result == -ECONNRESET)
		err_set(err, result, "the connection was cut, '%s' may go on: 'strata attach %s' comes back", shown(name), shown(name));
	session_done(&session);
	return result;
}

int attach(struct cli *cli, const char *name, bool is_new, int64_t tail_bytes, struct err *err)
{
	struct streams streams = { 0 };
	int result = look_at(cli, name, &streams, err);

	if (result == -ENOENT && is_new)
		return err_set(err, result, "instance '%s' has ended and was removed before its output could be read: "
			       "leave --rm out to see it", shown(name));
	return result < 0 ? result : try_attach(cli, name, &streams, tail_bytes, err);
}
