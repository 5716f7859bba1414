/*
 * Files out of and into the guest, in pieces through the guest agent. The path is the guest's
 * business: it names a file over there, where the agent is root.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base64.h"
#include "driver/machine/qemu/exec.h"
#include "driver/machine/qemu/guest_agent.h"

enum { PIECE_BYTES = 1 << 20, CHMOD_POLL_MS = 5, CHMOD_TRIES = 1000 };

struct guest_file {
	struct qemu *qemu;
	const char *uid;
	int64_t handle;
};

static int open_file(struct guest_file *file, const char *path, const char *mode, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };
	int r;

	json_write_object(&writer, NULL);
	json_write_string(&writer, "path", path);
	json_write_string(&writer, "mode", mode);
	json_write_end_object(&writer);
	r = guest_agent_call(file->qemu, file->uid, "guest-file-open", arguments.data, &reply, err);
	if (r < 0)
		return err_prefix(err, "'%s' in the guest", shown(path));
	file->handle = json_int(json_get(reply, "return"), -1);
	return file->handle < 0 ? err_set(err, -EPROTO, "the guest agent gave no file handle") : 0;
}

static int close_file(struct guest_file *file, struct err *err)
{
	auto_free char *arguments = text_format("{\"handle\":%lld}", (long long)file->handle);

	return guest_agent_call(file->qemu, file->uid, "guest-file-close", arguments, NULL, err);
}

/* Reading */

static int read_piece(struct guest_file *file, struct str *piece, bool *ret_is_end, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_free char *arguments = text_format("{\"handle\":%lld,\"count\":%d}", (long long)file->handle, PIECE_BYTES);
	int r = guest_agent_call(file->qemu, file->uid, "guest-file-read", arguments, &reply, err);

	if (r == 0)
		r = base64_decode(json_string(json_path(reply, "return.buf-b64"), ""), piece, err);
	if (r < 0)
		return r;
	if (piece->size > PIECE_BYTES)
		return err_set(err, -EPROTO, "the guest agent sent more than it was asked for");
	*ret_is_end = piece->size == 0 || json_bool(json_path(reply, "return.eof"), false);
	return 0;
}

int qemu_file_read(struct machine_driver *driver, const char *uid, const char *path, int to_fd, struct err *err)
{
	struct guest_file file = { .qemu = qemu_of(driver), .uid = uid };
	bool is_end = false;
	int r = guest_agent_check(file.qemu, uid, err);

	if (r == 0)
		r = open_file(&file, path, "r", err);
	if (r < 0)
		return r;
	while (r == 0 && !is_end) {
		auto_str struct str piece = { 0 };

		r = read_piece(&file, &piece, &is_end, err);
		if (r == 0)
			r = exec_write_all(to_fd, str_text(&piece), piece.size, err);
	}
	close_file(&file, &(struct err){ 0 });
	return r;
}

/* Writing */

static int write_piece(struct guest_file *file, const char *bytes, size_t size, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_str struct str arguments = { 0 };
	int r;

	str_printf(&arguments, "{\"handle\":%lld,\"buf-b64\":\"", (long long)file->handle);
	base64_encode(bytes, size, &arguments);
	str_append(&arguments, "\"}");
	r = guest_agent_call(file->qemu, file->uid, "guest-file-write", arguments.data, &reply, err);
	if (r < 0)
		return r;
	if (json_uint(json_path(reply, "return.count"), 0) != size)
		return err_set(err, -ENOSPC, "the guest did not take all of the file: is its disk full?");
	return 0;
}

static int write_pieces(struct guest_file *file, int from_fd, struct err *err)
{
	auto_free char *bytes = alloc(PIECE_BYTES);

	for (;;) {
		ssize_t count = read(from_fd, bytes, PIECE_BYTES);
		int r;

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return err_set(err, -errno, "read the file to copy: %m");
		if (count == 0)
			return 0;
		r = write_piece(file, bytes, (size_t)count, err);
		if (r < 0)
			return r;
	}
}

/* The agent cannot set a mode, but chmod can. */
static int set_mode(struct guest_file *file, const char *path, unsigned mode, struct err *err)
{
	char octal[12];
	const char *argv[] = { "chmod", octal, "--", path, NULL };
	struct guest_exec_status status = { 0 };
	int64_t pid;
	int r;

	snprintf(octal, sizeof(octal), "%o", mode & 07777);
	r = guest_exec_start(file->qemu, file->uid, argv, NULL, true, &pid, err);
	for (int i = 0; r == 0 && !status.has_exited && i < CHMOD_TRIES; i++) {
		if (i)
			poll(NULL, 0, CHMOD_POLL_MS);
		r = guest_exec_status(file->qemu, file->uid, pid, &status, err);
		guest_exec_status_done(&status);
	}
	if (r == 0 && (!status.has_exited || status.exit_code))
		return err_set(err, -EIO, "set mode %s of '%s' in the guest: chmod failed", octal, shown(path));
	return r;
}

int qemu_file_write(struct machine_driver *driver, const char *uid, const char *path, unsigned mode, int from_fd, struct err *err)
{
	struct guest_file file = { .qemu = qemu_of(driver), .uid = uid };
	int r = guest_agent_check(file.qemu, uid, err), closed;
	struct err close_err;

	if (r == 0)
		r = open_file(&file, path, "w", err);
	if (r < 0)
		return r;
	r = write_pieces(&file, from_fd, err);
	/* Closing flushes: only then a full disk may show. */
	closed = close_file(&file, &close_err);
	if (r == 0 && closed < 0) {
		*err = close_err;
		r = closed;
	}
	return r < 0 ? err_prefix(err, "'%s' in the guest", shown(path)) : set_mode(&file, path, mode, err);
}
