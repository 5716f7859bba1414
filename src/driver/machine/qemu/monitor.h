/*
 * monitor.h - makes events of what a machine's second monitor says. No I/O: bytes in, calls out.
 *
 * Errors:  -EFBIG, -EPROTO: the stream makes no sense and must be closed.
 * Threads: one at a time per monitor. A call out may set 'is_over', which ends the work at once.
 */
#ifndef DRIVER_MACHINE_QEMU_MONITOR_H
#define DRIVER_MACHINE_QEMU_MONITOR_H

#include "driver/machine/qemu/line_buffer.h"
#include "port/machine.h"

enum monitor_running { MONITOR_RUNNING, MONITOR_PAUSED, MONITOR_IO_ERROR };

struct monitor {			/* Set the calls, 'data' and 'lines.max_bytes', the rest is zero. */
	void (*report)(void *data, enum machine_event_kind kind, const char *text);
	void (*ask)(void *data, const char *command);	/* Send this command with itself as "id". */
	void (*guest_is_off)(void *data);		/* End the process now. */
	void *data;
	struct line_buffer lines;
	bool is_over;
	enum monitor_running reported;
	bool has_agent;			/* As reported. */
	char shutdown_reason[32];	/* From SHUTDOWN; "" none yet. */
	char io_error[120];		/* From BLOCK_IO_ERROR. */
};

int monitor_take(struct monitor *monitor, const void *bytes, size_t size, struct err *err);
void monitor_done(struct monitor *monitor);

/* Why the process ended, as far as the monitor knows. FAILED: it does not. */
enum machine_exit monitor_exit_cause(const struct monitor *monitor);

#endif
