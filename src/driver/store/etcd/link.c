#include "driver/store/etcd/link.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "driver/store/etcd/reply.h"

enum {
	CONNECT_MS = 1000,
	UNACKNOWLEDGED_MS = 2000,	/* A peer whose kernel is silent for so long is gone; a slow etcd is not that. */
	TOTAL_TIMEOUTS = 4,
	FIRST_PAUSE_MS = 25, LAST_PAUSE_MS = 1000,	/* Between rounds over all members. */
};

/* A cut link is noticed although nothing is to be sent. */
static int set_socket(void *data, curl_socket_t fd, curlsocktype purpose)
{
	static const struct { int option; unsigned value; } options[] = {
		{ TCP_KEEPIDLE, 3 }, { TCP_KEEPINTVL, 1 }, { TCP_KEEPCNT, 2 }, { TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS },
	};

	(void)data, (void)purpose;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
	for (size_t i = 0; i < ARRAY_COUNT(options); i++)
		setsockopt(fd, IPPROTO_TCP, options[i].option, &options[i].value, sizeof(options[i].value));
	return CURL_SOCKOPT_OK;
}

static void set_tls(const struct link *link)
{
	const struct etcd_settings *settings = &link->members->settings;
	const struct curl *curl = &link->members->curl;

	if (settings->ca)
		curl->easy_setopt(link->easy, CURLOPT_CAINFO, settings->ca);
	if (settings->certificate) {
		curl->easy_setopt(link->easy, CURLOPT_SSLCERT, settings->certificate);
		curl->easy_setopt(link->easy, CURLOPT_SSLKEY, settings->key);
	}
}

int etcd_link_open(struct members *members, struct link *link, struct err *err)
{
	const struct curl *curl = &members->curl;
	/* A member that is cut off from the others shall say so instead of waiting for them. */
	static const char *const headers[] = { "Content-Type: application/json", "Expect:", "Grpc-Metadata-hasleader: true" };

	*link = (struct link){ .members = members, .easy = curl->easy_init() };
	if (!link->easy)
		return err_set(err, -ENOMEM, "libcurl gives no handle");
	for (size_t i = 0; i < ARRAY_COUNT(headers); i++)
		link->headers = curl->slist_append(link->headers, headers[i]);
	curl->easy_setopt(link->easy, CURLOPT_HTTPHEADER, link->headers);
	curl->easy_setopt(link->easy, CURLOPT_ERRORBUFFER, link->reason);
	curl->easy_setopt(link->easy, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(link->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl->easy_setopt(link->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl->easy_setopt(link->easy, CURLOPT_NOPROXY, "*");
	curl->easy_setopt(link->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl->easy_setopt(link->easy, CURLOPT_SOCKOPTFUNCTION, set_socket);
	set_tls(link);
	return 0;
}

void etcd_link_close(struct link *link)
{
	if (link->easy)
		link->members->curl.easy_cleanup(link->easy);
	if (link->headers)
		link->members->curl.slist_free_all(link->headers);
	str_done(&link->answer);
	*link = (struct link){ 0 };
}

void etcd_link_prepare(struct link *link, size_t member, const char *path, const struct str *body, link_write_fn *write, void *data)
{
	const struct curl *curl = &link->members->curl;
	auto_free char *endpoint = etcd_settings_endpoint(&link->members->settings, member);
	auto_free char *url = text_format("%s/v3/%s", endpoint, path);

	link->reason[0] = '\0';
	curl->easy_setopt(link->easy, CURLOPT_URL, url);
	curl->easy_setopt(link->easy, CURLOPT_POST, 1L);
	curl->easy_setopt(link->easy, CURLOPT_POSTFIELDS, body->data);
	curl->easy_setopt(link->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
	curl->easy_setopt(link->easy, CURLOPT_TIMEOUT_MS, 0L);
	curl->easy_setopt(link->easy, CURLOPT_WRITEFUNCTION, write);
	curl->easy_setopt(link->easy, CURLOPT_WRITEDATA, data);
}

int etcd_link_failure(const struct link *link, CURLcode code, struct err *err)
{
	char buffer[CURL_ERROR_SIZE];
	const char *reason = text_shown(link->reason[0] ? link->reason : link->members->curl.easy_strerror(code), sizeof(buffer) - 4, buffer,
					sizeof(buffer));

	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return err_set(err, -EACCES, "%s: check CA, certificate and key", reason);
	default:
		return err_set(err, -EAGAIN, "%s", reason);
	}
}

int etcd_link_check_cluster(struct members *members, uint64_t cluster, struct err *err)
{
	uint64_t known = 0;

	if (cluster == 0 || atomic_compare_exchange_strong(&members->cluster, &known, cluster) || known == cluster)
		return 0;
	return err_set(err, -EPROTO, "belongs to the cluster %" PRIx64 ", not %" PRIx64 ": name members of one cluster only", cluster, known);
}

/* Calls */

static size_t take_answer(char *bytes, size_t one, size_t size, void *data)
{
	struct link *link = data;

	(void)one;
	link->is_too_large = size > LIMIT_ETCD_MESSAGE_BYTES - link->answer.size;
	if (link->is_too_large)
		return 0;
	str_append_bytes(&link->answer, bytes, size);
	return size;
}

/* Was the failure before anything could be sent? */
static bool is_unsent(CURLcode code)
{
	return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT || code == CURLE_PEER_FAILED_VERIFICATION ||
	       code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE;
}

static int call_member(struct link *link, size_t member, const char *path, const struct str *body, struct json **ret_json, struct err *err)
{
	const struct curl *curl = &link->members->curl;
	auto_json struct json *json = NULL;
	CURLcode code;
	long status = 0;
	int r;

	str_clear(&link->answer);
	etcd_link_prepare(link, member, path, body, take_answer, link);
	curl->easy_setopt(link->easy, CURLOPT_TIMEOUT_MS, (long)link->members->settings.timeout_ms);
	code = curl->easy_perform(link->easy);
	link->attempts += !is_unsent(code);
	if (code == CURLE_WRITE_ERROR && link->is_too_large)
		return err_set(err, -EFBIG, "the answer is longer than %d bytes", LIMIT_ETCD_MESSAGE_BYTES);
	if (code != CURLE_OK)
		return etcd_link_failure(link, code, err);
	curl->easy_getinfo(link->easy, CURLINFO_RESPONSE_CODE, &status);
	r = etcd_reply_parse(str_text(&link->answer), link->answer.size, status, &json, err);
	if (r == 0)
		r = etcd_link_check_cluster(link->members, etcd_reply_number(json, "header.cluster_id"), err);
	if (r == 0)
		*ret_json = take(json);
	return r;
}

/* May another member give a better answer? */
static bool is_members_own(int code)
{
	return code == -EAGAIN || code == -EPROTO || code == -EACCES;
}

static int fail_all(const struct link *link, int code, struct err *err)
{
	auto_str struct str list = { 0 };
	struct err last = *err;

	etcd_settings_list(&link->members->settings, &list);
	if (code == -EAGAIN)
		code = link->attempts ? -ETIMEDOUT : -EAGAIN;
	return err_set(err, code, "none of the members of etcd %s serves: %s%s", str_text(&list), last.msg,
		       code == -ETIMEDOUT ? " (whether a change was made is not known)" : "");
}

static void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 }, NULL);
}

/* Each member once, the preferred one first; 'ret_is_hopeless' when a repetition would bring the same. */
static int call_round(struct link *link, const char *path, const struct str *body, struct json **ret_json, bool *ret_is_hopeless,
		      struct err *err)
{
	struct members *members = link->members;
	size_t count = etcd_settings_endpoint_count(&members->settings), first = atomic_load(&members->preferred);
	int r = 0;

	*ret_is_hopeless = true;
	for (size_t i = 0; i < count; i++) {
		size_t member = (first + i) % count;

		r = call_member(link, member, path, body, ret_json, err);
		if (r == 0 || !is_members_own(r))
			atomic_store(&members->preferred, member);
		if (r == 0)
			return 0;
		auto_free char *endpoint = etcd_settings_endpoint(&members->settings, member);
		err_prefix(err, "%s", shown(endpoint));
		if (!is_members_own(r))
			return r;
		*ret_is_hopeless = *ret_is_hopeless && r != -EAGAIN;
	}
	return r;
}

int etcd_link_call(struct link *link, const char *path, const struct str *body, struct json **ret_json, struct err *err)
{
	int64_t deadline_ms = clock_monotonic_ms() + TOTAL_TIMEOUTS * (int64_t)link->members->settings.timeout_ms;
	unsigned wait_ms = FIRST_PAUSE_MS;
	bool is_hopeless;

	link->attempts = 0;
	for (;;) {
		int r = call_round(link, path, body, ret_json, &is_hopeless, err);

		if (r == 0 || !is_members_own(r))
			return r;
		if (is_hopeless || clock_monotonic_ms() + wait_ms >= deadline_ms)
			return fail_all(link, r, err);
		pause_ms(wait_ms);
		wait_ms = 2 * wait_ms < LAST_PAUSE_MS ? 2 * wait_ms : LAST_PAUSE_MS;
	}
}
