#include "5-interface/cli/wait.h"

#include <inttypes.h>
#include <time.h>

#include "5-interface/cli/terminal.h"
#include "base/clock.h"
#include "base/str.h"
#include "model/image.h"
#include "model/instance.h"

enum { POLL_SECONDS = 10, CATCH_UP_MS = 1000 };

static const struct timespec catch_up_pause = { .tv_nsec = 20 * 1000000 };

struct waiting {
	struct cli *cli;
	const struct wait *wait;
	struct progress progress;
	struct terminal_signals signals;
	int64_t deadline_ms;		/* Monotonic; 0: none. */
	int64_t revision;		/* Last seen. */
	bool has_looked, has_seen;	/* ... and there was one. */
};

/* Monotonic; 0: none. */
static int64_t read_deadline(const struct cli *cli, const struct wait *wait)
{
	if (!wait->is_patient && cli_offers(cli, "timeout") && cli_has(cli, "timeout"))
		return cli->started_ms + cli_duration(cli, "timeout");
	return wait->default_timeout_ms ? clock_monotonic_ms() + wait->default_timeout_ms : 0;
}

/* Is its node lost? Empty: no. */
static void read_lost(const struct kind *kind, const void *object, struct str *out)
{
	if (field_find(kind->status, "lost"))
		field_text(kind->status, "lost", (const char *)object + kind->status_offset, out);
}

void wait_describe(const struct kind *kind, const void *object, struct progress *progress)
{
	auto_str struct str state = { 0 }, lost = { 0 };

	if (kind->id == KIND_IMAGE) {
		const struct image_status *status = &((const struct image *)object)->status;

		if (status->step) {
			progress_step(progress, status->step, status->done_bytes, status->total_bytes);
			return;
		}
	}
	read_lost(kind, object, &lost);
	if (lost.size) {
		progress_step(progress, str_text(&lost), 0, 0);
		return;
	}
	field_text(kind->status, "state", (const char *)object + kind->status_offset, &state);
	progress_step(progress, str_text(&state), 0, 0);
}

/* Adds what makes a GET wait for a change after what was seen last. */
static void add_patience(const struct waiting *waiting, char **path)
{
	int64_t left = waiting->deadline_ms ? waiting->deadline_ms - clock_monotonic_ms() : POLL_SECONDS * 1000;
	auto_free char *after = text_format("%" PRId64, waiting->revision);
	auto_free char *timeout = NULL;

	if (left > POLL_SECONDS * 1000)
		left = POLL_SECONDS * 1000;
	timeout = text_format("%" PRId64 "ms", left > 0 ? left : 0);
	request_query(path, "after", after);
	request_query(path, "timeout", timeout);
}

/* 'ret_object' becomes null when there is no such object. */
static int poll_object(struct waiting *waiting, void **ret_object, struct err *err)
{
	auto_free char *path = text_copy(waiting->wait->path);
	int result;

	if (waiting->has_looked)
		add_patience(waiting, &path);
	*ret_object = NULL;
	result = request_object(waiting->cli, "GET", path, NULL, waiting->wait->kind, ret_object, err);
	return result == -ENOENT ? 0 : result;
}

/* From a lost node an instance with 'ha: restart' is started elsewhere. */
static int check_lost(const struct kind *kind, const void *object, struct err *err)
{
	bool is_taken_over = object && kind->id == KIND_INSTANCE && ((const struct instance *)object)->spec.ha == HA_RESTART;
	auto_str struct str lost = { 0 };

	if (object && !is_taken_over)
		read_lost(kind, object, &lost);
	if (!lost.size)
		return 0;
	return err_set(err, -EAGAIN, "%s: what was asked for is done when that is back: see 'strata node ls'", shown(str_text(&lost)));
}

static int look(struct waiting *waiting, struct err *err)
{
	const struct wait *wait = waiting->wait;
	bool is_old = false, is_unchanged = false;
	void *object;
	int result = poll_object(waiting, &object, err);

	if (result < 0)
		return result;
	waiting->has_seen |= object != NULL;
	if (object) {
		is_unchanged = waiting->has_looked && waiting->revision == kind_meta(object)->revision;
		waiting->revision = kind_meta(object)->revision;
		is_old = !waiting->has_looked && waiting->revision <= wait->revision;
		wait_describe(wait->kind, object, &waiting->progress);
	}
	waiting->has_looked = true;
	result = wait->look(wait->data, object, err);
	/* For a whole long poll; 'strata wait' is there for waiting. */
	if (result == WAIT_MORE && is_unchanged && cli_offers(waiting->cli, "no-wait"))
		result = check_lost(wait->kind, object, err);
	kind_free(wait->kind, object);
	if (result >= 0)
		return result;
	/* Another node has made it: ours has not heard of it yet. */
	if (!waiting->has_seen && wait->revision && clock_monotonic_ms() < waiting->progress.started_ms + CATCH_UP_MS) {
		nanosleep(&catch_up_pause, NULL);
		return WAIT_MORE;
	}
	return is_old ? WAIT_MORE : err_prefix(err, "%s '%s'", wait->kind->name, shown(wait->name));
}

static int loop(struct waiting *waiting, struct err *err)
{
	for (;;) {
		int result = look(waiting, err);

		if (result != WAIT_MORE)
			return result == WAIT_DONE ? 0 : result;
		if (waiting->deadline_ms && clock_monotonic_ms() >= waiting->deadline_ms)
			return err_set(err, -ETIMEDOUT, "%s '%s' is not yet there (%s): the work goes on, see 'strata events'",
				       waiting->wait->kind->name, shown(waiting->wait->name), waiting->progress.step);
	}
}

int wait_for(struct cli *cli, const struct wait *wait, struct err *err)
{
	struct waiting waiting = { .cli = cli, .wait = wait, .deadline_ms = read_deadline(cli, wait) };
	int result = terminal_signals_begin(&waiting.signals, err);

	if (result < 0)
		return result;
	progress_begin(&waiting.progress, cli->messages, wait->name);
	client_watch(cli_client(cli), &(struct client_watch){ .interrupt_fd = waiting.signals.fd,
		.tick_ms = PROGRESS_TICK_MS, .tick = progress_tick, .data = &waiting.progress });

	result = loop(&waiting, err);

	client_watch(cli_client(cli), NULL);
	progress_end(&waiting.progress);
	terminal_signals_end(&waiting.signals);
	if (result == -EINTR)
		return err_set(err, -EINTR, "no longer waiting for %s '%s': the work goes on, see 'strata events'",
			       wait->kind->name, shown(wait->name));
	return result;
}
