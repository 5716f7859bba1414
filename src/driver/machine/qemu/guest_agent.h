/*
 * guest_agent.h - the client of qemu-ga (docs/interop/qemu-ga-ref in QEMU) over virtio-serial.
 *
 * One connection per machine is kept open: an agent whose host end is closed polls ten times
 * a second. Its lock is held per command, so that a long `exec` delays nobody.
 * The guest is hostile: every answer meets a limit, a timeout and a type check.
 *
 * Errors:  -ENODEV no agent is listening in the guest, -ETIMEDOUT, -EPROTO it answers nonsense.
 * Threads: any; blocking.
 */
#ifndef DRIVER_MACHINE_QEMU_GUEST_AGENT_H
#define DRIVER_MACHINE_QEMU_GUEST_AGENT_H

#include "driver/machine/qemu/qemu.h"

struct guest_agent;

/* Is an agent there? Asks QEMU, not the guest, so the answer comes at once. */
int guest_agent_check(const struct qemu *qemu, const char *uid, struct err *err);

/* 'arguments': a JSON object, or null. 'ret_reply' (may be null): the message; its "return" is the answer. */
int guest_agent_call(struct qemu *qemu, const char *uid, const char *command, const char *arguments,
		     struct json **ret_reply, struct err *err);

/* Asks for power-off and does not wait: a guest that obeys does not answer. */
int guest_agent_shutdown(struct qemu *qemu, const char *uid, struct err *err);

/* The one terminal of a machine. Null: -EBUSY, somebody has it. */
struct guest_agent *guest_agent_take_terminal(struct qemu *qemu, const char *uid, struct err *err);
void guest_agent_return_terminal(struct qemu *qemu, struct guest_agent *agent);

/* Forgets the connection: the machine is gone. */
void guest_agent_disconnect(struct qemu *qemu, const char *uid);
void guest_agents_free(struct qemu *qemu);

/* Brings plugged cpus and memory into use, as far as the guest lets us. */
void guest_online(struct qemu *qemu, const char *uid, bool has_new_cpus, bool has_new_memory);

/* Commands inside the guest. */
struct guest_exec_status {
	bool has_exited;
	int exit_code;			/* As shells say it: 128 + signal. */
	struct str output, error;
	bool is_truncated;
};
void guest_exec_status_done(struct guest_exec_status *status);

/* 'input' null: no stdin. -ENOENT: there is no such program in the guest. */
int guest_exec_start(struct qemu *qemu, const char *uid, const char *const *argv, const struct str *input,
		     bool captures_output, int64_t *ret_pid, struct err *err);
int guest_exec_status(struct qemu *qemu, const char *uid, int64_t pid, struct guest_exec_status *ret_status, struct err *err);

/* Starts a helper and does not care how it ends: "kill", "stty". */
void guest_exec_forget(struct qemu *qemu, const char *uid, const char *const *argv);

/* For the parser's fuzz target: what guest-exec-status may answer. */
int guest_exec_status_parse(const struct json *answer, struct guest_exec_status *ret_status, struct err *err);

/* Looks in a line for the answer to guest-sync-delimited 'id'. For the fuzz target, too. */
bool guest_agent_is_sync(const char *line, size_t size, int64_t id);

#endif
