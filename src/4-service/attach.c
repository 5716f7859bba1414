/*
 * attach.c - a client at the standard streams of a container's first process.
 *
 * What the process writes is read from its log, as everything of a console is: so an attach shows what was
 * written before it, loses nothing when the process ends at once, and costs the process nothing. What the client
 * types goes to the driver's console. A client may attach to a container that is still being started.
 *
 * One thread per client carries the bytes; it is woken by the log (inotify), by the client, and by the loop (an
 * eventfd) when the state of the instance has changed. The loop alone writes 'phase', 'exit_code' and 'is_cancelled'.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "4-service/streams.h"
#include "base/file.h"
#include "base/log_record.h"
#include "base/mem.h"
#include "base/str.h"

enum { PIECE_BYTES = 16 << 10, CONSOLE_RETRY_MS = 20 };
enum phase { PHASE_STARTING, PHASE_RUNNING, PHASE_ENDED };

struct attach {
	struct core *core;
	struct machine_driver *machine;
	char *uid, *log_path;
	int64_t start_serial;			/* The run it is for. */
	bool has_terminal;
	int64_t tail;				/* Bytes of log before now that are shown first; -1: all. */
	struct loop_source *hangup;
	/* From the loop to the thread. */
	atomic_int phase, exit_code;
	atomic_bool is_cancelled;
	int wake;				/* eventfd */
	/* The thread's. */
	int input, output, error, resize, result;
	int console;				/* -1: not open yet, or closed. */
	int log, notify;
	off_t offset;
	struct log_decoder decoder;
	struct err err;
};

static void wake(struct attach *attach)
{
	uint64_t one = 1;

	(void)!write(attach->wake, &one, sizeof(one));
}

static void attach_free(void *data)
{
	struct attach *attach = data;
	int *fds[] = { &attach->wake, &attach->input, &attach->output, &attach->error, &attach->resize, &attach->result,
		       &attach->console, &attach->log, &attach->notify };

	for (size_t i = 0; i < attach->core->attached.count; i++)
		if (attach->core->attached.items[i] == attach) {
			vec_remove(&attach->core->attached, i);
			break;
		}
	loop_remove(attach->hangup);
	for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
		closep(fds[i]);
	free(attach->uid);
	free(attach->log_path);
	free(attach);
}

/* ---- The thread ---- */

static void write_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;			/* The client has gone: the hangup tells. */
		bytes += written;
		size -= (size_t)written;
	}
}

static void take_text(void *data, const struct log_record *record, const char *text, size_t size)
{
	struct attach *attach = data;

	write_all(record->stream == LOG_STDERR && attach->error >= 0 ? attach->error : attach->output, text, size);
}

static void open_log(struct attach *attach)
{
	attach->log = open(attach->log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (attach->log >= 0)
		inotify_add_watch(attach->notify, attach->log_path, IN_MODIFY | IN_ATTRIB /* Its name is gone. */);
}

/* conmon puts a new file in the place of one that is full, and writes nothing more into that. */
static bool is_replaced(const struct attach *attach)
{
	struct stat ours, present;

	return fstat(attach->log, &ours) == 0 && stat(attach->log_path, &present) == 0 && ours.st_ino != present.st_ino;
}

static void read_to_end(struct attach *attach)
{
	char buffer[PIECE_BYTES];
	ssize_t size;

	while ((size = pread(attach->log, buffer, sizeof(buffer), attach->offset)) > 0) {
		log_decoder_write(&attach->decoder, buffer, (size_t)size);
		attach->offset += size;
	}
}

/* The log may be made, be cut back to nothing, or be replaced at any time. */
static void read_log(struct attach *attach)
{
	struct stat st;

	if (attach->log < 0) {
		open_log(attach);
		if (attach->log < 0)
			return;
		if (fstat(attach->log, &st) == 0 && attach->tail >= 0 && st.st_size > attach->tail)
			attach->offset = st.st_size - attach->tail;
	}
	if (fstat(attach->log, &st) == 0 && st.st_size < attach->offset) {
		attach->offset = 0;
		log_decoder_restart(&attach->decoder);
	}
	for (;;) {
		bool is_last = !is_replaced(attach);	/* Before it is read: then nothing comes after its end. */

		read_to_end(attach);
		if (is_last)
			return;
		closep(&attach->log);
		attach->offset = 0;
		log_decoder_restart(&attach->decoder);
		open_log(attach);
		if (attach->log < 0)
			return;
	}
}

static void open_console(struct attach *attach)
{
	struct err ignored;

	if (attach->console < 0 && attach->input >= 0 && attach->phase == PHASE_RUNNING)
		attach->machine->ops->console_open(attach->machine, attach->uid, &attach->console, &ignored);
}

static void read_input(struct attach *attach)
{
	char buffer[PIECE_BYTES];
	ssize_t size = read(attach->input, buffer, sizeof(buffer));

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size > 0) {
		write_all(attach->console, buffer, (size_t)size);
		return;
	}
	shutdown(attach->console, SHUT_WR);	/* End of file for the process, when its input is a pipe. */
	close(take_fd(attach->input));
}

/* What the console sends back is in the log as well. */
static void drain_console(struct attach *attach)
{
	char buffer[PIECE_BYTES];
	ssize_t size = read(attach->console, buffer, sizeof(buffer));

	if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
		close(take_fd(attach->console));
}

static void read_resize(struct attach *attach)
{
	uint16_t rows_columns[2];
	ssize_t size = read(attach->resize, rows_columns, sizeof(rows_columns));
	struct err ignored;

	if (size == sizeof(rows_columns) && attach->machine->ops->console_resize)
		attach->machine->ops->console_resize(attach->machine, attach->uid, rows_columns[0], rows_columns[1], &ignored);
	else if (size == 0)
		close(take_fd(attach->resize));
}

static void drain(int fd)
{
	char buffer[4096];

	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
}

static void wait_for_news(struct attach *attach)
{
	bool may_type = attach->console >= 0, may_open = !may_type && attach->input >= 0 && attach->phase == PHASE_RUNNING;
	struct pollfd fds[] = {
		{ attach->wake, POLLIN, 0 }, { attach->notify, POLLIN, 0 }, { may_type ? attach->input : -1, POLLIN, 0 },
		{ attach->console, POLLIN, 0 }, { attach->phase == PHASE_RUNNING ? attach->resize : -1, POLLIN, 0 },
	};

	/* Without a log there is nothing to be told of it by; without a console it is tried again. */
	poll(fds, ARRAY_COUNT(fds), attach->log < 0 || may_open ? CONSOLE_RETRY_MS : -1);
	drain(attach->wake);
	drain(attach->notify);
	if (fds[2].revents)
		read_input(attach);
	if (fds[3].revents && attach->console >= 0)
		drain_console(attach);
	if (fds[4].revents)
		read_resize(attach);
}

static void run(void *data)
{
	struct attach *attach = data;

	while (!attach->is_cancelled) {
		bool is_over = attach->phase == PHASE_ENDED;

		open_console(attach);
		read_log(attach);
		if (is_over)
			break;			/* What it wrote last has been read after its end was known. */
		wait_for_news(attach);
	}
	close(take_fd(attach->output));
	if (attach->error >= 0)
		close(take_fd(attach->error));
	stream_write_result(attach->result, attach->exit_code, &attach->err);
}

/* ---- In the loop ---- */

static void look_at(struct attach *attach, const struct instance *instance)
{
	const struct instance_status *status = &instance->status;
	enum phase phase = PHASE_STARTING;

	if (status->started_serial > attach->start_serial)
		phase = PHASE_ENDED;
	else if (status->started_serial == attach->start_serial && status->pid)
		phase = PHASE_RUNNING;
	else if (status->state == INSTANCE_STOPPED || status->state == INSTANCE_FAILED || status->state == INSTANCE_DELETING)
		phase = status->started_serial == attach->start_serial ? PHASE_ENDED : PHASE_STARTING;
	if (status->state == INSTANCE_FAILED && phase != PHASE_RUNNING) {
		phase = PHASE_ENDED;
		err_set(&attach->err, -EIO, "'%s' could not be started: %s", instance->meta.name, status->reason ? status->reason : "unknown");
	}
	if ((int)phase == attach->phase)
		return;
	attach->exit_code = (int)status->exit_code;
	attach->phase = (int)phase;
	wake(attach);
}

void attach_wake(struct core *core, const struct instance *instance)
{
	for (size_t i = 0; i < core->attached.count; i++)
		if (text_equal(core->attached.items[i]->uid, instance->meta.uid) && core->attached.items[i]->phase != PHASE_ENDED)
			look_at(core->attached.items[i], instance);
}

static void client_went(void *data, int fd, uint32_t events)
{
	struct attach *attach = data;

	(void)fd;
	(void)events;
	attach->is_cancelled = true;
	loop_remove(attach->hangup);
	attach->hangup = NULL;
	wake(attach);
}

static int make_pipes(struct attach *attach, bool has_input, struct call_fds *fds, struct err *err)
{
	int r = has_input ? stream_pipe(&attach->input, &fds->input, true, err) : 0;

	if (r == 0)
		r = stream_pipe(&attach->output, &fds->output, false, err);
	if (r == 0 && !attach->has_terminal)
		r = stream_pipe(&attach->error, &fds->error, false, err);
	if (r == 0 && attach->has_terminal)
		r = stream_pipe(&attach->resize, &fds->resize, true, err);
	return r < 0 ? r : stream_pipe(&attach->result, &fds->result, false, err);
}

static struct attach *attach_new(struct core *core, const struct call *call, const struct instance *instance)
{
	struct attach *attach = alloc(sizeof(*attach));
	struct stat st;

	*attach = (struct attach){
		.core = core, .machine = core->params.machines[instance->spec.kind], .uid = text_copy(instance->meta.uid),
		.log_path = agent_console_log(core->agent, instance->meta.uid), .start_serial = instance->spec.start_serial,
		.has_terminal = instance->spec.container.terminal, .tail = json_int(json_get(call->body, "tail"), 0),
		.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
		.input = -1, .output = -1, .error = -1, .resize = -1, .result = -1, .console = -1, .log = -1,
		.decoder = { .fn = take_text, .data = attach },
	};
	/* What has run before is not this run's. */
	if (instance->status.started_serial != instance->spec.start_serial)
		attach->tail = 0;
	if (stat(attach->log_path, &st) < 0)
		attach->tail = -1;		/* All that will come. */
	*vec_push(&core->attached) = attach;
	return attach;
}

static int check(const struct instance *instance, struct err *err)
{
	if (instance->spec.kind != INSTANCE_CONTAINER)
		return err_set(err, -EOPNOTSUPP, "instance '%s' is a virtual machine: use 'strata console %s'", instance->meta.name,
			       instance->meta.name);
	if (instance->meta.deleted_at)
		return err_set(err, -EBUSY, "instance '%s' is being deleted", instance->meta.name);
	if (!instance->spec.start_serial)
		return err_set(err, -EBUSY, "instance '%s' has never been started: use 'strata start %s'", instance->meta.name,
			       instance->meta.name);
	return 0;
}

void stream_attach(struct core *core, struct call *call)
{
	struct call_fds fds = CALL_NO_FDS;
	struct instance *instance;
	struct attach *attach;
	struct err err = { 0 };
	void *found;
	int r = find_object(core, KIND_INSTANCE, call->name, &found, &err);

	if (r == 0)
		r = check(found, &err);
	if (r < 0) {
		answer_err(call, &err);
		return;
	}
	instance = found;
	attach = attach_new(core, call, instance);
	look_at(attach, instance);
	r = make_pipes(attach, instance->spec.container.input || instance->spec.container.terminal, &fds, &err);
	if (r == 0)
		r = loop_add_fd(core->params.loop, attach->result, EPOLLERR, client_went, attach, &attach->hangup, &err);
	if (r == 0)
		r = agent_run_detached(core->agent, run, attach_free, attach, &err);
	if (r < 0) {
		streams_close(&fds);
		attach_free(attach);
		answer_err(call, &err);
		return;
	}
	answer_fds(call, fds);
}
