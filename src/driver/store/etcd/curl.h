/*
 * curl.h - the door to libcurl, which is loaded when the first store of this kind is opened.
 *
 * Linked, it would bring some twenty libraries into every stratad, with or without etcd: 2.5 ms of its start and
 * 4 MiB of its memory (docs/decisions/0015-etcd.md).
 *
 * Errors:  -ENOENT libcurl is not installed (the message names the package).
 * Threads: curl_load from any; the functions as libcurl-thread(3) says.
 */
#ifndef DRIVER_STORE_ETCD_CURL_H
#define DRIVER_STORE_ETCD_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/err.h"

#define CURL_FUNCTIONS(each) \
	each(global_init) \
	each(easy_init) each(easy_cleanup) each(easy_perform) each(easy_setopt) each(easy_getinfo) each(easy_strerror) \
	each(multi_init) each(multi_cleanup) each(multi_add_handle) each(multi_remove_handle) each(multi_perform) \
	each(multi_poll) each(multi_wakeup) each(multi_info_read) \
	each(slist_append) each(slist_free_all)

#define CURL_MEMBER(name) __typeof__(curl_##name) *name;
struct curl { CURL_FUNCTIONS(CURL_MEMBER) };
#undef CURL_MEMBER

int etcd_curl_load(struct curl *ret_curl, struct err *err);

#endif
