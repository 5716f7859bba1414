/*
 * store_fixture.h - what the tests of the store port share: a world with an open store, and short
 * ways to ask it. Functions fail the running cmocka test when the store does.
 */
#ifndef PORT_STORE_FIXTURE_H
#define PORT_STORE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "port/store.h"
#include "port/store_conformance.h"

/* One test's world. */
struct store_fixture {
	const struct store_conformance *subject;
	struct loop *loop;
	struct store *store;
	struct store_driver *shared;	/* Of subject->share, or null. */
	struct store_events seen;	/* All that was told to the watch on everything. */
};

struct store_answer {
	struct store_fixture *fixture;
	struct store_result result;
	uint64_t seen_revision;		/* The newest event told before the answer. */
	bool is_done;
};

struct store_listing { VEC(struct store_kv) items; };

/* For cmocka: '*state' is the subject, then the fixture, whose store is open and watched. */
int store_fixture_setup(void **state);
int store_fixture_teardown(void **state);

void store_fixture_open(struct store_fixture *fixture);
void store_fixture_reopen(struct store_fixture *fixture);
void store_fixture_watch(struct store_fixture *fixture, uint64_t after_revision);

struct store_txn *store_fixture_txn_put(const char *key, const char *value, uint64_t lease);
struct store_txn *store_fixture_txn_delete(const char *key);

/* Takes 'txn'; 'answer' is filled in by the loop. */
void store_fixture_submit(struct store_fixture *fixture, struct store_txn *txn, struct store_answer *answer);
void store_fixture_wait(struct store_fixture *fixture, const struct store_answer *answer);
/* Both in one. */
struct store_result store_fixture_run(struct store_fixture *fixture, struct store_txn *txn);
/* Returns the revision. */
uint64_t store_fixture_put(struct store_fixture *fixture, const char *key, const char *value, uint64_t lease);
/* 'revision' is that of the 'count'th change after 'before'; of a shared store just one that is later. */
void store_fixture_assert_later(const struct store_fixture *fixture, uint64_t revision, uint64_t before, uint64_t count);
uint64_t store_fixture_grant(struct store_fixture *fixture, uint64_t ttl_ms);

/* Returns the revision of the answer. */
uint64_t store_fixture_list(struct store_fixture *fixture, const char *prefix, struct store_listing *listing);
void store_listing_done(struct store_listing *listing);

/* The keys with this prefix are "a=1 b=2". */
void store_fixture_assert_content(struct store_fixture *fixture, const char *prefix, const char *expected);
/* All events seen so far are "a=1 -b", oldest first; then forgets them. */
void store_fixture_assert_seen(struct store_fixture *fixture, const char *expected);

#endif
