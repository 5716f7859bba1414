#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "4-service/cluster/peers.h"
#include "base/mem.h"

enum { TRIES_MAX = 8 };

/* ---- Answers ---- */

static void send_reply(struct call *call, struct call_reply *reply)
{
	call->reply(call, reply);
}

void answer_err(struct call *call, const struct err *err)
{
	struct call_reply reply = { .err = *err, .http_status = err_http_status(err->code), .fds = CALL_NO_FDS };

	send_reply(call, &reply);
}

void answer_json(struct call *call, int http_status, struct str *body)
{
	struct call_reply reply = { .http_status = http_status, .body = *body, .fds = CALL_NO_FDS };

	*body = (struct str){ 0 };
	send_reply(call, &reply);
}

void answer_object(struct core *core, struct call *call, int http_status, const struct kind *kind, void *object)
{
	struct str body = { 0 };

	encode_published(core, kind, object, &body);
	answer_json(call, http_status, &body);
}

void answer_fds(struct call *call, struct call_fds fds)
{
	struct call_reply reply = { .http_status = 200, .fds = fds };

	send_reply(call, &reply);
}

void answer_forward(struct call *call, const char *address, const char *node_uid, const char *node_name)
{
	struct call_reply reply = { .fds = CALL_NO_FDS, .forward = { text_copy(address), text_copy(node_uid), text_copy(node_name) } };

	send_reply(call, &reply);
}

void answer_log(struct call *call, struct call_fds fds, const char *path, bool has_records)
{
	struct call_reply reply = { .http_status = 200, .fds = fds, .path = text_copy(path), .has_records = has_records };

	send_reply(call, &reply);
}

/* ---- Looking up ---- */

static const char *see(enum kind_id kind)
{
	switch (kind) {
	case KIND_IMAGE: return "see 'strata image ls', or get it with 'strata image build' or 'strata image import'";
	case KIND_VOLUME: return "see 'strata volume ls'";
	case KIND_NETWORK: return "see 'strata network ls'";
	case KIND_NODE: return "see 'strata node ls'";
	case KIND_POOL: return "see 'strata pool ls'";
	default: return "see 'strata ls'";
	}
}

int find_object(struct core *core, enum kind_id kind, const char *name, void **ret_object, struct err *err)
{
	void *object = objects_find(core->objects, kind, NULL, name);

	if (!object)
		return err_set(err, -ENOENT, "%s '%s' does not exist: %s", kinds[kind].name, shown(name ? name : ""), see(kind));
	*ret_object = object;
	return 0;
}

int find_snapshot(struct core *core, const char *instance, const char *name, struct instance **ret_instance,
		  struct snapshot **ret_snapshot, struct err *err)
{
	void *found = NULL;
	int r = find_object(core, KIND_INSTANCE, instance, &found, err);

	if (r < 0)
		return r;
	*ret_instance = found;
	*ret_snapshot = objects_find(core->objects, KIND_SNAPSHOT, (*ret_instance)->meta.uid, name);
	if (!*ret_snapshot)
		return err_set(err, -ENOENT, "snapshot '%s' of instance '%s' does not exist: see 'strata snapshot ls %s'",
			       shown(name ? name : ""), instance, instance);
	return 0;
}

int find_volume_snapshot(struct core *core, const char *volume, const char *name, struct volume **ret_volume,
			 struct snapshot **ret_snapshot, struct err *err)
{
	void *found = NULL;
	int r = find_object(core, KIND_VOLUME, volume, &found, err);

	if (r < 0)
		return r;
	*ret_volume = found;
	*ret_snapshot = objects_find(core->objects, KIND_SNAPSHOT, (*ret_volume)->meta.uid, name);
	if (!*ret_snapshot)
		return err_set(err, -ENOENT, "snapshot '%s' of volume '%s' does not exist: see 'strata volume snapshot ls %s'",
			       shown(name ? name : ""), volume, volume);
	return 0;
}

static int name_taken(const struct kind *kind, const char *name, struct err *err)
{
	return err_set(err, -EEXIST, "%s '%s' exists already: choose another name or remove it first", kind->name, shown(name));
}

int check_name_free(struct core *core, const struct kind *kind, const char *parent, const char *name, struct err *err)
{
	return objects_find(core->objects, kind->id, parent, name) ? name_taken(kind, name, err) : 0;
}

bool claim_is_free(struct core *core, const char *key)
{
	return !objects_is_claimed(core->objects, key) && !map_get(&core->reserved, key);
}

/* ---- Changes ---- */

struct change *change_new(struct core *core, struct call *call, const struct kind *kind, const void *object)
{
	struct change *change = alloc(sizeof(*change));

	*change = (struct change){ .core = core, .call = call, .kind = kind, .txn = store_txn_new(), .http_status = object ? 200 : 201 };
	if (object) {
		change->old = kind_copy(kind, object);
		change->next = kind_copy(kind, object);
		kind_meta(change->next)->revision = published_revision(core, kind, object);	/* As whoever asks has seen it. */
	} else {
		struct meta *meta = change->next = kind_new(kind);
		char uid[37];

		rng_uuid(core->params.rng, uid);
		meta->uid = text_copy(uid);
		meta->created_at = loop_wall_ms(core->params.loop);
		meta->generation = 1;
		change->event = "accepted";
	}
	return change;
}

void change_free(struct change *change)
{
	store_txn_free(change->txn);
	claims_done(&change->before);
	claims_done(&change->after);
	kind_free(change->kind, change->old);
	kind_free(change->kind, change->next);
	free(change);
}

/* An instance may have been admitted that will not be stored. */
static void take_back_admission(struct change *change)
{
	const char *uid = kind_meta(change->next)->uid;

	if (change->kind->id == KIND_INSTANCE)
		placement_sync(change->core->placement, uid, objects_get(change->core->objects, KIND_INSTANCE, uid));
}

void change_refuse(struct change *change, const struct err *err)
{
	take_back_admission(change);
	if (change->call)
		answer_err(change->call, err);
	change_free(change);
}

/* Claims of a transaction under way count as taken, so that the next request does not choose the same. */
static void reserve(struct change *change, bool is_taken)
{
	for (size_t i = 0; i < change->after.items.count; i++) {
		const char *key = change->after.items.items[i].key;

		if (claims_have(&change->before, key))
			continue;
		if (is_taken)
			map_put(&change->core->reserved, key, change->core);
		else
			map_remove(&change->core->reserved, key);
	}
}

/* Another request took a claim first. */
static int claim_is_taken(struct change *change, const char *key, struct err *err)
{
	struct meta *meta = kind_meta(change->next);
	char what[200];

	if (!objects_claim_text(change->kind, change->next, key, what, sizeof(what)))
		return 0;
	if (text_starts_with(key, "claim/name/"))
		return name_taken(change->kind, meta->name, err);
	return err_set(err, -EEXIST, "%s '%s': %s is taken by another one: choose another", change->kind->name, meta->name, what);
}

struct commit {
	struct change *change;
	VEC(char *) guards;			/* Keys, to say which one failed. */
};

static void commit_free(struct commit *commit)
{
	for (size_t i = 0; i < commit->guards.count; i++)
		free(commit->guards.items[i]);
	vec_done(&commit->guards);
	change_free(commit->change);
	free(commit);
}

static void commit_failed(struct commit *commit, const struct store_result *result)
{
	struct change *change = commit->change;
	struct err err = result->err;

	if (result->err.code == -ESTALE && result->failed_guard < commit->guards.count &&
	    claim_is_taken(change, commit->guards.items[result->failed_guard], &err) == 0) {
		/* The object changed in between: look again, with the new state. */
		if (change->call && change->call->tries++ < TRIES_MAX) {
			struct call *call = change->call;

			api_call(change->core, call);
			return;
		}
		err_set(&err, -ESTALE, "%s '%s' is being changed by others: try again", change->kind->name, kind_meta(change->next)->name);
	}
	if (change->call)
		answer_err(change->call, &err);
}

static void committed(void *data, const struct store_result *result)
{
	struct commit *commit = data;
	struct change *change = commit->change;

	reserve(change, false);
	if (result->err.code < 0) {
		take_back_admission(change);
		commit_failed(commit, result);
	} else if (change->call) {
		const struct meta *meta = change->next;
		/* As it is by now; it may even be gone already. */
		void *object = objects_get(change->core->objects, change->kind->id, meta->uid);

		answer_object(change->core, change->call, change->http_status, change->kind, object ? object : change->next);
	}
	commit_free(commit);
}

static int check_claims_differ(struct change *change, struct err *err)
{
	const struct claims *claims = &change->after;

	for (size_t i = 0; i < claims->items.count; i++)
		for (size_t j = 0; j < i; j++)
			if (text_equal(claims->items.items[i].key, claims->items.items[j].key))
				return err_set(err, -EINVAL, "%s is named twice: name it once", claims->items.items[i].what);
	return 0;
}

static int check_claims_free(struct change *change, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < change->after.items.count && r == 0; i++) {
		const char *key = change->after.items.items[i].key;

		if (!claims_have(&change->before, key) && !claim_is_free(change->core, key))
			r = claim_is_taken(change, key, err);
	}
	return r;
}

void change_commit(struct change *change)
{
	struct core *core = change->core;
	struct meta *meta = kind_meta(change->next);
	struct commit *commit;
	struct err err = { 0 };

	if (change->old)
		claims_of(change->kind, change->old, &change->before);
	claims_of(change->kind, change->next, &change->after);
	if (check_claims_differ(change, &err) < 0 || check_claims_free(change, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	if (change->old) {
		objects_guard(core->objects, change->txn, change->kind, meta->uid);
		if (!field_equal(change->kind->spec, kind_spec(change->kind, change->old), kind_spec(change->kind, change->next)) ||
		    !text_equal(kind_meta(change->old)->name, meta->name))
			meta->generation++;
	}
	if (change->is_leaders)
		peers_guard(core->peers, change->txn);
	reserve(change, true);
	objects_put_claims(change->txn, change->kind, change->old, change->next);
	objects_put_desired(change->txn, change->kind, change->next);
	if (change->event)
		objects_put_event(core->objects, change->txn, change->kind, meta, change->event, false, "%s '%s': %s", change->kind->name,
				  meta->name, change->event);
	commit = alloc(sizeof(*commit));
	commit->change = change;
	for (size_t i = 0; i < change->txn->guards.count; i++)
		*vec_push(&commit->guards) = text_copy(change->txn->guards.items[i].key);
	store_submit(core->params.store, take(change->txn), committed, commit);
}
