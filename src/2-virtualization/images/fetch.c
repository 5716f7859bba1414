#include "2-virtualization/images/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

enum {
	ATTEMPTS = 4,
	FIRST_PAUSE_MS = 250,		/* Doubled with each attempt. */
	PAUSE_STEP_MS = 50,
};
static const uint64_t download_timeout_ms = 24 * 60 * 60 * 1000;	/* A stall ends it much sooner. */

enum {					/* Exit codes of curl(1) */
	CURL_BAD_URL = 3, CURL_NO_HOST = 6, CURL_NO_CONNECTION = 7, CURL_WEIRD_REPLY = 8, CURL_HTTP2 = 16, CURL_PARTIAL = 18,
	CURL_HTTP_STATUS = 22, CURL_WRITE = 23, CURL_TIMEOUT = 28, CURL_NO_RANGE = 33, CURL_TLS_CONNECT = 35,
	CURL_TOO_MANY_REDIRECTS = 47, CURL_NOTHING = 52, CURL_SEND = 55, CURL_RECEIVE = 56, CURL_TLS_CERTIFICATE = 60,
	CURL_TOO_LARGE = 63, CURL_TLS_CA = 77, CURL_HTTP2_STREAM = 92, CURL_UNSUPPORTED = 1,
};

struct fetch {
	const char *url;
	int fd;
	uint64_t max_bytes;
	const struct volume_progress *progress;
	uint64_t from;			/* Where this attempt began. */
	uint64_t total;			/* 0: unknown. */
	int status;			/* HTTP status, 0: none yet. */
	int curl_code;			/* From curl's last message; 0: none. */
	bool must_stop;			/* Cancelled or too large. */
	char reason[120];		/* curl's own words. */
};

static int check_url(const char *url, struct err *err)
{
	size_t length = strlen(url);

	if (length > LIMIT_URL_BYTES)
		return err_set(err, -EINVAL, "URL has %zu characters: use at most %d", length, LIMIT_URL_BYTES);
	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
		return err_set(err, -EINVAL, "URL '%s' is neither http:// nor https://: use one of these", shown(url));
	for (size_t i = 0; i < length; i++)
		if (url[i] <= ' ' || url[i] == 0x7f)
			return err_set(err, -EINVAL, "URL '%s' contains spaces or characters beyond ASCII: write them as %%20", shown(url));
	return 0;
}

static uint64_t file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* curl -v writes "< name: value" for each header line, and "< HTTP/1.1 200 OK" before them. */
static void take_header(struct fetch *fetch, const char *line)
{
	static const char length_name[] = "content-length:";

	if (strncasecmp(line, "HTTP/", 5) == 0) {
		const char *space = strchr(line, ' ');

		fetch->status = space ? atoi(space + 1) : 0;
		fetch->total = 0;
	} else if (strncasecmp(line, length_name, sizeof(length_name) - 1) == 0 && (fetch->status == 200 || fetch->status == 206)) {
		uint64_t length = strtoull(line + sizeof(length_name) - 1, NULL, 10);

		fetch->total = length && length <= UINT64_MAX - fetch->from ? fetch->from + length : 0;
	}
}

/* Besides those, curl writes its meter each second: the moment to look at how far it is. */
static void on_line(void *data, const char *line)
{
	struct fetch *fetch = data;
	uint64_t size = file_size(fetch->fd);
	int end = 0;			/* Of "curl: (22)": a line may be cut when curl is ended. */

	if (text_starts_with(line, "< "))
		take_header(fetch, line + 2);
	else if (sscanf(line, "curl: (%d)%n", &fetch->curl_code, &end) == 1 && end)
		text_shown(line + end, sizeof(fetch->reason) - 4, fetch->reason, sizeof(fetch->reason));
	volume_report(fetch->progress, size, fetch->total);
	if (volume_is_cancelled(fetch->progress) || size > fetch->max_bytes || fetch->total > fetch->max_bytes)
		fetch->must_stop = true;
}

/* The proxy settings of the daemon, which are its administrator's. */
static void collect_proxies(char *env[8])
{
	static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy", "NO_PROXY" };
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (getenv(names[i]))
			env[count++] = text_format("%s=%s", names[i], getenv(names[i]));
	env[count] = NULL;
}

static int run_curl(struct fetch *fetch, struct err *err)
{
	auto_free char *file_limit = text_format("--fsize=%" PRIu64, fetch->max_bytes);
	auto_free char *size_limit = text_format("%" PRIu64, fetch->max_bytes);
	auto_free char *from = text_format("%" PRIu64, fetch->from);
	const char *const argv[] = {
		"prlimit", file_limit, "curl", "--disable", "--verbose", "--fail", "--location", "--max-redirs", "10", "--globoff",
		"--proto", "=http,https", "--proto-redir", "=http,https", "--connect-timeout", "20", "--speed-limit", "1",
		"--speed-time", "60", "--max-filesize", size_limit, "--user-agent", "strata/" STRATA_VERSION, "--url", fetch->url,
		/* Last: left out at the beginning, for some servers refuse any range. */
		fetch->from ? "--continue-at" : NULL, from, NULL,
	};
	const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
	char *env[8];
	struct spawn_params params = {
		.argv = argv, .env = (const char *const *)env, .fds = &(struct spawn_fd){ fetch->fd, STDOUT_FILENO }, .fd_count = 1,
		.ends_with_parent = true,
	};
	const struct spawn_io io = {
		.timeout_ms = download_timeout_ms, .is_cancelled = &fetch->must_stop, .on_line = on_line, .data = fetch,
	};
	int r;

	if (geteuid() == 0 && !nobody)
		return err_set(err, -ENOENT, "user 'nobody' does not exist: downloads run as it");
	if (nobody) {
		params.has_user = true;
		params.user = nobody->pw_uid;
		params.group = nobody->pw_gid;
	}
	collect_proxies(env);
	r = spawn_run(&params, &io, err);
	for (size_t i = 0; env[i]; i++)
		free(env[i]);
	return r;
}

static int explain_status(const struct fetch *fetch, struct err *err)
{
	switch (fetch->status) {
	case 404:
	case 410:
		return err_set(err, -ENOENT, "'%s' does not exist on the server (%d): check the URL", shown(fetch->url), fetch->status);
	case 401:
	case 403:
		return err_set(err, -EACCES, "the server refuses '%s' (%d): it needs a login or is closed", shown(fetch->url), fetch->status);
	default:
		return err_set(err, -EIO, "the server answers '%s' with status %d: try again later", shown(fetch->url), fetch->status);
	}
}

/* What curl's exit code means to a person. */
static int explain(const struct fetch *fetch, int r, struct err *err)
{
	const char *url = shown(fetch->url);

	switch (fetch->curl_code) {
	case CURL_HTTP_STATUS:
		return explain_status(fetch, err);
	case CURL_BAD_URL:
	case CURL_UNSUPPORTED:
		return err_set(err, -EINVAL, "cannot download '%s':%s", url, fetch->reason);
	case CURL_NO_HOST:
		return err_set(err, -EHOSTUNREACH, "the host of '%s' does not resolve: check the URL and this host's DNS", url);
	case CURL_NO_CONNECTION:
		return err_set(err, -ECONNREFUSED, "no connection to '%s': is it the right host and port?", url);
	case CURL_TIMEOUT:
		return err_set(err, -ETIMEDOUT, "'%s' sends nothing: try again later", url);
	case CURL_TOO_MANY_REDIRECTS:
		return err_set(err, -ELOOP, "'%s' redirects too often", url);
	case CURL_TLS_CONNECT:
	case CURL_TLS_CERTIFICATE:
	case CURL_TLS_CA:
		return err_set(err, -EPROTO, "no safe connection (TLS) to '%s':%s", url, fetch->reason);
	case CURL_WEIRD_REPLY:
		return err_set(err, -EPROTO, "'%s' does not answer in HTTP:%s", url, fetch->reason);
	case CURL_WRITE:
		return err_set(err, -ENOSPC, "no space left for '%s': free some", url);
	case 0:				/* Not curl's failure: it is missing, or was ended. */
		return r;
	default:
		return err_set(err, -EIO, "download of '%s' failed:%s", url, fetch->reason);
	}
}

static bool is_worth_retrying(const struct fetch *fetch)
{
	switch (fetch->curl_code) {
	case CURL_PARTIAL: case CURL_TIMEOUT: case CURL_NOTHING: case CURL_SEND: case CURL_RECEIVE: case CURL_HTTP2: case CURL_HTTP2_STREAM:
	case CURL_NO_RANGE:
		return true;
	case CURL_HTTP_STATUS:
		return fetch->status == 429 || fetch->status == 502 || fetch->status == 503 || fetch->status == 504 || fetch->status == 416;
	default:
		return false;
	}
}

static void pause_before(const struct fetch *fetch, unsigned attempt)
{
	const struct timespec step = { .tv_nsec = PAUSE_STEP_MS * 1000000L };

	for (int left_ms = FIRST_PAUSE_MS << attempt; left_ms > 0 && !volume_is_cancelled(fetch->progress); left_ms -= PAUSE_STEP_MS)
		nanosleep(&step, NULL);
}

static int attempt_once(struct fetch *fetch, struct err *err)
{
	int r;

	fetch->from = file_size(fetch->fd);
	fetch->total = 0;
	fetch->status = fetch->curl_code = 0;
	r = run_curl(fetch, err);
	if (volume_is_cancelled(fetch->progress))
		return err_set(err, -ECANCELED, "cancelled");
	/* A file of exactly the limit is fine; curl is ended by the limit only when it would write more. */
	if (r < 0 && (fetch->must_stop || fetch->curl_code == CURL_TOO_LARGE || file_size(fetch->fd) >= fetch->max_bytes))
		return err_set(err, -EFBIG, "'%s' is larger than the limit of %" PRIu64 " bytes", shown(fetch->url), fetch->max_bytes);
	return r < 0 ? explain(fetch, r, err) : 0;
}

static int download(struct fetch *fetch, struct err *err)
{
	for (unsigned attempt = 0;; attempt++) {
		int r = attempt_once(fetch, err);

		if (r == 0 || r == -ECANCELED || r == -EFBIG || attempt + 1 == ATTEMPTS || !is_worth_retrying(fetch))
			return r;
		/* The server cannot continue (or not there): from the beginning. */
		if ((fetch->curl_code == CURL_NO_RANGE || fetch->status == 416) && ftruncate(fetch->fd, 0) < 0)
			return err_set(err, -errno, "empty the download: %m");
		pause_before(fetch, attempt);
	}
}

static int verify(const struct fetch *fetch, const char *expected, char ret_sha256[SHA256_TEXT_SIZE], struct err *err)
{
	char sum[SHA256_TEXT_SIZE];
	int r = sha256_file(fetch->fd, fetch->progress ? fetch->progress->is_cancelled : NULL, sum, err);

	if (r < 0)
		return r;
	if (expected && strcasecmp(sum, expected) != 0)
		return err_set(err, -EINVAL, "sha256 of '%s' is %s, not the expected %.16s...: wrong file or damaged on the way",
			       shown(fetch->url), sum, expected);
	memcpy(ret_sha256, sum, sizeof(sum));
	return 0;
}

int fetch_url(const char *url, const char *path, uint64_t max_bytes, const char *expected_sha256,
	      const struct volume_progress *progress, char ret_sha256[SHA256_TEXT_SIZE], struct err *err)
{
	struct fetch fetch = { .url = url, .max_bytes = max_bytes, .progress = progress };
	auto_close int fd = -1;
	int r = check_url(url, err);

	if (r < 0)
		return r;
	if (expected_sha256 && !sha256_is_text(expected_sha256))
		return err_set(err, -EINVAL, "sha256 '%s' is not 64 hex digits", shown(expected_sha256));
	/* Appending, so that each attempt goes on at the end. */
	fetch.fd = fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(path));
	if ((r = download(&fetch, err)) < 0 || (r = verify(&fetch, expected_sha256, ret_sha256, err)) < 0) {
		unlink(path);
		return r;
	}
	volume_report(progress, file_size(fd), file_size(fd));
	return 0;
}
