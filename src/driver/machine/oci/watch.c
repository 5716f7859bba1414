/*
 * Theory of operation.
 *
 * A watch holds a pidfd of conmon, which ends after the container and leaves the exit code in a file; an fd of
 * the cgroup's events, which becomes ready when the group is frozen or thawed; and one that becomes ready when the
 * kernel kills something at the memory limit. What has happened before the watch began is reported in the
 * loop's first turn, also the end of a container that nobody watched.
 *
 * Somebody may have killed conmon alone. Then the container's first process is watched, and its exit code is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/oci/oci.h"
#include "driver/machine/oci/oom.h"
#include "driver/machine/oci/state.h"

enum { SIGNAL_BASE = 128, SIGNAL_MAX = 64, OOM_LOOK_AGAIN_MS = 50 };

struct machine_watch {
	const struct oci *oci;
	char *uid;
	struct loop *loop;
	machine_event_fn *fn;
	void *data;
	int run_dir, pidfd, events, oom;	/* -1: none. */
	struct loop_source *process_source, *events_source, *oom_source, *first_source, *again_source;
	bool is_frozen, is_over;
	bool is_in_callback;		/* unwatch then leaves the rest to leave(). */
};

static void watch_free(struct machine_watch *watch)
{
	loop_remove(watch->process_source);
	loop_remove(watch->events_source);
	loop_remove(watch->oom_source);
	loop_remove(watch->first_source);
	loop_remove(watch->again_source);
	closep(&watch->run_dir);
	closep(&watch->pidfd);
	closep(&watch->events);
	closep(&watch->oom);
	free(watch->uid);
	free(watch);
}

static void leave(struct machine_watch *watch)
{
	watch->is_in_callback = false;
	if (watch->is_over)
		watch_free(watch);
}

static void report(struct machine_watch *watch, enum machine_event_kind kind, const char *text)
{
	struct machine_event event = { .kind = kind, .exit_code = -1 };

	snprintf(event.text, sizeof(event.text), "%s", text);
	if (!watch->is_over)
		watch->fn(watch->data, &event);
}

/* Memory */

/* Each kill is reported once, also across daemons. */
static void look_at_memory(struct machine_watch *watch)
{
	unsigned long count = oom_count(&watch->oci->layout, watch->uid);
	unsigned long reported = (unsigned long)oci_state_number(watch->run_dir, "oom", 0);
	char number[32];
	struct err err;

	if (count <= reported)
		return;
	snprintf(number, sizeof(number), "%lu", count);
	oci_state_write(watch->run_dir, "oom", number, &err);
	report(watch, MACHINE_EVENT_OUT_OF_MEMORY, "the kernel killed a process of it at its memory limit");
}

static void on_again(void *data)
{
	struct machine_watch *watch = data;

	watch->is_in_callback = true;
	look_at_memory(watch);
	leave(watch);
}

/* Version 1 tells before it kills and counts. */
static void on_memory(void *data, int fd, uint32_t events)
{
	struct machine_watch *watch = data;

	(void)events;
	watch->is_in_callback = true;
	oom_clear(fd);
	look_at_memory(watch);
	if (!watch->is_over && !watch->again_source)
		loop_add_timer(watch->loop, OOM_LOOK_AGAIN_MS, on_again, watch, &watch->again_source);
	leave(watch);
}

/* Freezing */

static void look_at_freezer(struct machine_watch *watch)
{
	char text[128];
	ssize_t count = watch->events < 0 ? 0 : pread(watch->events, text, sizeof(text) - 1, 0);
	bool is_frozen;

	text[count > 0 ? count : 0] = '\0';
	is_frozen = strstr(text, "frozen 1") != NULL;
	if (is_frozen != watch->is_frozen)
		report(watch, is_frozen ? MACHINE_EVENT_PAUSED : MACHINE_EVENT_RESUMED, "");
	watch->is_frozen = is_frozen;
}

static void on_events(void *data, int fd, uint32_t events)
{
	struct machine_watch *watch = data;
	char byte;

	(void)events;
	watch->is_in_callback = true;
	look_at_freezer(watch);
	/* The group is gone: it would be ready for ever. */
	if (!watch->is_over && pread(fd, &byte, 1, 0) < 0) {
		loop_remove(watch->events_source);
		watch->events_source = NULL;
	}
	leave(watch);
}

/* The end */

static enum machine_exit cause_of(const struct machine_watch *watch, long code)
{
	bool is_init = run_folder_is_marked(watch->run_dir, "init");

	if (run_folder_is_killed(watch->run_dir))
		return MACHINE_EXIT_HOST_OFF;
	/* reboot(2) in a pid namespace ends its init by these signals. */
	if (is_init && code == SIGNAL_BASE + SIGHUP)
		return MACHINE_EXIT_GUEST_RESET;
	if (is_init && code == SIGNAL_BASE + SIGINT)
		return MACHINE_EXIT_GUEST_OFF;
	/* Asked to end, it may say so with any code. */
	if (code == 0 || (code > 0 && run_folder_is_marked(watch->run_dir, "stopping")))
		return MACHINE_EXIT_GUEST_OFF;
	return MACHINE_EXIT_FAILED;
}

static void describe(const struct machine_watch *watch, long code, char *text, size_t size)
{
	bool is_signal = code > SIGNAL_BASE && code <= SIGNAL_BASE + SIGNAL_MAX;
	bool has_oom = oci_state_number(watch->run_dir, "oom", 0) > 0;

	if (code < 0)
		snprintf(text, size, "ended, and so did its monitor: the exit code is not known");
	else if (is_signal)
		snprintf(text, size, "killed by signal %ld%s", code - SIGNAL_BASE,
			 code - SIGNAL_BASE == SIGKILL && has_oom ? " (out of memory)" : "");
	else
		snprintf(text, size, "exited with code %ld", code);
}

static void end(struct machine_watch *watch)
{
	struct machine_event event = { .kind = MACHINE_EVENT_EXITED };
	long code = oci_state_number(watch->run_dir, watch->uid, -1);

	look_at_memory(watch);
	event.exit_code = (int)code;
	event.cause = cause_of(watch, code);
	if (event.cause == MACHINE_EXIT_FAILED)
		describe(watch, code, event.text, sizeof(event.text));
	if (!watch->is_over)
		watch->fn(watch->data, &event);
}

static int watch_process(struct machine_watch *watch, struct err *err);

static void on_process_end(void *data, int status)
{
	struct machine_watch *watch = data;
	struct err err;

	(void)status;
	watch->is_in_callback = true;
	closep(&watch->pidfd);
	watch->pidfd = -1;
	if (run_folder_is_killed(watch->run_dir) || run_folder_is_marked(watch->run_dir, watch->uid) || watch_process(watch, &err) < 0)
		end(watch);
	leave(watch);
}

/* Beginning */

/* conmon, or if it is gone the container's first process. -ENOENT: neither. */
static int watch_process(struct machine_watch *watch, struct err *err)
{
	auto_free char *group = layout_group(&watch->oci->layout, watch->uid, "monitor");
	pid_t pid = (pid_t)oci_state_number(watch->run_dir, "monitor", 0);
	int r = 0;

	if (pid <= 0 || !cgroup_has_pid(group, pid)) {
		pid = 0;
		r = oci_find(watch->oci, watch->uid, &pid, err);
		if (r < 0)
			return r;
		text_replace(&group, NULL);
		group = layout_group(&watch->oci->layout, watch->uid, "container");
	}
	watch->pidfd = pidfd_open(pid, 0);
	/* Once more: by now the number could belong to another process. */
	if (watch->pidfd < 0 || !cgroup_has_pid(group, pid))
		return err_set(err, -ENOENT, "machine '%s' does not run", shown(watch->uid));
	return loop_add_child(watch->loop, watch->pidfd, on_process_end, watch, &watch->process_source, err);
}

static void on_first(void *data)
{
	struct machine_watch *watch = data;

	watch->is_in_callback = true;
	if (!watch->process_source)
		end(watch);
	else {
		report(watch, MACHINE_EVENT_AGENT_UP, "");
		look_at_freezer(watch);
		look_at_memory(watch);
	}
	leave(watch);
}

static int watch_groups(struct machine_watch *watch, struct err *err)
{
	auto_free char *path = layout_file2(&watch->oci->layout, watch->uid, "cgroup.events");
	uint32_t events;
	int r = 0;

	watch->events = open(path, O_RDONLY | O_CLOEXEC);
	watch->oom = oom_open(&watch->oci->layout, watch->uid, &events);
	if (watch->events >= 0)
		r = loop_add_fd(watch->loop, watch->events, EPOLLPRI, on_events, watch, &watch->events_source, err);
	if (r == 0 && watch->oom >= 0)
		r = loop_add_fd(watch->loop, watch->oom, events, on_memory, watch, &watch->oom_source, err);
	return r;
}

static int begin(struct machine_watch *watch, struct err *err)
{
	int r;

	watch->run_dir = run_folder_open(watch->oci->directory_fd, watch->uid, err);
	if (watch->run_dir < 0)
		return watch->run_dir;
	r = watch_process(watch, err);
	/* It has ended while nobody looked. */
	if (r == -ENOENT && run_folder_is_marked(watch->run_dir, watch->uid)) {
		oci_state_collect_monitor(watch->run_dir);
		r = 0;
	}
	if (r == 0 && watch->process_source)
		r = watch_groups(watch, err);
	if (r == 0)
		loop_add_timer(watch->loop, 0, on_first, watch, &watch->first_source);
	return r;
}

int oci_watch(struct machine_driver *driver, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
	      struct machine_watch **ret_watch, struct err *err)
{
	struct machine_watch *watch = alloc(sizeof(*watch));
	int r;

	*watch = (struct machine_watch){
		.oci = oci_of(driver), .uid = text_copy(uid), .loop = loop, .fn = fn, .data = data,
		.run_dir = -1, .pidfd = -1, .events = -1, .oom = -1,
	};
	r = begin(watch, err);
	if (r < 0) {
		watch_free(watch);
		return r;
	}
	*ret_watch = watch;
	return 0;
}

void oci_unwatch(struct machine_driver *driver, struct machine_watch *watch)
{
	(void)driver;
	if (!watch)
		return;
	watch->is_over = true;
	if (!watch->is_in_callback)
		watch_free(watch);
}
