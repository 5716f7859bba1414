/*
 * A member of an etcd that we run ourselves.
 *
 * The process is process.c; here is how etcd's members change, by its own API. What etcd knows is all that is remembered: after a
 * crash join() asks it whether this host is registered already, and looks whether there is data, and goes on from there:
 *
 *	not registered                 remove data that may be there, register as a learner, start, get the vote
 *	registered, never started      start, get the vote
 *	registered, with our data      start, get the vote unless it has it
 *	registered, the data is lost   take the old one out, then as not registered
 */
#include "port/member.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/store/etcd/link.h"
#include "driver/store/etcd/reply.h"
#include "driver/store/member/process.h"

enum {
	CALL_MS = 2000,			/* One member may take so long for one answer. */
	ASK_MS = 500,			/* The same when it is only asked whether it answers. */
	SERVE_MS = 30000,		/* Until a member serves that was started. */
	ADD_MS = 10000,			/* Until etcd has digested what was before. */
	PROMOTE_MS = 120000,		/* Until it has followed. */
	PAUSE_MS = 100,
};

/* ---- Calls ---- */

struct session { struct members members; struct link link; };

static void session_close(struct session *session)
{
	etcd_link_close(&session->link);
	etcd_settings_done(&session->members.settings);
}

#define auto_session __attribute__((cleanup(session_close)))

static int session_open(const struct member_door *door, uint32_t timeout_ms, struct session *session, struct err *err)
{
	struct store_etcd_params params = {
		.endpoints = door->endpoints, .endpoint_count = door->endpoint_count, .prefix = "/", .writer = "member",
		.ca = door->ca, .certificate = door->certificate, .key = door->key, .timeout_ms = timeout_ms,
	};
	int r = etcd_settings_init(&params, &session->members.settings, err);

	if (r == 0)
		r = etcd_curl_load(&session->members.curl, err);
	return r < 0 ? r : etcd_link_open(&session->members, &session->link, err);
}

static int call(struct session *session, const char *path, const char *body, struct json **ret_json, struct err *err)
{
	auto_str struct str text = { 0 };

	str_append(&text, body);
	return etcd_link_call(&session->link, path, &text, ret_json, err);
}

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* ---- The list ---- */

static char *first_url(const struct json *member, const char *key)
{
	return text_copy(json_string(json_at(json_get(member, key), 0), NULL));
}

static void read_members(const struct json *answer, struct member_list *list)
{
	const struct json *members = json_get(answer, "members");

	for (size_t i = 0; i < json_count(members); i++) {
		const struct json *member = json_at(members, i);
		const char *name = json_string(json_get(member, "name"), "");
		char *peer_url = first_url(member, "peerURLs");

		if (!peer_url)
			continue;
		*vec_push(&list->items) = (struct member_info){
			.id = etcd_reply_number(member, "ID"), .name = name[0] ? text_copy(name) : NULL,
			.peer_url = peer_url, .client_url = first_url(member, "clientURLs"),
			.is_learner = json_bool(json_get(member, "isLearner"), false),
		};
	}
}

static int read_list(struct session *session, struct member_list *list, struct err *err)
{
	auto_json struct json *json = NULL;
	int r = call(session, "cluster/member/list", "{}", &json, err);

	if (r == 0)
		read_members(json, list);
	return r;
}

/* Who serves at this address? */
static int ask(const struct member_door *door, const char *endpoint, uint64_t *ret_id, struct err *err)
{
	const struct member_door one = { .endpoints = &endpoint, .endpoint_count = 1, .ca = door->ca, .certificate = door->certificate,
					 .key = door->key };
	auto_session struct session session = { 0 };
	auto_json struct json *json = NULL;
	int r = session_open(&one, ASK_MS, &session, err);

	if (r == 0)
		r = call(&session, "maintenance/status", "{}", &json, err);
	if (r == 0)
		*ret_id = etcd_reply_number(json, "header.member_id");
	return r;
}

static int list_members(const struct member_door *door, bool asks_each, struct member_list *ret_list, struct err *err)
{
	auto_session struct session session = { 0 };
	struct member_list list = { 0 };
	int r = session_open(door, CALL_MS, &session, err);

	if (r == 0)
		r = read_list(&session, &list, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.items.count && asks_each; i++) {
		struct member_info *info = &list.items.items[i];
		struct err ignored;
		uint64_t id;

		info->answers = info->client_url && ask(door, info->client_url, &id, &ignored) == 0 && id == info->id;
	}
	*ret_list = list;
	return 0;
}

/* ---- The process ---- */

/* 'id' is its own; 0: whose name is ours. Somebody else may have its port. */
static int ask_ours(const struct member_params *params, uint64_t id, struct err *err)
{
	auto_free char *endpoint = member_client_url(params);
	const struct member_door door = { .endpoints = (const char *const[]){ endpoint }, .endpoint_count = 1, .ca = params->ca,
					  .certificate = params->certificate, .key = params->key };
	struct member_list list = { 0 };
	uint64_t found = 0;
	int r = ask(&door, endpoint, &found, err);

	if (r == 0 && !id)
		r = list_members(&door, false, &list, err);
	for (size_t i = 0; i < list.items.count; i++)
		if (text_equal(list.items.items[i].name, params->name))
			id = list.items.items[i].id;
	member_list_done(&list);
	return r < 0 || found == id ? r : err_set(err, -EADDRINUSE, "another etcd answers at %s", endpoint);
}

static int wait_until_it_serves(const struct member_params *params, uint64_t id, struct err *err)
{
	auto_close int pidfd = process_open(params);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	int64_t deadline_ms = clock_monotonic_ms() + SERVE_MS;
	auto_str struct str words = { 0 };
	struct err last = { 0 };

	for (;;) {
		int r = ask_ours(params, id, &last);
		bool has_ended = pidfd < 0 || poll(&ended, 1, 0) == 1;

		if (r == 0 && !has_ended)
			return 0;
		if (has_ended || clock_monotonic_ms() > deadline_ms) {
			process_last_words(params, &words);
			return err_set(err, has_ended ? -EIO : -ETIMEDOUT, "etcd %s: see '%s/log': %.200s",
				       has_ended ? "has ended" : "does not come to serve", params->directory, words.size ? words.data : last.msg);
		}
		pause_ms(PAUSE_MS);
	}
}

static int remove_data(const struct member_params *params, struct err *err)
{
	int r = process_stop(params, err);

	return r < 0 ? r : file_remove_tree(params->directory, err);
}

static int found(const struct member_params *params, const char *token, struct err *err)
{
	auto_free char *peer_url = process_peer_url(params), *members = text_format("%s=%s", params->name, peer_url);
	int r = remove_data(params, err);

	if (r == 0)
		r = process_start(params, &(struct process_cluster){ .members = members, .token = token }, err);
	return r < 0 ? r : wait_until_it_serves(params, 0, err);
}

static int start(const struct member_params *params, struct err *err)
{
	if (!process_has_data(params))
		return err_set(err, -ENOENT, "the data of this host's etcd in '%s' is gone: take the host out of the cluster with "
			       "'strata node remove' elsewhere and let it join anew", params->directory);
	return process_start(params, NULL, err);
}

static int stop(const struct member_params *params, bool removes_data, struct err *err)
{
	return removes_data ? remove_data(params, err) : process_stop(params, err);
}

/* ---- Joining ---- */

static struct member_info *find(const struct member_list *list, const char *name, const char *peer_url)
{
	for (size_t i = 0; i < list->items.count; i++) {
		struct member_info *info = &list->items.items[i];

		if (text_equal(info->name, name) || text_equal(info->peer_url, peer_url))
			return info;
	}
	return NULL;
}

static int drop_id(struct session *session, uint64_t id, struct err *err)
{
	auto_free char *body = text_format("{\"ID\":\"%llu\"}", (unsigned long long)id);
	auto_json struct json *json = NULL;

	int r = call(session, "cluster/member/remove", body, &json, err);

	/* When an answer was lost it was asked twice. */
	return r == -ENOENT ? 0 : r;
}

static int drop(const struct member_door *door, const char *name, struct err *err)
{
	auto_session struct session session = { 0 };
	struct member_list list = { 0 };
	struct member_info *info;
	int r = session_open(door, CALL_MS, &session, err);

	if (r == 0)
		r = read_list(&session, &list, err);
	info = r == 0 ? find(&list, name, name) : NULL;
	if (info)
		r = drop_id(&session, info->id, err);
	member_list_done(&list);
	return r;
}

static int add_learner(struct session *session, const char *peer_url, struct member_list *list, struct err *err)
{
	auto_free char *body = text_format("{\"peerURLs\":[\"%s\"],\"isLearner\":true}", peer_url);
	int64_t deadline_ms = clock_monotonic_ms() + ADD_MS;
	int r;

	/* For a moment after another was taken out etcd says that it is not found. */
	for (;;) {
		auto_json struct json *json = NULL;

		r = call(session, "cluster/member/add", body, &json, err);
		if (r != -ENOENT || clock_monotonic_ms() > deadline_ms)
			break;
		pause_ms(PAUSE_MS);
	}
	/* When an answer was lost it was asked twice. */
	if (r < 0 && r != -EEXIST)
		return r;
	member_list_done(list);
	return read_list(session, list, err);
}

/* What etcd is told of those that it finds: "a=https://...,b=https://...". */
static char *describe(const struct member_list *list, const struct member_params *params, const char *peer_url)
{
	struct str text = { 0 };

	for (size_t i = 0; i < list->items.count; i++) {
		const struct member_info *info = &list->items.items[i];
		const char *name = text_equal(info->peer_url, peer_url) ? params->name : info->name;

		if (name)
			str_printf(&text, "%s%s=%s", text.size ? "," : "", name, info->peer_url);
	}
	return text.data;
}

/* Registered, by us before or now. '*ret_members' is what the process is told. */
static int be_registered(struct session *session, const struct member_params *params, char **ret_members, uint64_t *ret_id,
			 struct err *err)
{
	auto_free char *peer_url = process_peer_url(params);
	struct member_list list = { 0 };
	struct member_info *info;
	int r = read_list(session, &list, err);

	info = r == 0 ? find(&list, params->name, peer_url) : NULL;
	if (info && info->name && !text_equal(info->name, params->name))
		r = err_set(err, -EEXIST, "another member of etcd has the address %s: give this host one of its own with --address", peer_url);
	else if (info && info->name && !process_has_data(params))
		r = drop_id(session, info->id, err);
	if (r == 0 && (!info || (info->name && !process_has_data(params)))) {
		r = remove_data(params, err);
		if (r == 0)
			r = add_learner(session, peer_url, &list, err);
		info = r == 0 ? find(&list, params->name, peer_url) : NULL;
		if (r == 0 && !info)
			r = err_set(err, -EBUSY, "etcd has no member with the address %s yet: try again", peer_url);
	}
	if (r == 0) {
		*ret_id = info->id;
		*ret_members = describe(&list, params, peer_url);
	}
	member_list_done(&list);
	return r;
}

/* etcd refuses while the learner is behind. */
static int promote(struct session *session, const struct member_params *params, struct err *err)
{
	int64_t deadline_ms = clock_monotonic_ms() + PROMOTE_MS;

	for (;;) {
		struct member_list list = { 0 };
		auto_json struct json *json = NULL;
		int r = read_list(session, &list, err);
		const struct member_info *info = r == 0 ? find(&list, params->name, NULL) : NULL;
		bool is_done = info && !info->is_learner;

		if (info && !is_done) {
			auto_free char *body = text_format("{\"ID\":\"%llu\"}", (unsigned long long)info->id);

			r = call(session, "cluster/member/promote", body, &json, err);
		} else if (r == 0 && !info) {
			r = err_set(err, -EBUSY, "etcd does not know the name of its new member yet");
		}
		member_list_done(&list);
		if (is_done || r == 0)
			return 0;
		if (r != -EBUSY || clock_monotonic_ms() > deadline_ms)
			return err_prefix(err, "the new member of etcd gets no vote");
		pause_ms(PAUSE_MS);
	}
}

static int join(const struct member_params *params, const struct member_door *door, struct err *err)
{
	auto_session struct session session = { 0 };
	auto_free char *members = NULL;
	uint64_t id = 0;
	int r = session_open(door, CALL_MS, &session, err);

	if (r == 0)
		r = be_registered(&session, params, &members, &id, err);
	if (r == 0)
		r = process_start(params, &(struct process_cluster){ .members = members }, err);
	if (r == 0)
		r = wait_until_it_serves(params, id, err);
	return r < 0 ? r : promote(&session, params, err);
}

const struct member_ops member_etcd = {
	.found = found,
	.start = start,
	.join = join,
	.process = process_open,
	.stop = stop,
	.list = list_members,
	.drop = drop,
};
