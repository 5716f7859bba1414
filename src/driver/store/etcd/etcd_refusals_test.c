/* TLS with certificates on both sides; another cluster; a full one; one that was set back. Each needs an etcd of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "driver/store/etcd/etcd_fixture.h"
#include "port/store_fixture.h"

/* Words separated by blanks. */
static void run_openssl(const char *folder, const char *command)
{
	auto_free char *words = text_copy(command);
	VEC(const char *) argv = { 0 };
	char *rest = words;
	struct err err = { 0 };

	for (char *word; (word = strsep(&rest, " "));)
		*vec_push(&argv) = word;
	*vec_push(&argv) = NULL;
	if (spawn_run(&(struct spawn_params){ .argv = argv.items, .directory = folder }, NULL, &err) < 0)
		fail_msg("%s: %s", command, err.msg);
	vec_done(&argv);
}

/* ca, server, client and a stranger: NAME.pem and NAME.key. */
static char *make_certificates(void)
{
	static const char extensions[] = "subjectAltName=IP:127.0.0.1\n";
	const char *tmp = getenv("TMPDIR");
	char *folder = text_format("%s/strata-etcd-tls-XXXXXX", tmp ? tmp : "/tmp");
	auto_free char *path = NULL;
	struct err err;

	assert_non_null(mkdtemp(folder));
	path = text_format("%s/extensions", folder);
	assert_int_equal(file_write_atomic(path, extensions, strlen(extensions), 0600, &err), 0);
	run_openssl(folder, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem");
	run_openssl(folder, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout stranger.key -out stranger.pem");
	for (int i = 0; i < 2; i++) {
		auto_free char *request = text_format("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%1$s -keyout %1$s.key "
						      "-out %1$s.csr", i ? "client" : "server");
		auto_free char *sign = text_format("openssl x509 -req -in %1$s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
						   "-extfile extensions -out %1$s.pem", i ? "client" : "server");

		run_openssl(folder, request);
		run_openssl(folder, sign);
	}
	return folder;
}

static int try_open(const struct store_etcd_params *params, struct err *err)
{
	struct loop *loop;
	struct store *store;
	int r;

	assert_int_equal(loop_new(LOOP_CLOCK_REAL, 0, &loop, err), 0);
	r = store_open(&store_etcd, &(struct store_params){ .etcd = params }, loop, &store, err);
	if (r == 0)
		store_close(store);
	loop_free(loop);
	return r;
}

static void test_certificates_on_both_sides(void **state)
{
	auto_free char *folder = make_certificates();
	auto_free char *ca = text_format("%s/ca.pem", folder), *server = text_format("%s/server.pem", folder);
	auto_free char *server_key = text_format("%s/server.key", folder), *client = text_format("%s/client.pem", folder);
	auto_free char *client_key = text_format("%s/client.key", folder), *stranger = text_format("%s/stranger.pem", folder);
	const char *const options[] = { "--cert-file", server, "--key-file", server_key, "--trusted-ca-file", ca, "--client-cert-auth", NULL };
	struct etcd_cluster cluster;
	struct store_etcd_params params;
	struct err err = { 0 };

	(void)state;
	etcd_cluster_start(&cluster, &(struct etcd_cluster_params){ .count = 1, .has_tls = true, .options = options });
	params = cluster.params;
	params.ca = ca;
	params.certificate = client;
	params.key = client_key;
	if (try_open(&params, &err) < 0)
		fail_msg("%s", err.msg);

	params.ca = stranger;
	assert_int_equal(try_open(&params, &err), -EACCES);
	assert_non_null(strstr(err.msg, "check CA, certificate and key"));
	params.ca = ca;
	params.timeout_ms = 100;
	params.certificate = params.key = NULL;
	assert_true(try_open(&params, &err) < 0);
	assert_non_null(strstr(err.msg, cluster.endpoints[0]));

	params.certificate = client;
	assert_int_equal(try_open(&params, &err), -EINVAL);
	params.certificate = "/nonexistent";
	assert_int_equal(try_open(&params, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "'/nonexistent'"));
	etcd_cluster_stop(&cluster);
	file_remove_tree(folder, &err);
}

static void test_a_member_of_another_cluster_is_refused(void **state)
{
	struct etcd_cluster ours, theirs;
	const char *endpoints[2];
	struct store_conformance subject;
	struct store_fixture *fixture;
	void *data = &subject;
	struct store_result result;
	struct err err = { 0 };

	(void)state;
	etcd_cluster_start(&ours, &(struct etcd_cluster_params){ .count = 1 });
	etcd_cluster_start(&theirs, &(struct etcd_cluster_params){ .count = 1 });
	assert_int_equal(try_open(&theirs.params, &err), 0);
	endpoints[0] = ours.endpoints[0];
	endpoints[1] = theirs.endpoints[0];
	ours.params.endpoints = endpoints;
	ours.params.endpoint_count = 2;
	ours.params.timeout_ms = 200;
	subject = (struct store_conformance){ .ops = &store_etcd, .etcd = &ours.params, .clock = LOOP_CLOCK_REAL };
	assert_int_equal(store_fixture_setup(&data), 0);
	fixture = data;
	store_fixture_put(fixture, "k", "1", 0);
	etcd_member_kill(&ours, 0);
	result = store_fixture_run(fixture, store_fixture_txn_put("k", "2", 0));
	assert_true(result.err.code < 0);
	assert_non_null(strstr(result.err.msg, "cluster"));
	etcd_member_start(&ours, 0);
	while (store_fixture_run(fixture, store_fixture_txn_put("k", "3", 0)).err.code)
		;
	store_fixture_assert_content(fixture, "", "k=3");
	store_fixture_teardown(&data);
	etcd_cluster_stop(&ours);
	etcd_cluster_stop(&theirs);
}

static void test_a_full_etcd_says_how_to_help(void **state)
{
	enum { SIZE = 1 << 20 };
	static const char *const options[] = { "--quota-backend-bytes", "6000000", NULL };
	auto_free char *value = alloc(SIZE);
	struct etcd_cluster cluster;
	struct store_conformance subject;
	struct store_result result;
	struct store_fixture *fixture;
	void *data = &subject;

	(void)state;
	etcd_cluster_start(&cluster, &(struct etcd_cluster_params){ .count = 1, .options = options });
	subject = (struct store_conformance){ .ops = &store_etcd, .etcd = &cluster.params, .clock = LOOP_CLOCK_REAL };
	assert_int_equal(store_fixture_setup(&data), 0);
	fixture = data;
	for (int i = 0; i < 20; i++) {
		struct store_txn *txn = store_txn_new();

		store_txn_put(txn, "k", value, SIZE, 0);
		result = store_fixture_run(fixture, txn);
		if (result.err.code)
			break;
	}
	assert_int_equal(result.err.code, -ENOSPC);
	assert_non_null(strstr(result.err.msg, "--quota-backend-bytes"));
	store_fixture_teardown(&data);
	etcd_cluster_stop(&cluster);
}

static void run_cp(const char *from, const char *to)
{
	struct err err = { 0 };

	if (spawn_run(&(struct spawn_params){ .argv = (const char *const[]){ "cp", "-a", from, to, NULL } }, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_an_etcd_that_was_set_back_is_noticed(void **state)
{
	struct etcd_cluster cluster;
	struct store_conformance subject;
	struct store_fixture *fixture;
	void *data = &subject;
	auto_free char *folder = NULL, *copy = NULL;
	struct store_result result;
	struct err err = { 0 };

	(void)state;
	etcd_cluster_start(&cluster, &(struct etcd_cluster_params){ .count = 1 });
	folder = text_format("%s/m0", cluster.folder);
	copy = text_format("%s/copy", cluster.folder);
	subject = (struct store_conformance){ .ops = &store_etcd, .etcd = &cluster.params, .clock = LOOP_CLOCK_REAL };
	assert_int_equal(store_fixture_setup(&data), 0);
	fixture = data;
	store_fixture_put(fixture, "k", "1", 0);
	etcd_member_kill(&cluster, 0);
	run_cp(folder, copy);
	etcd_member_start(&cluster, 0);
	for (int i = 0; i < 10; i++)
		store_fixture_put(fixture, "k", "2", 0);

	etcd_member_kill(&cluster, 0);
	assert_int_equal(file_remove_tree(folder, &err), 0);
	run_cp(copy, folder);
	etcd_member_start(&cluster, 0);
	result = store_fixture_run(fixture, store_fixture_txn_put("k", "3", 0));
	assert_int_equal(result.err.code, -EUCLEAN);
	assert_non_null(strstr(result.err.msg, "set back"));
	store_fixture_reopen(fixture);
	store_fixture_assert_content(fixture, "", "k=1");
	store_fixture_teardown(&data);
	etcd_cluster_stop(&cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificates_on_both_sides),
		cmocka_unit_test(test_a_member_of_another_cluster_is_refused),
		cmocka_unit_test(test_a_full_etcd_says_how_to_help),
		cmocka_unit_test(test_an_etcd_that_was_set_back_is_noticed),
	};

	etcd_require();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
