#include "driver/store/member/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

enum {
	PEER_PORT = 2380,
	FILE_MAX_BYTES = 64 << 10,
	LOG_MAX_BYTES = 4 << 20,	/* Begun anew at a start when it is longer. */
	TERM_WAIT_MS = 5000, KILL_WAIT_MS = 5000,
	OPTIONS_MAX = 64,
};

#define DATA_OPTION "--data-dir="

/* What it keeps at least of its past, so that a watch can go on after a cut. */
#define KEPT_REVISIONS "20000"
/* 4 GiB: objects of many thousand instances are some hundred MiB. */
#define QUOTA_BYTES "4294967296"

char *process_data(const struct member_params *params)
{
	return text_format("%s/data", params->directory);
}

char *process_peer_url(const struct member_params *params)
{
	bool is_ipv6 = strchr(params->address, ':') != NULL;

	return text_format("http%s://%s%s%s:%u", params->ca ? "s" : "", is_ipv6 ? "[" : "", params->address, is_ipv6 ? "]" : "",
			   params->peer_port ? params->peer_port : PEER_PORT);
}

bool process_has_data(const struct member_params *params)
{
	auto_free char *path = text_format("%s/data/member/snap/db", params->directory);

	return access(path, F_OK) == 0;
}

/* Finding */

static bool is_ours(const struct member_params *params, int pid)
{
	auto_free char *path = text_format("/proc/%d/cmdline", pid), *data = process_data(params);
	auto_free char *option = text_format(DATA_OPTION "%s", data);
	auto_str struct str line = { 0 };
	struct err ignored;

	if (file_read_all(path, FILE_MAX_BYTES, &line, &ignored) < 0)
		return false;
	for (size_t at = 0; at < line.size; at += strlen(line.data + at) + 1)
		if (text_equal(line.data + at, option))
			return true;
	return false;
}

/* The first pid of ours in a file with one per line, or 0. */
static int find_in(const struct member_params *params, const char *path)
{
	auto_str struct str text = { 0 };
	struct err ignored;

	if (file_read_all(path, FILE_MAX_BYTES, &text, &ignored) < 0)
		return 0;
	for (const char *line = str_text(&text); line; line = strchr(line, '\n')) {
		int pid = atoi(line += *line == '\n');

		if (pid > 0 && is_ours(params, pid))
			return pid;
	}
	return 0;
}

int process_open(const struct member_params *params)
{
	auto_free char *pid_file = text_format("%s/pid", params->directory), *procs = NULL;
	int pid = 0, pidfd;

	if (params->cgroup) {
		procs = text_format("%s/cgroup.procs", params->cgroup);
		pid = find_in(params, procs);
	}
	if (!pid)
		pid = find_in(params, pid_file);
	if (!pid)
		return -1;
	pidfd = pidfd_open(pid, 0);
	/* Looked at again: now that we hold it the pid cannot pass to another process. */
	if (pidfd >= 0 && !is_ours(params, pid)) {
		close(pidfd);
		return -1;
	}
	return pidfd;
}

/* Starting */

struct words { const char *items[OPTIONS_MAX]; size_t count; char *owned[OPTIONS_MAX]; size_t owned_count; };

static void add(struct words *words, const char *word)
{
	words->items[words->count++] = word;
}

/* "--name=value" */
static void add_value(struct words *words, const char *name, const char *value)
{
	char *word = text_format("--%s=%s", name, value);

	words->owned[words->owned_count++] = word;
	add(words, word);
}

static void words_done(struct words *words)
{
	for (size_t i = 0; i < words->owned_count; i++)
		free(words->owned[i]);
}

static void add_tls(struct words *words, const struct member_params *params)
{
	if (!params->ca)
		return;
	add_value(words, "cert-file", params->certificate);
	add_value(words, "key-file", params->key);
	add_value(words, "trusted-ca-file", params->ca);
	add(words, "--client-cert-auth");
	add_value(words, "peer-cert-file", params->certificate);
	add_value(words, "peer-key-file", params->key);
	add_value(words, "peer-trusted-ca-file", params->ca);
	add(words, "--peer-client-cert-auth");
}

static void add_words(struct words *words, const struct member_params *params, const struct process_cluster *cluster)
{
	auto_free char *client_url = member_client_url(params), *peer_url = process_peer_url(params), *data = process_data(params);

	add(words, "etcd");
	add_value(words, "data-dir", data);
	add_value(words, "name", params->name);
	add_value(words, "listen-client-urls", client_url);
	add_value(words, "advertise-client-urls", client_url);
	add_value(words, "listen-peer-urls", peer_url);
	add_value(words, "initial-advertise-peer-urls", peer_url);
	add_tls(words, params);
	add_value(words, "auto-compaction-mode", "revision");
	add_value(words, "auto-compaction-retention", KEPT_REVISIONS);
	add_value(words, "quota-backend-bytes", QUOTA_BYTES);
	add_value(words, "logger", "zap");	/* Said aloud: 3.4 has another one as its default, which is gone in 3.5. */
	add_value(words, "log-level", "error");	/* 3.4 warns of each request that comes through its gateway with a certificate. */
	if (cluster) {
		add_value(words, "initial-cluster", cluster->members);
		add_value(words, "initial-cluster-state", cluster->token ? "new" : "existing");
		if (cluster->token)
			add_value(words, "initial-cluster-token", cluster->token);
	}
	add(words, NULL);
}

static int open_log(const struct member_params *params, struct err *err)
{
	auto_free char *path = text_format("%s/log", params->directory);
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || (fstat(fd, &st) == 0 && st.st_size > LOG_MAX_BYTES && ftruncate(fd, 0) < 0)) {
		err_set(err, -errno, "log of etcd '%s': %m", path);
		closep(&fd);
		return err->code;
	}
	return fd;
}

static int write_pid(const struct member_params *params, pid_t pid, struct err *err)
{
	auto_free char *path = text_format("%s/pid", params->directory);
	char text[16];
	int length = snprintf(text, sizeof(text), "%d\n", (int)pid);

	return file_write_atomic(path, text, (size_t)length, 0644, err);
}

static int launch(const struct member_params *params, const struct process_cluster *cluster, struct err *err)
{
	struct words words = { 0 };
	auto_close int log_fd = open_log(params, err), pidfd = -1;
	pid_t pid;
	int r;

	if (log_fd < 0)
		return err->code;
	add_words(&words, params, cluster);
	r = spawn_start(&(struct spawn_params){ .argv = words.items, .cgroup = params->cgroup, .has_own_session = true,
						.directory = params->directory, .fds = (struct spawn_fd[]){ { log_fd, 1 }, { log_fd, 2 } },
						.fd_count = 2 }, &pid, &pidfd, err);
	words_done(&words);
	return r < 0 ? r : write_pid(params, pid, err);
}

int process_start(const struct member_params *params, const struct process_cluster *cluster, struct err *err)
{
	auto_close int running = process_open(params);
	int r;

	if (running >= 0)
		return 0;
	r = file_make_dirs(params->directory, 0700, err);
	if (r == 0 && params->cgroup)
		r = file_make_dirs(params->cgroup, 0755, err);
	return r < 0 ? r : launch(params, cluster, err);
}

/* Ending */

static bool end_process(int pidfd, int signal, int wait_ms)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	pidfd_send_signal(pidfd, signal, NULL, 0);
	return poll(&ended, 1, wait_ms) == 1;
}

int process_stop(const struct member_params *params, struct err *err)
{
	auto_free char *pid_file = text_format("%s/pid", params->directory);
	auto_close int pidfd = process_open(params);

	if (pidfd >= 0 && !end_process(pidfd, SIGTERM, TERM_WAIT_MS) && !end_process(pidfd, SIGKILL, KILL_WAIT_MS))
		return err_set(err, -EBUSY, "etcd does not end: look at the state of the process with ps");
	/* Our child, unless an earlier daemon has started it. */
	if (pidfd >= 0)
		waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED | WNOHANG);
	unlink(pid_file);
	if (params->cgroup)
		rmdir(params->cgroup);
	return 0;
}

/* {"level":"fatal","ts":"...","msg":"discovery failed","error":"..."}: as it is, it is what an expert looks for. */
void process_last_words(const struct member_params *params, struct str *out)
{
	auto_free char *path = text_format("%s/log", params->directory);
	auto_str struct str text = { 0 };
	struct err ignored;
	char *line;

	if (file_read_all(path, 2 * LOG_MAX_BYTES, &text, &ignored) < 0 || !text.size)
		return;
	while (text.size && text.data[text.size - 1] == '\n')
		text.data[--text.size] = '\0';
	line = strrchr(text.data, '\n');
	str_append(out, line ? line + 1 : text.data);
}
