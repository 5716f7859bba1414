/*
 * Theory of operation.
 *
 * What a stop means ("a person paused it", "a disk is full", "a snapshot is being written") is not in
 * the STOP event, so on every change the monitor asks for the status and reports how it differs
 * from what it last reported. The same question right after the greeting finds out what
 * happened before: nothing needs to be remembered.
 *
 * A guest that powers off leaves QEMU waiting (status "shutdown") until somebody has seen it.
 */
#include "driver/machine/qemu/monitor.h"

#include <stdio.h>

#include "base/mem.h"
#include "driver/machine/qemu/qmp_message.h"

/* Reporting */

static void report_running(struct monitor *monitor, enum monitor_running now)
{
	if (monitor->reported == now)
		return;
	monitor->reported = now;
	if (now == MONITOR_RUNNING)
		monitor->report(monitor->data, MACHINE_EVENT_RESUMED, "");
	else if (now == MONITOR_PAUSED)
		monitor->report(monitor->data, MACHINE_EVENT_PAUSED, "");
	else
		monitor->report(monitor->data, MACHINE_EVENT_IO_ERROR,
				monitor->io_error[0] ? monitor->io_error : "a disk of the machine failed");
}

static void report_agent(struct monitor *monitor, bool is_up)
{
	if (monitor->has_agent == is_up)
		return;
	monitor->has_agent = is_up;
	monitor->report(monitor->data, is_up ? MACHINE_EVENT_AGENT_UP : MACHINE_EVENT_AGENT_DOWN, "");
}

static void note_shutdown(struct monitor *monitor, const char *reason)
{
	/* The event says why, the status that follows only that. */
	if (!monitor->shutdown_reason[0])
		snprintf(monitor->shutdown_reason, sizeof(monitor->shutdown_reason), "%s", reason);
	monitor->guest_is_off(monitor->data);
}

/* Answers */

static void take_status(struct monitor *monitor, const struct json *answer)
{
	const char *status = json_string(json_get(answer, "status"), "");

	if (text_equal(status, "running"))
		report_running(monitor, MONITOR_RUNNING);
	else if (text_equal(status, "paused") || text_equal(status, "suspended"))
		report_running(monitor, MONITOR_PAUSED);
	else if (text_equal(status, "io-error"))
		report_running(monitor, MONITOR_IO_ERROR);
	else if (text_equal(status, "shutdown"))
		note_shutdown(monitor, "guest-shutdown");
	/* All others pass by themselves: "save-vm", "restore-vm", ... */
}

static void take_ports(struct monitor *monitor, const struct json *ports)
{
	for (size_t i = 0; i < json_count(ports); i++)
		if (text_equal(json_string(json_get(json_at(ports, i), "label"), NULL), "agent"))
			report_agent(monitor, json_bool(json_get(json_at(ports, i), "frontend-open"), false));
}

static void take_answer(struct monitor *monitor, const struct json *message)
{
	const char *id = json_string(json_get(message, "id"), "");

	if (text_equal(id, "query-status"))
		take_status(monitor, json_get(message, "return"));
	else if (text_equal(id, "query-chardev"))
		take_ports(monitor, json_get(message, "return"));
}

/* Events */

static void on_stop_or_resume(struct monitor *monitor, const struct json *data)
{
	(void)data;
	monitor->ask(monitor->data, "query-status");
}

static void on_shutdown(struct monitor *monitor, const struct json *data)
{
	note_shutdown(monitor, json_string(json_get(data, "reason"), "guest-shutdown"));
}

static void on_io_error(struct monitor *monitor, const struct json *data)
{
	const char *reason = json_string(json_get(data, "reason"), "unknown reason");

	if (!text_equal(json_string(json_get(data, "action"), ""), "stop"))
		return;
	if (json_bool(json_get(data, "nospace"), false))
		reason = "No space left on device";
	text_shown(reason, sizeof(monitor->io_error) - 4, monitor->io_error, sizeof(monitor->io_error));
	monitor->ask(monitor->data, "query-status");
}

static void on_port_change(struct monitor *monitor, const struct json *data)
{
	if (text_equal(json_string(json_get(data, "id"), NULL), "agent"))
		report_agent(monitor, json_bool(json_get(data, "open"), false));
}

static void on_panic(struct monitor *monitor, const struct json *data)
{
	(void)data;
	monitor->report(monitor->data, MACHINE_EVENT_PANICKED, "the guest's kernel panicked");
}

static void take_event(struct monitor *monitor, const struct json *message)
{
	static const struct {
		const char *name;
		void (*fn)(struct monitor *monitor, const struct json *data);
	} handlers[] = {
		{ "STOP", on_stop_or_resume }, { "RESUME", on_stop_or_resume }, { "SHUTDOWN", on_shutdown },
		{ "BLOCK_IO_ERROR", on_io_error }, { "VSERPORT_CHANGE", on_port_change },
		{ "GUEST_PANICKED", on_panic },
	};
	const char *name = json_string(json_get(message, "event"), "");

	for (size_t i = 0; i < ARRAY_COUNT(handlers); i++)
		if (text_equal(name, handlers[i].name))
			handlers[i].fn(monitor, json_get(message, "data"));
}

static void take_message(struct monitor *monitor, const struct qmp_message *message)
{
	switch (message->kind) {
	case QMP_GREETING:
		monitor->ask(monitor->data, "qmp_capabilities");
		monitor->ask(monitor->data, "query-status");
		monitor->ask(monitor->data, "query-chardev");
		break;
	case QMP_RETURN:
		take_answer(monitor, message->json);
		break;
	case QMP_EVENT:
		take_event(monitor, message->json);
		break;
	case QMP_ERROR:			/* Older QEMUs may lack a command: then we know less. */
		break;
	}
}

int monitor_take(struct monitor *monitor, const void *bytes, size_t size, struct err *err)
{
	const char *line;
	size_t line_size;
	int r = line_buffer_add(&monitor->lines, bytes, size, err);

	while (r == 0 && !monitor->is_over && line_buffer_next(&monitor->lines, &line, &line_size)) {
		struct qmp_message message;

		r = qmp_message_parse(line, line_size, &message, err);
		if (r < 0)
			return r;
		take_message(monitor, &message);
		qmp_message_done(&message);
	}
	return r;
}

void monitor_done(struct monitor *monitor)
{
	line_buffer_done(&monitor->lines);
}

enum machine_exit monitor_exit_cause(const struct monitor *monitor)
{
	static const struct { const char *reason; enum machine_exit cause; } causes[] = {
		{ "guest-shutdown", MACHINE_EXIT_GUEST_OFF },
		{ "guest-reset", MACHINE_EXIT_GUEST_RESET },
		{ "host-qmp-quit", MACHINE_EXIT_HOST_OFF },
	};

	for (size_t i = 0; i < ARRAY_COUNT(causes); i++)
		if (text_equal(monitor->shutdown_reason, causes[i].reason))
			return causes[i].cause;
	return MACHINE_EXIT_FAILED;
}
