/*
 * link.h - one connection at a time to whichever member of an etcd answers.
 *
 * A call goes to the member that answered last; when it is gone, silent, without a leader or of another cluster, to
 * the next, with growing pauses between rounds, until four times settings->timeout_ms have passed. So a call may reach
 * etcd more than once: callers make that harmless.
 *
 * Errors:  those of reply.h with the member's name; when none answers -EAGAIN (nothing was sent) or -ETIMEDOUT (it may
 *          have been), naming all of them and the last reason; -EFBIG the answer is too large.
 * Threads: a link belongs to one thread at a time; several links share one struct members.
 */
#ifndef DRIVER_STORE_ETCD_LINK_H
#define DRIVER_STORE_ETCD_LINK_H

#include <stdatomic.h>

#include "base/json.h"
#include "driver/store/etcd/curl.h"
#include "driver/store/etcd/settings.h"

struct members {
	struct etcd_settings settings;
	struct curl curl;
	atomic_size_t preferred;		/* Index of the one that answered last. */
	atomic_uint_fast64_t cluster;		/* Of the first answer: all must be of this one. */
};

struct link {
	struct members *members;
	CURL *easy;
	struct curl_slist *headers;
	char reason[CURL_ERROR_SIZE];
	struct str answer;
	bool is_too_large;
	unsigned attempts;			/* Of the last call that may have reached a member. */
};

int etcd_link_open(struct members *members, struct link *link, struct err *err);
void etcd_link_close(struct link *link);		/* Also half open, or { 0 }. */

/* POSTs 'body' to /v3/'path'. */
int etcd_link_call(struct link *link, const char *path, const struct str *body, struct json **ret_json, struct err *err);

/* For streams: sets 'link->easy' up, without a limit of time; 'write' as CURLOPT_WRITEFUNCTION. */
typedef size_t link_write_fn(char *bytes, size_t one, size_t size, void *data);
void etcd_link_prepare(struct link *link, size_t member, const char *path, const struct str *body, link_write_fn *write, void *data);
/* What libcurl's answer means: -EAGAIN another member may do better, -EPROTO, -EACCES the same for longer. */
int etcd_link_failure(const struct link *link, CURLcode code, struct err *err);
/* Is 'cluster' that of the others? */
int etcd_link_check_cluster(struct members *members, uint64_t cluster, struct err *err);

#endif
