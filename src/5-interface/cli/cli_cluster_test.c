/* Commands of a cluster, against a scripted daemon. */
#include <fcntl.h>

#include "5-interface/cli/fake_call.h"
#include "base/file.h"

#define STATUS(state, more) "{\"state\":\"" state "\",\"node\":\"a\",\"nodes\":1" more "}"
#define SHOW(state, more) { .expect = "GET /v1/cluster ", .reply = OK(STATUS(state, more)) }
#define TOKEN "{\"id\":\"4f1c\",\"token\":\"AbCd\",\"created_at\":\"2026-11-30T12:00:00.000Z\",\"expires_at\":\"2026-11-30T12:10:00.000Z\"}"
#define NODE(state) "{\"kind\":\"node\",\"meta\":{\"name\":\"a\",\"revision\":3},\"spec\":{},\"status\":{\"state\":\"" state "\"}}"

static void test_init_waits_for_the_daemon_to_come_back(void **state)
{
	const struct fake_step steps[] = {
		{ .expect = "POST /v1/cluster/init ", .reply = FAKE_CLOSE("202 Accepted", STATUS("moving", "")) },
		SHOW("moving", ",\"step\":\"starting etcd\""),
		{ .expect = "GET /v1/cluster ", .reply = "" },		/* It begins anew. */
		SHOW("moving", ",\"step\":\"moving the store into etcd\""),
		SHOW("ready", ""),
	};

	(void)state;
	CHECK(steps, "cluster init --address 192.0.2.1", 0, "", "strata cluster token");
}

static void test_init_says_what_went_wrong(void **state)
{
	const struct fake_step steps[] = {
		{ .expect = "{\"address\":\"192.0.2.1\",\"etcd\":{\"endpoints\":[\"https://a:1\",\"https://b:2\"]}}",
		  .reply = FAKE_CLOSE("202 Accepted", STATUS("moving", "")) },
		SHOW("single", ",\"error\":\"no etcd answers\""),
	};
	const struct fake_step killed[] = {
		{ .expect = "POST /v1/cluster/init ", .reply = FAKE_CLOSE("202 Accepted", STATUS("moving", "")) },
		SHOW("single", ""),
	};
	const struct fake_step refused[] = { { .expect = "POST /v1/cluster/init ", .reply = CONFLICT } };

	(void)state;
	CHECK(steps, "cluster init --address 192.0.2.1 --etcd https://a:1,https://b:2", 1, "", "no etcd answers");
	CHECK(killed, "cluster init", 1, "", "say it again");
	CHECK(refused, "cluster init", 1, "", "it is there already");
}

static void test_a_file_that_is_not_there(void **state)
{
	(void)state;
	check(NULL, 0, "cluster init --etcd https://a:1 --etcd-ca /nonexistent/ca", 1, "", "--etcd-ca '/nonexistent/ca'");
}

static void test_join_waits_until_the_others_see_it(void **state)
{
	const struct fake_step steps[] = {
		{ .expect = "{\"token\":\"AbCd\",\"name\":\"b\"}", .reply = FAKE_CLOSE("202 Accepted", STATUS("moving", "")) },
		SHOW("ready", ""),
		{ .expect = "GET /v1/node", .reply = OK(NODE("joining")) },
		{ .expect = "GET /v1/node?after=3", .reply = OK(NODE("ready")) },
	};

	(void)state;
	CHECK(steps, "cluster join AbCd --name b", 0, "", "strata node ls");
}

static void test_tokens(void **state)
{
	const struct fake_step made[] = { { .expect = "{\"ttl\":\"10m\"}", .reply = CREATED(TOKEN) } };
	const struct fake_step list[] = { { .expect = "GET /v1/cluster/tokens ", .reply = OK("[" TOKEN "]") } };
	const struct fake_step revoked[] = { { .expect = "DELETE /v1/cluster/tokens/4f1c ", .reply = OK("{}") } };

	(void)state;
	CHECK(made, "cluster token --ttl 10m", 0, "AbCd\n", "for 10m");
	CHECK(list, "cluster token ls -o name", 0, "4f1c\n", NULL);
	CHECK(revoked, "cluster token revoke 4f1c", 0, "", NULL);
}

static void test_show(void **state)
{
	const struct fake_step steps[] = { SHOW("ready", ",\"members\":[{\"node\":\"a\",\"endpoint\":\"https://a:1\",\"state\":\"silent\"}]") };

	(void)state;
	CHECK(steps, "cluster show", 0, "state    ready\nnode     a\nnodes    1\nmembers  node a, endpoint https://a:1, state silent\n", NULL);
}

static void test_import_ends_where_it_began(void **state)
{
	const struct fake_step steps[] = {
		SHOW("single", ""),
		{ .expect = "POST /v1/uploads ", .reply = CREATED("{\"id\":\"up1\",\"size\":4,\"sha256\":\"x\"}") },
		{ .expect = "{\"upload\":\"up1\"}", .reply = FAKE_CLOSE("202 Accepted", STATUS("moving", "")) },
		SHOW("single", ""),
	};

	(void)state;
	CHECK(steps, "cluster import /etc/hostname", 0, "", "");
}

static void test_an_export_overwrites_nothing(void **state)
{
	(void)state;
	check(NULL, 0, "cluster export /etc/hostname", 1, "", "exists already");
}

static void test_a_restored_store_is_accepted(void **state)
{
	const struct fake_step steps[] = { { .expect = "POST /v1/cluster/accept-restored ", .reply = OK("{}") } };
	const struct fake_step refused[] = { { .expect = "POST /v1/cluster/accept-restored ", .reply = CONFLICT } };

	(void)state;
	CHECK(steps, "cluster accept-restored", 0, "", "starts the next time");
	CHECK(refused, "cluster accept-restored", 1, "", "it is there already");
}

static void test_leave_and_remove(void **state)
{
	const struct fake_step leave[] = {
		{ .expect = "POST /v1/cluster/leave ", .reply = FAKE_CLOSE("202 Accepted", STATUS("moving", "")) },
		SHOW("single", ""),
	};
	const struct fake_step removed[] = {
		{ .expect = "DELETE /v1/nodes/c?force=true ", .reply = ACCEPTED },
		{ .expect = "GET /v1/nodes/c", .reply = NOT_FOUND },
	};

	(void)state;
	CHECK(leave, "cluster leave", 0, "", "by itself");
	CHECK(removed, "node remove c --force", 0, "", NULL);
}

static void test_forget_needs_a_folder(void **state)
{
	(void)state;
	check(NULL, 0, "cluster forget", 2, "", "--state is missing");
}

#define LOST(ha, revision) "{\"kind\":\"instance\",\"meta\":{\"name\":\"web\",\"revision\":" revision "},\"spec\":{\"kind\":\"vm\",\"ha\":\"" ha "\"," \
	"\"power\":\"stopped\"},\"status\":{\"state\":\"running\",\"lost\":\"its node 'b' is fenced\"}}"
#define LOST_VOLUME "{\"kind\":\"volume\",\"meta\":{\"name\":\"data\",\"revision\":7},\"spec\":{}," \
	"\"status\":{\"state\":\"deleting\",\"lost\":\"its node 'b' is fenced\"}}"
#define STOPPED "{\"kind\":\"instance\",\"meta\":{\"name\":\"web\",\"revision\":9},\"spec\":{\"kind\":\"vm\"},\"status\":{\"state\":\"stopped\"}}"

/* What a lost node has is not waited for, unless one asks for just that, or another node takes it over. */
static void test_an_instance_of_a_lost_node(void **state)
{
	const struct fake_step steps[] = {
		{ .expect = "POST /v1/instances/web/stop", .reply = OK(LOST("none", "7")) },
		{ .expect = "GET /v1/instances/web ", .reply = OK(LOST("none", "7")) },
		{ .expect = "GET /v1/instances/web?after=7", .reply = OK(LOST("none", "8")) },
		{ .expect = "GET /v1/instances/web?after=8", .reply = OK(LOST("none", "8")) },
	};
	const struct fake_step is_taken_over[] = {
		{ .expect = "POST /v1/instances/web/stop", .reply = OK(LOST("restart", "7")) },
		{ .expect = "GET", .reply = OK(LOST("restart", "7")) },
		{ .expect = "GET", .reply = OK(LOST("restart", "7")) },
		{ .expect = "GET", .reply = OK(STOPPED) },
	};
	const struct fake_step comes_back[] = {
		{ .expect = "GET", .reply = OK(LOST("none", "7")) },
		{ .expect = "GET", .reply = OK(LOST("none", "7")) },
		{ .expect = "GET", .reply = OK(LOST("none", "7")) },
		{ .expect = "GET", .reply = OK(STOPPED) },
	};

	const struct fake_step volume[] = {
		{ .expect = "DELETE /v1/volumes/data ", .reply = FAKE_CLOSE("202 Accepted", "{}") },
		{ .expect = "GET /v1/volumes/data ", .reply = OK(LOST_VOLUME) },
		{ .expect = "GET /v1/volumes/data?after=7", .reply = OK(LOST_VOLUME) },
	};

	(void)state;
	CHECK(volume, "volume rm data", 75, "", "strata: volume 'data': its node 'b' is fenced: what was asked for");
	CHECK(steps, "stop web", 75, "", "strata: instance 'web': its node 'b' is fenced: what was asked for is done when that is back");
	CHECK(is_taken_over, "stop web", 0, "", NULL);
	CHECK(comes_back, "wait web --for stopped", 0, "", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_waits_for_the_daemon_to_come_back),
		cmocka_unit_test(test_init_says_what_went_wrong),
		cmocka_unit_test(test_a_file_that_is_not_there),
		cmocka_unit_test(test_an_instance_of_a_lost_node),
		cmocka_unit_test(test_join_waits_until_the_others_see_it),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_import_ends_where_it_began),
		cmocka_unit_test(test_an_export_overwrites_nothing),
		cmocka_unit_test(test_a_restored_store_is_accepted), cmocka_unit_test(test_leave_and_remove),
		cmocka_unit_test(test_forget_needs_a_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
