/* Talking to conmon while a container is made: its arguments, and its two pipes (conmon(8); src/conmon.c, src/parent_pipe_fd.c). */
#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/spawn.h"
#include "driver/machine/common/deadline.h"
#include "driver/machine/oci/launch.h"
#include "driver/machine/oci/program.h"
#include "driver/machine/oci/state.h"

enum { CREATE_TIMEOUT_MS = 60000, ANSWER_MAX_BYTES = 64 << 10, SYNC_FD = 3, START_FD = 4 };

struct conmon_args { VEC(char *) items; };

static void add(struct conmon_args *args, const char *text)
{
	*vec_push(&args->items) = text_copy(text);
}

static void make_args(struct launch *launch, struct conmon_args *args)
{
	const struct machine_config *config = launch->config;
	const struct machine_container *container = config->container;
	const char *const fixed[] = {
		"conmon", "--sync", "--full-attach", "--log-level", "error", "-c", config->uid, "-u", config->uid,
		"-n", config->name ? config->name : config->uid, "-r", launch->crun, "-b", launch->directory,
		"--exit-dir", launch->directory,
	};

	for (size_t i = 0; i < ARRAY_COUNT(fixed); i++)
		add(args, fixed[i]);
	add(args, "-p");
	*vec_push(&args->items) = text_format("%s/pid", launch->directory);
	add(args, "-l");
	if (config->console_log)
		*vec_push(&args->items) = text_format("k8s-file:%s", config->console_log);
	else
		add(args, "none");
	add(args, "--log-size-max");
	*vec_push(&args->items) = text_format("%" PRIu64, config->console_log_bytes ? config->console_log_bytes : LIMIT_CONSOLE_LOG_BYTES);
	*vec_push(&args->items) = text_format("--runtime-arg=--root=%s", launch->oci->state);
	add(args, "--runtime-arg=--cgroup-manager=cgroupfs");
	if (bundle_has_terminal(container))
		add(args, "-t");
	else if (container->has_input) {
		add(args, "-i");
		if (!container->has_input_once)
			add(args, "--leave-stdin-open");
	}
	*vec_push(&args->items) = NULL;
}

static void args_done(struct conmon_args *args)
{
	for (size_t i = 0; i < args->items.count; i++)
		free(args->items.items[i]);
	vec_done(&args->items);
}

static int open_log(struct launch *launch, struct err *err)
{
	int fd = openat(launch->run_dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	return fd < 0 ? err_set(err, -errno, "make conmon's log: %m") : fd;
}

int conmon_spawn(struct launch *launch, struct err *err)
{
	static const char *const env[] = { "_OCI_SYNCPIPE=3", "_OCI_STARTPIPE=4", NULL };
	auto_close int log = open_log(launch, err);
	auto_free char *cgroup = layout_group(&launch->oci->layout, launch->config->uid, "monitor");
	const struct spawn_fd fds[] = {
		{ launch->sync[1], SYNC_FD }, { launch->start[0], START_FD }, { log, STDERR_FILENO },
	};
	struct conmon_args args = { 0 };
	struct spawn_params params = {
		.env = env, .fds = fds, .fd_count = ARRAY_COUNT(fds), .cgroup = cgroup, .has_own_session = true,
		.prepare = rootfs_enter, .prepare_data = &launch->rootfs,
	};
	int r;

	if (log < 0)
		return log;
	make_args(launch, &args);
	params.argv = (const char *const *)args.items.items;
	r = spawn_start(&params, &launch->monitor, &launch->pidfd, err);
	args_done(&args);
	if (r < 0 && launch->rootfs.failed)
		return err_set(err, r, "%s: %m", launch->rootfs.failed);
	return r;
}

/* crun create */

static int explain_end(struct launch *launch, struct err *err)
{
	char words[300];

	oci_state_last_words(launch->run_dir, words, sizeof(words));
	return err_set(err, -EIO, "%s", words[0] ? words : "conmon ended without a word");
}

/* crun: "executable file `x` not found in $PATH: No such file or directory" */
static int explain_create(struct launch *launch, const struct json *answer, struct err *err)
{
	const char *message = json_string(json_get(answer, "message"), "");

	if (!message[0])
		return explain_end(launch, err);
	return program_explain(message, launch->config->container->argv[0], err);
}

static int read_answer(struct launch *launch, struct str *answer, struct err *err)
{
	struct deadline deadline = deadline_in(CREATE_TIMEOUT_MS);
	struct pollfd waiting = { .fd = launch->sync[0], .events = POLLIN };

	while (answer->size < ANSWER_MAX_BYTES && !memchr(str_text(answer), '\n', answer->size)) {
		char bytes[4096];
		ssize_t count;
		int r = poll(&waiting, 1, deadline_left_ms(deadline));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set(err, -ETIMEDOUT, "crun did not make the container within %d s", CREATE_TIMEOUT_MS / 1000);
		count = read(launch->sync[0], bytes, sizeof(bytes));
		if (count <= 0)
			break;
		str_append_bytes(answer, bytes, (size_t)count);
	}
	return 0;
}

/* "{"pid": 136}", or "{"pid": -1, "message": "..."}" */
static int wait_for_create(struct launch *launch, struct err *err)
{
	auto_str struct str text = { 0 };
	auto_json struct json *answer = NULL;
	struct err ignored;
	int64_t pid;
	int r = read_answer(launch, &text, err);

	if (r < 0)
		return r;
	if (json_parse(str_text(&text), text.size, &answer, &ignored) < 0)
		return explain_end(launch, err);
	pid = json_int(json_get(answer, "pid"), json_int(json_get(answer, "data"), -1));
	if (pid <= 0)
		return explain_create(launch, answer, err);
	launch->pid = (pid_t)pid;
	return 0;
}

int conmon_create(struct launch *launch, struct err *err)
{
	if (write(launch->start[1], "", 1) != 1)
		return explain_end(launch, err);
	return wait_for_create(launch, err);
}
