#include "port/store_model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "port/store_fixture.h"

enum { MODEL_KEYS = 16, MODEL_LEASES = 4, MODEL_BURST = 6 };

/* The revisions of a shared store are known afterwards: until then a change has a number that no revision has. */
static const uint64_t guesses = UINT64_C(1) << 40;

struct model_key {
	bool is_present;
	unsigned value;
	uint64_t create_revision, mod_revision, version, lease;
};

struct model {
	struct store_fixture *fixture;
	struct rng rng;
	struct model_key keys[MODEL_KEYS];
	uint64_t leases[MODEL_LEASES];
	uint64_t revision;
	unsigned next_value;
	struct store_events expected;
};

static const char *model_key_name(size_t i)
{
	static const char *const names[MODEL_KEYS] = {
		"a", "a/", "a/b", "a/b/c", "aa", "b", "b/1", "b/10", "b/2", "b0", "c", "c/z", "c/\xc3\xa9", "d", "z", "zz",
	};

	return names[i];
}

static size_t model_pick(struct model *model, size_t bound)
{
	return (size_t)rng_below(&model->rng, bound);
}

static void model_record(struct model *model, size_t i)
{
	const struct model_key *key = &model->keys[i];
	char value[16];

	snprintf(value, sizeof(value), "%u", key->value);
	store_events_add(&model->expected, !key->is_present, &(struct store_kv){
		.key = (char *)model_key_name(i), .value = value, .value_size = strlen(value),
		.create_revision = key->create_revision, .mod_revision = key->mod_revision,
		.version = key->version, .lease = key->lease,
	});
}

static void model_put(struct model *model, size_t i, unsigned value, uint64_t lease, uint64_t revision)
{
	struct model_key *key = &model->keys[i];

	if (!key->is_present)
		*key = (struct model_key){ .is_present = true, .create_revision = revision };
	key->value = value;
	key->mod_revision = revision;
	key->version++;
	key->lease = lease;
	model_record(model, i);
}

static void model_delete(struct model *model, size_t i, uint64_t revision)
{
	model->keys[i] = (struct model_key){ .mod_revision = revision };
	model_record(model, i);
	model->keys[i].mod_revision = 0;
}

/* Adds a random guard; returns whether it holds. */
static bool model_guard(struct model *model, struct store_txn *txn)
{
	size_t i = model_pick(model, MODEL_KEYS);
	const struct model_key *key = &model->keys[i];
	enum store_guard_kind kind = model_pick(model, 4) ? STORE_UNCHANGED :
				     key->is_present == model_pick(model, 4) ? STORE_ABSENT : STORE_EXISTS;
	uint64_t revision = key->mod_revision;

	/* Nobody can know the revision of what is not committed yet. */
	if (kind == STORE_UNCHANGED && revision > guesses)
		kind = STORE_EXISTS;
	if (kind == STORE_UNCHANGED && model_pick(model, 6) == 0)
		revision = model->revision / 2;
	store_txn_guard(txn, kind, model_key_name(i), revision);
	switch (kind) {
	case STORE_ABSENT:
		return !key->is_present;
	case STORE_EXISTS:
		return key->is_present;
	case STORE_UNCHANGED:
		return revision == key->mod_revision;
	}
	abort();
}

/* Adds a random change and, if the guards hold, makes it in the model; returns whether it changed something. */
static bool model_change(struct model *model, struct store_txn *txn, size_t i, bool is_applied)
{
	char value[16];
	uint64_t lease;

	if (model_pick(model, 3) == 0) {
		store_txn_delete(txn, model_key_name(i));
		if (!is_applied || !model->keys[i].is_present)
			return false;
		model_delete(model, i, model->revision + 1);
		return true;
	}
	lease = model_pick(model, 3) ? 0 : model->leases[model_pick(model, MODEL_LEASES)];
	snprintf(value, sizeof(value), "%u", ++model->next_value);
	store_txn_put(txn, model_key_name(i), value, strlen(value), lease);
	if (is_applied)
		model_put(model, i, model->next_value, lease, model->revision + 1);
	return is_applied;
}

static struct store_txn *model_txn(struct model *model, struct store_result *ret_expected)
{
	struct store_txn *txn = store_txn_new();
	size_t guards = model_pick(model, 3), first = model_pick(model, MODEL_KEYS), changes = model_pick(model, 5);
	bool has_changed = false;

	*ret_expected = (struct store_result){ 0 };
	for (size_t i = 0; i < guards; i++) {
		if (!model_guard(model, txn) && !ret_expected->err.code) {
			ret_expected->err.code = -ESTALE;
			ret_expected->failed_guard = i;
		}
	}
	for (size_t i = 0; i < changes; i++)
		has_changed |= model_change(model, txn, (first + 5 * i) % MODEL_KEYS, !ret_expected->err.code);
	model->revision += has_changed;
	ret_expected->revision = model->revision;
	return txn;
}

/* Replaces guessed revisions of a shared store. */
static void model_correct(struct model *model, uint64_t guess, uint64_t revision)
{
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		struct model_key *key = &model->keys[i];

		key->create_revision = key->create_revision == guess ? revision : key->create_revision;
		key->mod_revision = key->mod_revision == guess ? revision : key->mod_revision;
	}
	for (size_t i = 0; i < model->expected.items.count; i++) {
		struct store_kv *kv = &model->expected.items.items[i].kv;

		kv->create_revision = kv->create_revision == guess ? revision : kv->create_revision;
		kv->mod_revision = kv->mod_revision == guess ? revision : kv->mod_revision;
	}
}

static void model_correct_burst(struct model *model, uint64_t before, const struct store_result *expected, const struct store_answer *answers,
				size_t count)
{
	model->revision = before;
	for (size_t i = 0; i < count; i++) {
		if (expected[i].err.code)
			continue;
		model_correct(model, expected[i].revision, answers[i].result.revision);
		if (answers[i].result.revision > model->revision)
			model->revision = answers[i].result.revision;
	}
}

static void model_burst(struct model *model)
{
	struct store_result expected[MODEL_BURST];
	struct store_answer answers[MODEL_BURST];
	size_t count = 1 + model_pick(model, MODEL_BURST);
	uint64_t before = model->revision;

	if (model->fixture->subject->is_shared)
		model->revision += guesses;
	for (size_t i = 0; i < count; i++)
		store_fixture_submit(model->fixture, model_txn(model, &expected[i]), &answers[i]);
	for (size_t i = 0; i < count; i++) {
		store_fixture_wait(model->fixture, &answers[i]);
		assert_int_equal(answers[i].result.err.code, expected[i].err.code);
		assert_int_equal(answers[i].result.failed_guard, expected[i].failed_guard);
		if (!expected[i].err.code && !model->fixture->subject->is_shared)
			assert_int_equal(answers[i].result.revision, expected[i].revision);
	}
	if (model->fixture->subject->is_shared)
		model_correct_burst(model, before, expected, answers, count);
}

static void model_revoke(struct model *model)
{
	uint64_t *lease = &model->leases[model_pick(model, MODEL_LEASES)];
	struct err err = { 0 };
	bool has_changed = false;

	if (model->fixture->subject->is_shared)
		model->revision += guesses;
	assert_int_equal(store_lease_revoke(model->fixture->store, *lease, &err), 0);
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		if (!model->keys[i].is_present || model->keys[i].lease != *lease)
			continue;
		model_delete(model, i, model->revision + 1);
		has_changed = true;
	}
	model->revision += has_changed;
	*lease = store_fixture_grant(model->fixture, 1000000 * model->fixture->subject->lease_ms);
}

static void model_restart(struct model *model)
{
	if (!model->fixture->subject->is_persistent)
		return;
	store_fixture_reopen(model->fixture);
	store_fixture_watch(model->fixture, model->revision);
}

static void assert_kv_equal(const struct store_kv *a, const struct store_kv *b)
{
	assert_string_equal(a->key, b->key);
	assert_int_equal(a->mod_revision, b->mod_revision);
	assert_int_equal(a->create_revision, b->create_revision);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->lease, b->lease);
	assert_int_equal(a->value_size, b->value_size);
	if (a->value && b->value)
		assert_memory_equal(a->value, b->value, a->value_size + 1);
	else
		assert_true(!a->value && !b->value);
}

static void model_compare_events(struct model *model)
{
	struct store_fixture *fixture = model->fixture;
	size_t last = model->expected.items.count - 1;

	/* The events of a revoked lease have no answer to wait for. */
	while (fixture->seen.items.count < model->expected.items.count)
		loop_step(fixture->loop, -1);
	assert_int_equal(fixture->seen.items.count, model->expected.items.count);
	if (fixture->subject->is_shared && model->revision > guesses) {	/* A lease was revoked: there was no answer. */
		uint64_t revision = last == SIZE_MAX ? model->revision - guesses : fixture->seen.items.items[last].kv.mod_revision;

		model_correct(model, model->revision, revision);
		model->revision = revision;
	}
	for (size_t i = 0; i < model->expected.items.count; i++) {
		assert_int_equal(fixture->seen.items.items[i].is_delete, model->expected.items.items[i].is_delete);
		assert_kv_equal(&fixture->seen.items.items[i].kv, &model->expected.items.items[i].kv);
	}
	store_events_done(&fixture->seen);
	store_events_done(&model->expected);
}

/* The names above are in byte order, and so must be the answer. */
static void model_compare_range(struct model *model)
{
	static const char *const prefixes[] = { "", "a", "a/", "b", "b/1", "c/", "nothing", "z" };
	const char *prefix = prefixes[model_pick(model, ARRAY_COUNT(prefixes))];
	struct store_listing listing;
	uint64_t revision = store_fixture_list(model->fixture, prefix, &listing);
	size_t found = 0;

	assert_true(revision == model->revision || (model->fixture->subject->is_shared && revision > model->revision));
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		const struct model_key *key = &model->keys[i];
		char value[16];

		if (!key->is_present || !text_starts_with(model_key_name(i), prefix))
			continue;
		assert_true(found < listing.items.count);
		snprintf(value, sizeof(value), "%u", key->value);
		assert_kv_equal(&listing.items.items[found++], &(struct store_kv){
			.key = (char *)model_key_name(i), .value = value, .value_size = strlen(value),
			.create_revision = key->create_revision, .mod_revision = key->mod_revision,
			.version = key->version, .lease = key->lease,
		});
	}
	assert_int_equal(found, listing.items.count);
	store_listing_done(&listing);
}

void store_model_test(void **state)
{
	struct store_fixture *fixture = *state;
	struct model model = { .fixture = fixture, .revision = store_revision(fixture->store) };

	rng_init(&model.rng, 20261123);
	for (size_t i = 0; i < MODEL_LEASES; i++)
		model.leases[i] = store_fixture_grant(fixture, 1000000 * fixture->subject->lease_ms);
	for (unsigned step = 0; step < fixture->subject->random_steps; step++) {
		size_t choice = model_pick(&model, 100);

		if (choice < 5)
			model_revoke(&model);
		else
			model_burst(&model);
		model_compare_events(&model);
		if (choice < 30)
			model_compare_range(&model);
		if (choice == 99)
			model_restart(&model);
	}
}
