#include "driver/power/redfish/request.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "driver/power/redfish/answer.h"

enum { REQUEST_MS = 15000, STATUS_LENGTH = 3 };

enum {					/* Exit codes of curl(1) */
	CURL_NO_HOST = 6,
	CURL_NO_CONNECTION = 7,
	CURL_TIMED_OUT = 28,
	CURL_TLS_FAILED = 35,
	CURL_EMPTY = 52,
	CURL_BROKEN = 56,
	CURL_BAD_CERTIFICATE = 60,
	CURL_BAD_CA = 77,
};

struct outcome { int code; char text[160]; };

/* One option of a config file of curl. The texts hold no control characters (power.c, redfish_is_path). */
static void add_option(struct str *config, const char *name, const char *value)
{
	str_printf(config, "%s = \"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			str_append_char(config, '\\');
		str_append_char(config, *value);
	}
	str_append(config, "\"\n");
}

static void write_config(const struct redfish_request *request, struct str *config)
{
	auto_free char *url = text_format("%s%s", request->address, request->path);
	auto_free char *user = text_format("%s:%s", request->credentials->user, request->credentials->password);

	add_option(config, "url", url);
	add_option(config, "user", user);
	add_option(config, "header", "Accept: application/json");
	if (request->ca_file)
		add_option(config, "cacert", request->ca_file);
	if (request->body) {
		add_option(config, "header", "Content-Type: application/json");
		add_option(config, "data", request->body);
	}
	explicit_bzero(user, strlen(user));
}

/* "curl: (60) SSL certificate problem: ..." */
static void on_line(void *data, const char *line)
{
	struct outcome *outcome = data;
	int end = 0;

	if (sscanf(line, "curl: (%d) %n", &outcome->code, &end) == 1 && end)
		snprintf(outcome->text, sizeof(outcome->text), "%s", line + end);
}

static int explain_failure(const struct redfish_request *request, const struct outcome *outcome, struct err *err)
{
	switch (outcome->code) {
	case 0:				/* It is missing, or was ended: said already. */
		return err->code == -ENOENT ? err->code : err_set(err, -EHOSTUNREACH, "controller '%s' does not answer", shown(request->address));
	case CURL_NO_HOST:
	case CURL_NO_CONNECTION:
	case CURL_TIMED_OUT:
	case CURL_EMPTY:
	case CURL_BROKEN:
		return err_set(err, -EHOSTUNREACH, "controller '%s' does not answer: %s", shown(request->address), shown(outcome->text));
	case CURL_TLS_FAILED:
	case CURL_BAD_CERTIFICATE:
	case CURL_BAD_CA:
		return err_set(err, -EACCES, "controller '%s' cannot prove who it is (%s): give the certificate of its authority", shown(request->address),
			       shown(outcome->text));
	default:
		return err_set(err, -EIO, "controller '%s': %s", shown(request->address), shown(outcome->text));
	}
}

static int explain_status(const struct redfish_request *request, int status, const struct str *answer, struct err *err)
{
	char message[128];

	redfish_parse_error(str_text(answer), answer->size, message);
	switch (status) {
	case 401:
	case 403:
		return err_set(err, -EACCES, "controller '%s' refuses user '%s' (%d): change the credentials", shown(request->address),
			       shown(request->credentials->user), status);
	case 404:
		return err_set(err, -ENOENT, "controller '%s' has no '%s': is it the right system?", shown(request->address), shown(request->path));
	default:
		return err_set(err, -EIO, "controller '%s' answers '%s' with status %d: %s", shown(request->address), shown(request->path), status,
			       message[0] ? shown(message) : "it says no more");
	}
}

/* curl writes the status behind the body. */
static int take_status(struct str *answer)
{
	int status;

	if (answer->size < STATUS_LENGTH)
		return 0;
	status = atoi(answer->data + answer->size - STATUS_LENGTH);
	answer->size -= STATUS_LENGTH;
	answer->data[answer->size] = '\0';
	return status;
}

static int run_curl(struct str *config, struct str *answer, struct outcome *outcome, struct err *err)
{
	static const char *const argv[] = {
		"curl", "--disable", "--silent", "--show-error", "--globoff", "--noproxy", "*", "--proto", "=https", "--connect-timeout", "5",
		"--max-time", "10", "--user-agent", "strata/" STRATA_VERSION, "--write-out", "%{http_code}", "--config", "-", NULL,
	};
	const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
	struct spawn_params params = { .argv = argv };
	const struct spawn_io io = {
		.input = config->data, .input_size = config->size, .output = answer, .output_max = REDFISH_ANSWER_BYTES + STATUS_LENGTH,
		.timeout_ms = REQUEST_MS, .on_line = on_line, .data = outcome,
	};

	if (geteuid() == 0 && !nobody)
		return err_set(err, -ENOENT, "user 'nobody' does not exist: requests to controllers run as it");
	if (nobody) {
		params.has_user = true;
		params.user = nobody->pw_uid;
		params.group = nobody->pw_gid;
	}
	return spawn_run(&params, &io, err);
}

int redfish_request(const struct redfish_request *request, struct str *answer, struct err *err)
{
	struct outcome outcome = { 0 };
	auto_str struct str config = { 0 };
	int r, status;

	write_config(request, &config);
	r = run_curl(&config, answer, &outcome, err);
	explicit_bzero(config.data, config.size);
	if (r == -EFBIG)
		return err_set(err, -EPROTO, "controller '%s' answers with more than %d bytes", shown(request->address), REDFISH_ANSWER_BYTES);
	if (r < 0)
		return explain_failure(request, &outcome, err);
	status = take_status(answer);
	return status >= 200 && status < 300 ? 0 : explain_status(request, status, answer, err);
}
