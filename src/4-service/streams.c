/*
 * streams.c - console, logs, exec, files: what flows between a client and a guest.
 *
 * The HTTP side gets its ends of pipes; the work is done by a thread of its own per command or file,
 * because a guest may block it for as long as it likes.  How it ended is one JSON line on the
 * result pipe.  When the client goes away it closes its ends: writes fail, and 'is_cancelled' is
 * set as soon as nobody reads the result any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "4-service/streams.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

enum { ARGUMENTS_MAX = 1024, FILE_MODE_MAX = 07777 };

/* ---- Console and logs ---- */

static int find_machine(struct core *core, const char *name, struct instance **ret_instance, struct err *err)
{
	void *found;
	int r = find_object(core, KIND_INSTANCE, name, &found, err);

	if (r < 0)
		return r;
	*ret_instance = found;
	switch ((*ret_instance)->status.state) {
	case INSTANCE_RUNNING:
	case INSTANCE_PAUSED:
	case INSTANCE_STOPPING:
		return 0;
	case INSTANCE_PENDING:
	case INSTANCE_CREATING:
	case INSTANCE_STARTING:
	case INSTANCE_RESTORING:
		return err_set(err, -EAGAIN, "instance '%s' is %s: wait for it with 'strata wait %s'", name,
			       instance_state_names[(*ret_instance)->status.state], name);
	default:
		return err_set(err, -EBUSY, "instance '%s' is %s: start it with 'strata start %s'", name,
			       instance_state_names[(*ret_instance)->status.state], name);
	}
}

/* What runs containers writes each line with its time and stream; a serial console has but bytes. */
static bool log_has_records(const struct instance *instance)
{
	return instance->spec.kind == INSTANCE_CONTAINER;
}

void stream_console(struct core *core, struct call *call)
{
	struct call_fds fds = CALL_NO_FDS;
	struct instance *instance;
	struct err err = { 0 };
	auto_free char *log = NULL;

	if (find_machine(core, call->name, &instance, &err) < 0 ||
	    agent_console_open(core->agent, instance->meta.uid, &fds.input, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	log = agent_console_log(core->agent, instance->meta.uid);
	answer_log(call, fds, log, log_has_records(instance));
}

void stream_logs(struct core *core, struct call *call)
{
	auto_free char *log = NULL;
	struct err err = { 0 };
	void *instance;

	if (find_object(core, KIND_INSTANCE, call->name, &instance, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	log = agent_console_log(core->agent, kind_meta(instance)->uid);
	answer_log(call, CALL_NO_FDS, log, log_has_records(instance));
}

/* ---- Sessions: exec and files ---- */

struct session {
	struct core *core;
	enum call_op op;
	struct machine_driver *machine;
	char *uid;
	char **argv, **env;			/* Null-terminated. */
	char *directory, *path, *user;
	unsigned mode;
	struct machine_exec exec;
	int input, output, error, resize, result;	/* Our ends. */
	bool has_input;
	bool is_cancelled;
	struct loop_source *hangup;		/* The client reads the result no more. */
	int exit_code;
	struct err err;
};

static void free_texts(char **texts)
{
	for (size_t i = 0; texts && texts[i]; i++)
		free(texts[i]);
	free(texts);
}

static void session_free(struct session *session)
{
	int *fds[] = { &session->input, &session->output, &session->error, &session->resize, &session->result };

	loop_remove(session->hangup);
	for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
		closep(fds[i]);
	free_texts(session->argv);
	free_texts(session->env);
	free(session->uid);
	free(session->directory);
	free(session->user);
	free(session->path);
	free(session);
}

void stream_write_result(int fd, int exit_code, const struct err *err)
{
	auto_str struct str line = { 0 };
	struct json_writer writer = { .out = &line };
	ssize_t written;

	json_write_object(&writer, NULL);
	if (err->code < 0) {
		json_write_string(&writer, "error", err->msg);
		json_write_int(&writer, "code", err->code);
	} else {
		json_write_int(&writer, "exit_code", exit_code);
	}
	json_write_end_object(&writer);
	str_append_char(&line, '\n');
	written = write(fd, line.data, line.size);
	(void)written;				/* Nobody is left to hear it. */
}

static int run_session(struct session *session)
{
	const struct machine_ops *ops = session->machine->ops;

	switch (session->op) {
	case CALL_FILE_READ: return ops->file_read(session->machine, session->uid, session->path, session->output, &session->err);
	case CALL_FILE_WRITE:
		return ops->file_write(session->machine, session->uid, session->path, session->mode, session->input, &session->err);
	default: return ops->exec(session->machine, session->uid, &session->exec, &session->exit_code, &session->err);
	}
}

static void session_run(void *data)
{
	struct session *session = data;

	if (run_session(session) == 0)
		session->err.code = 0;
	/* Output ends before the result is there. */
	if (session->output >= 0)
		close(take_fd(session->output));
	if (session->error >= 0)
		close(take_fd(session->error));
	stream_write_result(session->result, session->exit_code, &session->err);
}

static void session_done(void *data)
{
	session_free(data);
}

static void client_went(void *data, int fd, uint32_t events)
{
	struct session *session = data;

	(void)fd;
	(void)events;
	__atomic_store_n(&session->is_cancelled, true, __ATOMIC_RELAXED);
	loop_remove(session->hangup);
	session->hangup = NULL;
}

int stream_pipe(int *ours, int *theirs, bool is_inbound, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "make a pipe: %m");
	*ours = ends[is_inbound ? 0 : 1];
	*theirs = ends[is_inbound ? 1 : 0];
	return 0;
}

void streams_close(struct call_fds *fds)
{
	int *all[] = { &fds->input, &fds->output, &fds->error, &fds->resize, &fds->result };

	for (size_t i = 0; i < ARRAY_COUNT(all); i++)
		closep(all[i]);
	*fds = CALL_NO_FDS;
}

static int make_pipes(struct session *session, struct call_fds *fds, struct err *err)
{
	bool is_exec = session->op == CALL_EXEC;
	int r = 0;

	if (session->has_input)
		r = stream_pipe(&session->input, &fds->input, true, err);
	if (r == 0)
		r = session->op != CALL_FILE_WRITE ? stream_pipe(&session->output, &fds->output, false, err) : 0;
	if (r == 0 && is_exec && !session->exec.has_terminal)
		r = stream_pipe(&session->error, &fds->error, false, err);
	if (r == 0 && is_exec && session->exec.has_terminal)
		r = stream_pipe(&session->resize, &fds->resize, true, err);
	if (r == 0)
		r = stream_pipe(&session->result, &fds->result, false, err);
	return r;
}

static void start_session(struct core *core, struct call *call, struct session *session)
{
	struct call_fds fds = CALL_NO_FDS;
	struct err err = { 0 };
	int r = make_pipes(session, &fds, &err);

	session->exec.argv = (const char *const *)session->argv;
	session->exec.env = (const char *const *)session->env;
	session->exec.user = session->user;
	session->exec.directory = session->directory;
	session->exec.input = session->input;
	session->exec.output = session->output;
	session->exec.error = session->error;
	session->exec.resize = session->resize;
	session->exec.is_cancelled = &session->is_cancelled;
	if (r == 0)
		r = loop_add_fd(core->params.loop, session->result, EPOLLERR, client_went, session, &session->hangup, &err);
	if (r == 0)
		r = agent_run_detached(core->agent, session_run, session_done, session, &err);
	if (r < 0) {
		streams_close(&fds);
		session_free(session);
		answer_err(call, &err);
		return;
	}
	answer_fds(call, fds);
}

static struct session *session_new(struct core *core, struct call *call, struct err *err)
{
	struct instance *instance;
	struct session *session;

	if (find_machine(core, call->name, &instance, err) < 0)
		return NULL;
	session = alloc(sizeof(*session));
	*session = (struct session){ .core = core, .op = call->op, .machine = core->params.machines[instance->spec.kind], .uid = text_copy(instance->meta.uid),
				     .input = -1, .output = -1, .error = -1, .resize = -1, .result = -1 };
	return session;
}

static int read_argv(const struct json *json, char ***ret_argv, struct err *err)
{
	size_t count = json_count(json);

	if (json_type(json) != JSON_ARRAY || !count)
		return err_set(err, -EINVAL, "argv: is missing: give the command as a list of texts");
	if (count > ARGUMENTS_MAX)
		return err_set(err, -E2BIG, "argv: has %zu arguments: use at most %d", count, ARGUMENTS_MAX);
	*ret_argv = alloc((count + 1) * sizeof(char *));
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string(json_at(json, i), NULL);

		if (!text)
			return err_set(err, -EINVAL, "argv: argument %zu is %s: use text", i, json_type_name(json_type(json_at(json, i))));
		(*ret_argv)[i] = text_copy(text);
	}
	return 0;
}

static int read_env(const struct json *json, char ***ret_env, struct err *err)
{
	size_t count = json_count(json);

	if (json_type(json) == JSON_ABSENT)
		return 0;
	if (json_type(json) != JSON_OBJECT || count > ARGUMENTS_MAX)
		return err_set(err, -EINVAL, "env: must be an object of at most %d texts", ARGUMENTS_MAX);
	*ret_env = alloc((count + 1) * sizeof(char *));
	for (size_t i = 0; i < count; i++) {
		const char *key, *value = json_string(json_member(json, i, &key), NULL);

		if (!value || !key[0] || strchr(key, '='))
			return err_set(err, -EINVAL, "env.%s: must be text, and its name without '='", shown(key));
		(*ret_env)[i] = text_format("%s=%s", key, value);
	}
	return 0;
}

void stream_exec(struct core *core, struct call *call)
{
	struct err err = { 0 };
	struct session *session = session_new(core, call, &err);

	if (!session) {
		answer_err(call, &err);
		return;
	}
	session->exec.has_terminal = json_bool(json_get(call->body, "terminal"), false);
	session->exec.rows = (unsigned)json_int(json_get(call->body, "rows"), 0) & 0xffff;
	session->exec.columns = (unsigned)json_int(json_get(call->body, "columns"), 0) & 0xffff;
	session->has_input = session->exec.has_terminal || json_bool(json_get(call->body, "stdin"), false);
	session->directory = text_copy(json_string(json_get(call->body, "directory"), NULL));
	session->user = text_copy(json_string(json_get(call->body, "user"), NULL));
	if (read_argv(json_get(call->body, "argv"), &session->argv, &err) < 0 ||
	    read_env(json_get(call->body, "env"), &session->env, &err) < 0) {
		session_free(session);
		answer_err(call, &err);
		return;
	}
	start_session(core, call, session);
}

static void start_file(struct core *core, struct call *call)
{
	const char *path = json_string(json_get(call->body, "path"), NULL);
	int64_t mode = json_int(json_get(call->body, "mode"), 0644);
	struct err err = { 0 };
	struct session *session = NULL;

	if (!path || path[0] != '/')
		err_set(&err, -EINVAL, "path: '%s' is not an absolute path in the guest: begin it with '/'", shown(path ? path : ""));
	else if (mode < 0 || mode > FILE_MODE_MAX)
		err_set(&err, -EINVAL, "mode: %o is not a file mode: use one like 0644", (unsigned)mode);
	else
		session = session_new(core, call, &err);
	if (!session) {
		answer_err(call, &err);
		return;
	}
	session->path = text_copy(path);
	session->has_input = session->op == CALL_FILE_WRITE;
	session->mode = (unsigned)mode;
	start_session(core, call, session);
}

void stream_file_read(struct core *core, struct call *call)
{
	start_file(core, call);
}

void stream_file_write(struct core *core, struct call *call)
{
	start_file(core, call);
}
