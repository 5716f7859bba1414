#include "5-interface/cli/transfer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "5-interface/cli/progress.h"
#include "5-interface/cli/terminal.h"
#include "base/str.h"

enum { BLOCK_BYTES = 256 << 10, ANSWER_BYTES = 1 << 20 };

/* A file on its way, with what a Ctrl-C or a moment of silence needs. */
struct transfer {
	struct cli *cli;
	int fd;
	uint64_t done, total;
	const char *verb;
	struct progress progress;
	struct terminal_signals signals;
};

static int transfer_begin(struct transfer *transfer, const char *what, struct err *err)
{
	int result = terminal_signals_begin(&transfer->signals, err);

	if (result < 0)
		return result;
	progress_begin(&transfer->progress, transfer->cli->messages, what);
	client_watch(cli_client(transfer->cli), &(struct client_watch){ .interrupt_fd = transfer->signals.fd,
		.tick_ms = PROGRESS_TICK_MS, .tick = progress_tick, .data = &transfer->progress });
	return 0;
}

static void transfer_end(struct transfer *transfer)
{
	client_watch(cli_client(transfer->cli), NULL);
	progress_end(&transfer->progress);
	terminal_signals_end(&transfer->signals);
}

static void moved(struct transfer *transfer, size_t size)
{
	uint64_t before = transfer->done;

	transfer->done += size;
	progress_step(&transfer->progress, transfer->verb, transfer->done, transfer->total);
	/* Ticks come only in silence; a steady flow draws for itself. */
	if (before >> 22 != transfer->done >> 22)
		progress_tick(&transfer->progress);
}

static ssize_t produce(void *data, void *buffer, size_t size, struct err *err)
{
	struct transfer *transfer = data;
	ssize_t count = read(transfer->fd, buffer, size);

	if (count < 0)
		return err_set(err, -errno, "read the file: %m");
	if (count == 0)
		return err_set(err, -EIO, "the file became shorter while it was sent");
	moved(transfer, (size_t)count);
	return count;
}

static int read_answer(struct transfer *transfer, const struct client_response *response, struct json **ret_json,
		       struct err *err)
{
	struct client *client = cli_client(transfer->cli);
	auto_str struct str answer = { 0 };
	int result;

	if (response->status >= 400)
		return request_refused(client, response, err);
	result = client_read_all(client, ANSWER_BYTES, &answer, err);
	if (result < 0 || !ret_json)
		return result;
	return json_parse(str_text(&answer), answer.size, ret_json, err);
}

int transfer_send(struct cli *cli, const char *method, const char *path, int fd, const char *what,
		  struct json **ret_json, struct err *err)
{
	struct transfer transfer = { .cli = cli, .fd = fd, .verb = "upload" };
	struct client_request request = { .method = method, .path = path, .content_type = "application/octet-stream",
		.data = &transfer, .produce = produce };
	struct client_response response;
	struct stat status;
	int result;

	if (fstat(fd, &status) < 0)
		return err_set(err, -errno, "look at the file: %m");
	transfer.total = request.body_size = (uint64_t)status.st_size;
	if (!request.body_size) {
		request.produce = NULL;
		request.body = "";
	}
	result = transfer_begin(&transfer, what, err);
	if (result < 0)
		return result;
	result = client_send(cli_client(cli), &request, &response, err);
	if (result == 0)
		result = read_answer(&transfer, &response, ret_json, err);
	transfer_end(&transfer);
	return result;
}

static int receive_body(struct transfer *transfer, struct err *err)
{
	auto_free char *block = alloc(BLOCK_BYTES);

	for (;;) {
		ssize_t count = client_read(cli_client(transfer->cli), block, BLOCK_BYTES, err);
		int result;

		if (count <= 0)
			return (int)count;
		result = write_all(transfer->fd, block, (size_t)count, err);
		if (result < 0)
			return result;
		moved(transfer, (size_t)count);
	}
}

int transfer_receive(struct cli *cli, const char *path, int fd, const char *what, struct err *err)
{
	struct transfer transfer = { .cli = cli, .fd = fd, .verb = "download" };
	/* Before its first byte the daemon may have a whole disk to pack. */
	struct client_request request = { .method = "GET", .path = path, .patience_ms = -1 };
	struct client_response response;
	int result = transfer_begin(&transfer, what, err);

	if (result < 0)
		return result;
	result = client_send(cli_client(cli), &request, &response, err);
	if (result == 0 && response.status >= 400)
		result = request_refused(cli_client(cli), &response, err);
	else if (result == 0) {
		transfer.total = response.content_length > 0 ? (uint64_t)response.content_length : 0;
		result = receive_body(&transfer, err);
	}
	transfer_end(&transfer);
	return result;
}

/* A pipe has no length to announce: it becomes a nameless file first. */
static int spool(int from, int *ret_fd, struct err *err)
{
	const char *folder = getenv("TMPDIR");
	auto_close int fd = open(folder ? folder : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	auto_free char *block = alloc(BLOCK_BYTES);
	ssize_t count;

	if (fd < 0)
		return err_set(err, -errno, "keep standard input in %s: %m", shown(folder ? folder : "/var/tmp"));
	while ((count = read(from, block, BLOCK_BYTES)) > 0) {
		int result = write_all(fd, block, (size_t)count, err);

		if (result < 0)
			return result;
	}
	if (count < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, -errno, "read standard input: %m");
	*ret_fd = take_fd(fd);
	return 0;
}

static int open_source(const char *path, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;
	struct stat status;

	if (text_equal(path, "-"))
		return spool(STDIN_FILENO, ret_fd, err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	if (S_ISDIR(status.st_mode))
		return err_set(err, -EISDIR, "'%s' is a folder: give a file", shown(path));
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return spool(fd, ret_fd, err);
	if (S_ISBLK(status.st_mode))
		return err_set(err, -EINVAL, "'%s' is a block device: copy it to a file first ('dd if=%s of=disk.raw')", shown(path),
			       shown(path));
	*ret_fd = take_fd(fd);
	return 0;
}

int transfer_upload(struct cli *cli, const char *path, char **ret_id, struct err *err)
{
	auto_close int fd = -1;
	auto_json struct json *answer = NULL;
	const char *id;
	int result = open_source(path, &fd, err);

	if (result == 0)
		result = transfer_send(cli, "POST", "/v1/uploads", fd, path, &answer, err);
	if (result < 0)
		return result;
	id = json_string(json_get(answer, "id"), NULL);
	if (!id)
		return err_set(err, -EPROTO, "the daemon gave the upload no id");
	*ret_id = text_copy(id);
	return 0;
}

int transfer_download(struct cli *cli, const char *path, const char *file, struct err *err)
{
	auto_free char *part = text_format("%s.part-%d", file, (int)getpid());
	auto_close int fd = -1;
	int result;

	if (text_equal(file, "-"))
		return transfer_receive(cli, path, STDOUT_FILENO, "standard output", err);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_set(err, -errno, "write '%s': %m", shown(part));
	result = transfer_receive(cli, path, fd, file, err);
	if (result == 0 && (fsync(fd) < 0 || rename(part, file) < 0))
		result = err_set(err, -errno, "write '%s': %m", shown(file));
	if (result < 0)
		unlink(part);
	return result;
}
