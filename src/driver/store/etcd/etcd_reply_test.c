/* What etcd's answers mean: answers of etcd 3.4.23 and 3.5.16 as they were recorded, and what is no answer at all. */
#include "driver/store/etcd/reply.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static const struct { const char *text; long status; int code; const char *words; } errors[] = {
	{ "{\"error\":\"etcdserver: mvcc: database space exceeded\",\"message\":\"etcdserver: mvcc: database space exceeded\",\"code\":8}", 429,
	  -ENOSPC, "defrag" },
	{ "{\"code\":8, \"message\":\"etcdserver: mvcc: database space exceeded\"}", 429,
	  -ENOSPC, "defrag" },
	{ "{\"error\":\"etcdserver: request is too large\",\"message\":\"etcdserver: request is too large\",\"code\":3}", 400,
	  -E2BIG, "--max-request-bytes" },
	{ "{\"code\":3, \"message\":\"etcdserver: request is too large\"}", 400,
	  -E2BIG, "--max-request-bytes" },
	{ "{\"error\":\"etcdserver: too many operations in txn request\",\"message\":\"etcdserver: too many operations in txn request\",\"code\":3}", 400,
	  -E2BIG, "--max-txn-ops" },
	{ "{\"code\":3, \"message\":\"etcdserver: too many operations in txn request\"}", 400,
	  -E2BIG, "--max-txn-ops" },
	{ "{\"error\":\"etcdserver: user name is empty\",\"message\":\"etcdserver: user name is empty\",\"code\":3}", 400,
	  -EACCES, "users" },
	{ "{\"code\":3, \"message\":\"etcdserver: user name is empty\"}", 400,
	  -EACCES, "users" },
	{ "{\"error\":\"etcdserver: permission denied\",\"message\":\"etcdserver: permission denied\",\"code\":7}", 403,
	  -EACCES, "permission denied" },
	{ "{\"code\":7, \"message\":\"etcdserver: permission denied\"}", 403,
	  -EACCES, "permission denied" },
	{ "{\"error\":\"etcdserver: invalid auth token\",\"message\":\"etcdserver: invalid auth token\",\"code\":16}", 401,
	  -EACCES, "invalid auth token" },
	{ "{\"code\":16, \"message\":\"etcdserver: invalid auth token\"}", 401,
	  -EACCES, "invalid auth token" },
	{ "{\"error\":\"etcdserver: requested lease not found\",\"message\":\"etcdserver: requested lease not found\",\"code\":5}", 404,
	  -ENOENT, "lease not found" },
	{ "{\"code\":5, \"message\":\"etcdserver: requested lease not found\"}", 404,
	  -ENOENT, "lease not found" },
	{ "{\"error\":\"etcdserver: lease already exists\",\"message\":\"etcdserver: lease already exists\",\"code\":9}", 412,
	  -EEXIST, "already exists" },
	{ "{\"code\":9, \"message\":\"etcdserver: lease already exists\"}", 400,
	  -EEXIST, "already exists" },
	{ "{\"error\":\"etcdserver: mvcc: required revision has been compacted\","
	  "\"message\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}", 400,
	  -ERANGE, "compacted" },
	{ "{\"code\":11, \"message\":\"etcdserver: mvcc: required revision has been compacted\"}", 400,
	  -ERANGE, "compacted" },
	{ "{\"error\":\"etcdserver: mvcc: required revision is a future revision\","
	  "\"message\":\"etcdserver: mvcc: required revision is a future revision\",\"code\":11}", 400,
	  -EINVAL, "future" },
	{ "{\"code\":11, \"message\":\"etcdserver: mvcc: required revision is a future revision\"}", 400,
	  -EINVAL, "future" },
	{ "{\"error\":\"invalid character 'b' looking for beginning of object key string\","
	  "\"message\":\"invalid character 'b' looking for beginning of object key string\",\"code\":3}", 400,
	  -EINVAL, "invalid character" },
	{ "{\"code\":3, \"message\":\"invalid character 'b' looking for beginning of object key string\"}", 400,
	  -EINVAL, "invalid character" },
	{ "Not Found", 404,
	  -EPROTO, "JSON gateway" },
	{ "{\"code\":5, \"message\":\"Not Found\"}", 404,
	  -EPROTO, "JSON gateway" },
	/* While a leader is elected, and of those who are not etcd. */
	{ "{\"error\":\"etcdserver: leader changed\",\"message\":\"etcdserver: leader changed\",\"code\":14}", 503, -EAGAIN, "leader changed" },
	{ "{\"code\":14, \"message\":\"etcdserver: no leader\"}", 503, -EAGAIN, "no leader" },
	{ "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\","
	  "\"http_status\":\"Service Unavailable\"}}", 200, -EAGAIN, "no leader" },
	{ "{\"code\":8, \"message\":\"etcdserver: too many requests\"}", 429, -EAGAIN, "too many requests" },
	{ "{\"code\":15, \"message\":\"etcdserver: corrupt cluster\"}", 500, -EUCLEAN, "snapshot" },
	{ "{\"code\":77, \"message\":\"unheard of\"}", 500, -EIO, "unheard of" },
	{ "<html>Bad Gateway</html>", 502, -EAGAIN, "502" },
	{ "<html>Hello</html>", 200, -EPROTO, "no answer of etcd" },
	{ "{}", 500, -EPROTO, "500" },
	{ "[]", 200, -EPROTO, "200" },
	{ "", 200, -EPROTO, "no answer of etcd" },
};

static void test_errors_become_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
		struct json *json = NULL;
		struct err err = { 0 };

		assert_int_equal(etcd_reply_parse(errors[i].text, strlen(errors[i].text), errors[i].status, &json, &err), errors[i].code);
		assert_null(json);
		if (!strstr(err.msg, errors[i].words))
			fail_msg("'%s' is not in '%s'", errors[i].words, err.msg);
	}
}

/*
 * Three transactions: one is made, a guard of the next fails, the last deletes what is absent. The first
 * member of "responses" is the writer's key.
 */
static const char *const commits[] = {
	"{\"header\":{\"cluster_id\":\"14443903163313418560\",\"member_id\":\"11417610130673999598\",\"revision\":\"2\""
	",\"raft_term\":\"2\"},\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{\"revision\":\"2\"}}},{"
	"\"response_txn\":{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{\"revision\":"
	"\"2\"}}}]}},{\"response_txn\":{\"header\":{}}},{\"response_txn\":{\"header\":{},\"succeeded\":true,\"responses"
	"\":[{\"response_delete_range\":{\"header\":{\"revision\":\"2\"}}}]}}]}",
	"{\"header\":{\"cluster_id\":\"11420056713333806591\", \"member_id\":\"7445599390133392379\", \"revision\":\"2\""
	", \"raft_term\":\"2\"}, \"succeeded\":true, \"responses\":[{\"response_put\":{\"header\":{\"revision\":\"2\"}}"
	"}, {\"response_txn\":{\"header\":{}, \"succeeded\":true, \"responses\":[{\"response_put\":{\"header\":{\"revis"
	"ion\":\"2\"}}}]}}, {\"response_txn\":{\"header\":{}}}, {\"response_txn\":{\"header\":{}, \"succeeded\":true, \""
	"responses\":[{\"response_delete_range\":{\"header\":{\"revision\":\"2\"}}}]}}]}",
};

static void test_each_transaction_has_its_result(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(commits); i++) {
		auto_json struct json *json = NULL;
		struct store_txn *txns[3] = { store_txn_new(), store_txn_new(), store_txn_new() };
		struct store_result results[3];
		bool is_refused[3];
		struct err err = { 0 };
		size_t at = 1;

		store_txn_guard(txns[0], STORE_ABSENT, "a", 0);
		store_txn_put(txns[0], "a", "1", 1, 0);
		store_txn_guard(txns[1], STORE_EXISTS, "a", 0);
		store_txn_guard(txns[1], STORE_EXISTS, "b", 0);
		store_txn_put(txns[1], "b", "1", 1, 0);
		store_txn_guard(txns[2], STORE_ABSENT, "c", 0);
		store_txn_delete(txns[2], "b");
		assert_int_equal(etcd_reply_parse(commits[i], strlen(commits[i]), 200, &json, &err), 0);
		assert_int_equal(etcd_reply_number(json, "header.revision"), 2);
		for (size_t k = 0; k < 3; k++) {
			assert_int_equal(etcd_reply_txn(json_get(json, "responses"), &at, txns[k], 2, &results[k], &is_refused[k], &err), 0);
			store_txn_free(txns[k]);
		}
		assert_int_equal(at, 4);
		assert_false(is_refused[0]);
		assert_int_equal(results[0].revision, 2);
		assert_true(is_refused[1]);
		assert_false(is_refused[2]);
		assert_int_equal(results[2].revision, 1);
	}
}

static void test_an_answer_without_its_parts_is_refused(void **state)
{
	auto_json struct json *json = NULL;
	struct store_txn *txn = store_txn_new(), *plain = store_txn_new();
	struct store_result result;
	struct err err = { 0 };
	size_t at = 0;
	static const char text[] = "[{\"response_put\":{}}]";
	bool is_refused;

	(void)state;
	store_txn_guard(txn, STORE_ABSENT, "a", 0);
	store_txn_put(plain, "a", "1", 1, 0);
	store_txn_put(plain, "b", "1", 1, 0);
	assert_int_equal(json_parse(text, strlen(text), &json, &err), 0);
	assert_int_equal(etcd_reply_txn(json, &at, plain, 2, &result, &is_refused, &err), -EPROTO);
	assert_int_equal(etcd_reply_txn(json, &at, txn, 0, &result, &is_refused, &err), -EPROTO);
	assert_int_equal(etcd_reply_txn(NULL, &at, txn, 2, &result, &is_refused, &err), -EPROTO);
	assert_int_equal(at, 0);
	assert_int_equal(etcd_reply_txn(json, &at, txn, 2, &result, &is_refused, &err), -EPROTO);
	store_txn_free(txn);
	store_txn_free(plain);
}

static const char range_text[] =
	"{\"header\":{\"cluster_id\":\"11420056713333806591\", \"member_id\":\"7445599390133392379\", \"revision\":\"2\""
	", \"raft_term\":\"2\"}, \"kvs\":[{\"key\":\"L3MvZGF0YS9h\", \"create_revision\":\"2\", \"mod_revision\":\"2\","
	" \"version\":\"1\", \"value\":\"MQ==\"}], \"more\":true, \"count\":\"2\"}";

static void test_keys_of_others_are_left_out(void **state)
{
	auto_json struct json *json = NULL;
	const struct json *kv;
	struct store_kv read = { 0 };
	struct err err = { 0 };
	bool is_ours;

	(void)state;
	assert_int_equal(etcd_reply_parse(range_text, strlen(range_text), 200, &json, &err), 0);
	kv = json_at(json_get(json, "kvs"), 0);
	assert_int_equal(etcd_reply_kv(kv, "/s/data/", &read, &is_ours, &err), 0);
	assert_true(is_ours);
	assert_string_equal(read.key, "a");
	assert_string_equal(read.value, "1");
	assert_int_equal(read.version, 1);
	assert_int_equal(read.create_revision, 2);
	store_kv_done(&read);
	assert_int_equal(etcd_reply_kv(kv, "/other/data/", &read, &is_ours, &err), 0);
	assert_false(is_ours);
}

static int parse_watch(const char *text, struct watch_message *message, struct err *err)
{
	return etcd_watch_message_parse(text, strlen(text), "/s/data/", message, err);
}

static void test_messages_of_a_watch(void **state)
{
	static const char created[] =
	"{\"result\":{\"header\":{\"cluster_id\":\"9151734699010623715\",\"member_id\":\"3153101805118352275\",\"revisi"
	"on\":\"4\",\"raft_term\":\"2\"},\"created\":true}}";
	static const char events[] =
	"{\"result\":{\"header\":{\"cluster_id\":\"9151734699010623715\",\"member_id\":\"3153101805118352275\",\"revisi"
	"on\":\"4\",\"raft_term\":\"2\"},\"events\":[{\"kv\":{\"key\":\"L3MvZGF0YS9h\",\"create_revision\":\"2\",\"mod_"
	"revision\":\"3\",\"version\":\"2\",\"value\":\"Mg==\"}},{\"type\":\"DELETE\",\"kv\":{\"key\":\"L3MvZGF0YS9h\","
	"\"mod_revision\":\"4\"}}]}}";
	static const char compacted[] =
	"{\"result\":{\"header\":{\"cluster_id\":\"9151734699010623715\",\"member_id\":\"3153101805118352275\",\"raft_t"
	"erm\":\"2\"},\"canceled\":true,\"compact_revision\":\"3\"}}";
	static const char denied[] =
	"{\"result\":{\"header\":{\"cluster_id\":\"11420056713333806591\",\"member_id\":\"7445599390133392379\",\"revis"
	"ion\":\"9\",\"raft_term\":\"2\"},\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,\"cancel_reason\":\"rp"
	"c error: code = PermissionDenied desc = etcdserver: permission denied\"}}";
	static const char progress[] = "{\"result\":{\"header\":{\"cluster_id\":\"7\",\"revision\":\"40\"}}}";
	static const char backwards[] = "{\"result\":{\"events\":[{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"3\"}},"
					"{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"2\"}}]}}";
	struct watch_message message = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(parse_watch(created, &message, &err), 0);
	assert_int_equal(message.idle_revision, 0);
	assert_int_equal(parse_watch(events, &message, &err), 0);
	assert_int_equal(message.last_revision, 4);
	assert_int_equal(message.events.items.count, 2);
	assert_string_equal(message.events.items.items[0].kv.value, "2");
	assert_true(message.events.items.items[1].is_delete);
	assert_null(message.events.items.items[1].kv.value);
	store_events_done(&message.events);

	message = (struct watch_message){ 0 };
	assert_int_equal(parse_watch(compacted, &message, &err), 0);
	assert_true(message.is_canceled);
	assert_int_equal(message.compact_revision, 3);
	assert_int_equal(parse_watch(denied, &message, &err), -EAGAIN);
	assert_non_null(strstr(err.msg, "PermissionDenied"));
	assert_int_equal(parse_watch(progress, &message, &err), 0);
	assert_int_equal(message.idle_revision, 40);
	assert_int_equal(parse_watch(backwards, &message, &err), -EPROTO);
	store_events_done(&message.events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors_become_ours),
		cmocka_unit_test(test_each_transaction_has_its_result),
		cmocka_unit_test(test_an_answer_without_its_parts_is_refused),
		cmocka_unit_test(test_keys_of_others_are_left_out),
		cmocka_unit_test(test_messages_of_a_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
