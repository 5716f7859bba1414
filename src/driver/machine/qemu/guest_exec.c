/* guest-exec and guest-exec-status: one command inside the guest. */
#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "driver/machine/qemu/guest_agent.h"

enum { SIGNAL_BASE = 128 };

static void write_request(const char *const *argv, const struct str *input, bool captures_output, struct str *out)
{
	struct json_writer writer = { .out = out };
	auto_str struct str encoded = { 0 };

	json_write_object(&writer, NULL);
	json_write_string(&writer, "path", argv[0]);
	json_write_array(&writer, "arg");
	for (const char *const *arg = argv + 1; *arg; arg++)
		json_write_string(&writer, NULL, *arg);
	json_write_end_array(&writer);
	if (input) {
		base64_encode(input->data, input->size, &encoded);
		json_write_string_size(&writer, "input-data", str_text(&encoded), encoded.size);
	}
	json_write_bool(&writer, "capture-output", captures_output);
	json_write_end_object(&writer);
}

int guest_exec_start(struct qemu *qemu, const char *uid, const char *const *argv, const struct str *input,
		     bool captures_output, int64_t *ret_pid, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_str struct str request = { 0 };
	int64_t pid;
	int r;

	write_request(argv, input, captures_output, &request);
	r = guest_agent_call(qemu, uid, "guest-exec", request.data, &reply, err);
	if (r < 0)
		return err_prefix(err, "run '%s' in the guest", shown(argv[0]));
	pid = json_int(json_path(reply, "return.pid"), 0);
	if (pid <= 0)
		return err_set(err, -EPROTO, "the guest agent did not say which process it started");
	*ret_pid = pid;
	return 0;
}

static int decode(const struct json *text, struct str *out, struct err *err)
{
	return base64_decode(json_string(text, ""), out, err);
}

int guest_exec_status_parse(const struct json *answer, struct guest_exec_status *ret_status, struct err *err)
{
	struct guest_exec_status status = { .has_exited = json_bool(json_get(answer, "exited"), false) };
	int64_t code = json_int(json_get(answer, "exitcode"), 0);
	int64_t signal = json_int(json_get(answer, "signal"), 0);
	int r;

	if (signal)
		code = SIGNAL_BASE + signal;
	status.exit_code = code >= 0 && code <= 255 ? (int)code : 255;
	status.is_truncated = json_bool(json_get(answer, "out-truncated"), false) ||
			      json_bool(json_get(answer, "err-truncated"), false);
	r = decode(json_get(answer, "out-data"), &status.output, err);
	if (r == 0)
		r = decode(json_get(answer, "err-data"), &status.error, err);
	if (r < 0) {
		guest_exec_status_done(&status);
		return r;
	}
	*ret_status = status;
	return 0;
}

void guest_exec_status_done(struct guest_exec_status *status)
{
	str_done(&status->output);
	str_done(&status->error);
}

int guest_exec_status(struct qemu *qemu, const char *uid, int64_t pid, struct guest_exec_status *ret_status, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_free char *arguments = text_format("{\"pid\":%lld}", (long long)pid);
	int r = guest_agent_call(qemu, uid, "guest-exec-status", arguments, &reply, err);

	return r < 0 ? r : guest_exec_status_parse(json_get(reply, "return"), ret_status, err);
}

void guest_exec_forget(struct qemu *qemu, const char *uid, const char *const *argv)
{
	struct err err;
	int64_t pid;

	guest_exec_start(qemu, uid, argv, NULL, false, &pid, &err);
}
