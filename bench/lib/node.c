#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "load.h"

enum {
	START_TIMEOUT_MS = 60000,
	STOP_TIMEOUT_MS = 60000,
	WAIT_TIMEOUT_MS = 300000,
	ANSWER_BYTES = 64 << 20,
	LOG_BYTES = 1 << 20,
	CLIENTS = 16,			/* Of node_fill_up(). */
	ARGUMENTS_MAX = 12,
};

void node_init(struct node *node, const struct bench *bench, const char *name, bool is_simulated)
{
	*node = (struct node){
		.bench = bench,
		.is_simulated = is_simulated,
		.state = text_format("%s/%s", bench->folder, name),
		.socket = text_format("%s/%s.sock", bench->folder, name),
		.pidfd = -1,
	};
}

void node_done(struct node *node)
{
	struct err err;

	if (node->pidfd >= 0)
		node_stop(node, &err);
	free(node->state);
	free(node->socket);
}

/* Programs */

int run_program(const char *const *argv, double *ret_ms, struct err *err)
{
	struct spawn_io io = { .timeout_ms = WAIT_TIMEOUT_MS };
	double start = now_ms();
	int r = spawn_run(&(struct spawn_params){ .argv = argv }, &io, err);

	if (r == 0 && ret_ms)
		*ret_ms = now_ms() - start;
	return r;
}

int node_cli(struct node *node, const char *const *arguments, double *ret_ms, struct err *err)
{
	auto_free char *program = text_format("%s/strata", node->bench->programs);
	VEC(const char *) argv = { 0 };
	int r;

	*vec_push(&argv) = program;
	*vec_push(&argv) = "--socket";
	*vec_push(&argv) = node->socket;
	for (; *arguments; arguments++)
		*vec_push(&argv) = *arguments;
	*vec_push(&argv) = NULL;
	r = run_program(argv.items, ret_ms, err);
	vec_done(&argv);
	return r;
}

/* Starting and stopping */

static int open_notify_socket(const struct node *node, char **ret_path, struct err *err)
{
	auto_free char *path = text_format("%s.notify", node->state);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	unlink(path);
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "'%s' is too long for a socket: set TMPDIR to a shorter folder", path);
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, -errno, "bind '%s': %m", path);
	*ret_path = take(path);
	return take_fd(fd);
}

/* The last line of the daemon's log becomes the message. */
static int did_not_start(const char *log_path, struct err *err)
{
	auto_str struct str log = { 0 };
	const char *line = "";
	struct err unread;

	if (file_read_all(log_path, LOG_BYTES, &log, &unread) == 0 && log.size) {
		log.data[--log.size] = '\0';
		line = strrchr(log.data, '\n') ? strrchr(log.data, '\n') + 1 : log.data;
	}
	return err_set(err, -EIO, "stratad does not start: %s", shown(line));
}

static int spawn_daemon(struct node *node, int log, const char *notify, struct err *err)
{
	auto_free char *program = text_format("%s/stratad", node->bench->programs);
	auto_free char *variable = text_format("NOTIFY_SOCKET=%s", notify);
	const char *argv[ARGUMENTS_MAX] = { program, "--state", node->state, "--socket", node->socket };
	size_t count = 5;
	struct spawn_params params = {
		.argv = argv,
		.env = (const char *[]){ variable, NULL },
		.fds = &(struct spawn_fd){ log, STDERR_FILENO },
		.fd_count = 1,
		.has_own_group = true,
	};

	if (node->is_simulated) {
		argv[count++] = "--driver";
		argv[count++] = "sim";
	}
	if (node->config) {
		argv[count++] = "--config";
		argv[count++] = node->config;
	}
	/* A namespace of its own for this and all that is started from now on. */
	if (node->hostname && (unshare(CLONE_NEWUTS) < 0 || sethostname(node->hostname, strlen(node->hostname)) < 0))
		return err_set(err, -errno, "a host named '%s': %m", node->hostname);
	return spawn_start(&params, &node->pid, &node->pidfd, err);
}

int node_start(struct node *node, double *ret_ms, struct err *err)
{
	auto_free char *log_path = text_format("%s.log", node->state), *notify_path = NULL;
	auto_close int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	auto_close int notify = open_notify_socket(node, &notify_path, err);
	double start = now_ms();
	int r;

	if (log < 0)
		return err_set(err, -errno, "open '%s': %m", log_path);
	if (notify < 0)
		return notify;
	r = spawn_daemon(node, log, notify_path, err);
	if (r < 0)
		return r;

	struct pollfd wanted[] = { { .fd = notify, .events = POLLIN }, { .fd = node->pidfd, .events = POLLIN } };

	if (poll(wanted, ARRAY_COUNT(wanted), START_TIMEOUT_MS) <= 0 || !wanted[0].revents)
		return did_not_start(log_path, err);
	r = node_call(node, "GET", "/v1/version", NULL, NULL, err);
	if (r == 0 && ret_ms)
		*ret_ms = now_ms() - start;
	return r;
}

int node_stop(struct node *node, struct err *err)
{
	auto_close int pidfd = take_fd(node->pidfd);
	struct pollfd wanted = { .fd = pidfd, .events = POLLIN };
	int status;

	kill(node->pid, SIGTERM);
	if (poll(&wanted, 1, STOP_TIMEOUT_MS) <= 0)
		return err_set(err, -ETIMEDOUT, "stratad does not end");
	if (waitpid(node->pid, &status, 0) != node->pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, -EIO, "stratad did not end in order");
	return 0;
}

void node_kill(struct node *node)
{
	auto_close int pidfd = take_fd(node->pidfd);

	kill(node->pid, SIGKILL);
	waitpid(node->pid, NULL, 0);
}

/* Requests */

int client_call(struct client *client, const char *method, const char *path, const char *body, int *ret_status,
		struct str *answer, struct err *err)
{
	struct client_request request = { .method = method, .path = path, .body = body, .body_size = body ? strlen(body) : 0 };
	struct client_response response;
	auto_str struct str ignored = { 0 };
	int r = client_send(client, &request, &response, err);

	answer = answer ? answer : &ignored;
	str_clear(answer);
	if (r == 0)
		r = client_read_all(client, ANSWER_BYTES, answer, err);
	if (r < 0)
		return r;
	if (ret_status)
		*ret_status = response.status;
	else if (response.status >= 400)
		return err_set(err, -EIO, "%s %s: %s", method, path, shown(str_text(answer)));
	return 0;
}

struct client *node_connect(const struct node *node)
{
	return client_new(&(struct stream_target){ .socket = node->socket });
}

int node_call(struct node *node, const char *method, const char *path, const char *body, struct str *answer,
	      struct err *err)
{
	struct client *client = node_connect(node);
	int r = client_call(client, method, path, body, NULL, answer, err);

	client_free(client);
	return r;
}

static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		count++;
	return count;
}

/* Of a list, whose first member is its revision. */
static uint64_t revision_of(const char *list)
{
	const char *member = strstr(list, "\"revision\":");

	return member ? strtoull(member + strlen("\"revision\":"), NULL, 10) : 0;
}

int node_wait_for(struct node *node, const char *path, const char *text, size_t count, struct err *err)
{
	double end = now_ms() + WAIT_TIMEOUT_MS;
	auto_str struct str list = { 0 };
	size_t found;
	int r = node_call(node, "GET", path, NULL, &list, err);

	while (r == 0 && (found = count_of(str_text(&list), text)) != count) {
		auto_free char *next = text_format("%s?after=%llu&timeout=10s", path,
						   (unsigned long long)revision_of(str_text(&list)));

		if (now_ms() > end)
			return err_set(err, -ETIMEDOUT, "%s has %s %zu times, not %zu", path, text, found, count);
		r = node_call(node, "GET", next, NULL, &list, err);
	}
	return r;
}

/* Filling */

static void write_create(void *data, uint64_t index, struct str *out)
{
	const char *power = data;
	char body[160];
	int size = snprintf(body, sizeof(body), "{\"meta\": {\"name\": \"i%llu\"}, \"spec\": {\"image\": \"tiny\", \"power\": \"%s\"}}",
			    (unsigned long long)index, power);

	load_post(out, "/v1/instances", body, (size_t)size);
}

int node_fill_up(struct node *node, size_t count, bool is_running, struct err *err)
{
	struct load load = { .socket = node->socket, .connections = CLIENTS, .requests = count, .write = write_create,
			     .data = is_running ? "running" : "stopped", .status = 201 };
	struct load_result result = { 0 };
	int r = node_cli(node, cli("image", "build", "tiny"), NULL, err);

	if (r == 0)
		r = load_run(&load, &result, err);
	load_result_done(&result);
	if (r < 0)
		return r;
	return node_wait_for(node, "/v1/instances", is_running ? "\"state\":\"running\"" : "\"disk_ready\":true", count, err);
}
