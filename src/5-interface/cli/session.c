#include "5-interface/cli/session.h"

#include <string.h>
#include <unistd.h>

#include "5-interface/cli/request.h"
#include "5-interface/cli/session_loop.h"
#include "base/str.h"

/* Consoles. */

/* "^]", "a" or "none". */
static int parse_escape(const char *text, int *ret_key, struct err *err)
{
	if (text_equal(text, "none"))
		*ret_key = SESSION_NO_ESCAPE;
	else if (text[0] == '^' && text[1] >= '@' && text[1] <= '_' && !text[2])
		*ret_key = text[1] & 0x1f;
	else if (text[0] && !text[1])
		*ret_key = (unsigned char)text[0];
	else
		return err_set(err, CLI_USAGE, "--escape: '%s' is not a key: use one like ^] or ^X, or none", shown(text));
	return 0;
}

static void greet(const struct session *session, const char *name, const char *escape)
{
	if (!session->raw.is_raw)
		return;
	if (session->escape == SESSION_NO_ESCAPE)
		fprintf(session->cli->messages, "console of '%s'\r\n", name);
	else if (escape[0] == '^')
		fprintf(session->cli->messages, "console of '%s': Ctrl-%s leaves it\r\n", name, escape + 1);
	else
		fprintf(session->cli->messages, "console of '%s': the key '%s' leaves it\r\n", name, escape);
	fflush(session->cli->messages);
}

int session_console(struct cli *cli, const char *name, int64_t tail_bytes, struct err *err)
{
	struct session session = { .cli = cli, .input = STDIN_FILENO, .output = fileno(cli->out), .error = STDERR_FILENO };
	const char *escape = cli_offers(cli, "escape") ? cli_value(cli, "escape") : NULL;
	auto_free char *path = request_path("instances", name, "console", NULL);
	auto_free char *tail = text_format("%lld", (long long)tail_bytes);
	int result;

	if (!escape)
		escape = "^]";
	request_query(&path, "tail", tail);
	result = parse_escape(escape, &session.escape, err);
	if (result == 0)
		result = session_open(&session, path, err);
	if (result == 0)
		result = terminal_raw_begin(&session.raw, session.input, err);
	if (result == 0) {
		greet(&session, name, escape);
		result = session_run(&session, err);
		if (session.raw.is_raw)
			fprintf(cli->messages, "\r\n");
		if (result == -ECONNRESET)
			err_set(err, result, "the console of '%s' has ended: see 'strata show %s'", shown(name), shown(name));
	}
	session_done(&session);
	return result;
}

/* Commands. */

static int start_command(struct session *session, const struct json *request, struct err *err)
{
	auto_free char *text = json_text(request, 0);

	return websocket_send(session->websocket, WEBSOCKET_TEXT, text, strlen(text), err);
}

static int run_command(struct session *session, const char *name, const struct json *request, struct err *err)
{
	auto_free char *path = request_path("instances", name, "exec", NULL);
	int result = session_open(session, path, err);

	if (result == 0 && json_bool(json_get(request, "terminal"), false))
		result = terminal_raw_begin(&session->raw, STDIN_FILENO, err);
	if (result == 0)
		result = start_command(session, request, err);
	if (result == 0)
		result = session_run(session, err);
	session_done(session);
	return result;
}

int session_exec(struct cli *cli, const char *name, struct json *request, struct err *err)
{
	bool has_input = json_bool(json_get(request, "stdin"), false);
	struct session session = { .cli = cli, .has_channels = true, .escape = SESSION_NO_ESCAPE, .input = has_input ? STDIN_FILENO : -1,
		.output = fileno(cli->out), .error = STDERR_FILENO };

	return run_command(&session, name, request, err);
}

int session_pipe(struct cli *cli, const char *name, struct json *request, int input, int output, struct err *err)
{
	struct session session = { .cli = cli, .has_channels = true, .escape = SESSION_NO_ESCAPE, .input = input, .output = output,
		.error = STDERR_FILENO };

	return run_command(&session, name, request, err);
}
