/* Members of an etcd that we run: real processes on loopback, each with a folder and ports of its own. */
#include "port/member.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/free_port_fixture.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/store/etcd/etcd_fixture.h"
#include "driver/store/member/process.h"

enum { HOSTS = 4 };

struct world {
	char *folder;
	struct member_params hosts[HOSTS];
	char *directories[HOSTS], *names[HOSTS], *urls[HOSTS];
	struct err err;
};

static int set_up(void **state)
{
	struct world *world = alloc(sizeof(*world));
	const char *tmp = getenv("TMPDIR");

	world->folder = text_format("%s/strata-member-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(world->folder));
	for (int i = 0; i < HOSTS; i++) {
		world->directories[i] = text_format("%s/%d", world->folder, i);
		world->names[i] = text_format("host-%d", i);
		world->hosts[i] = (struct member_params){ .directory = world->directories[i], .name = world->names[i], .address = "127.0.0.1",
							  .client_port = free_port(), .peer_port = free_port() };
		world->urls[i] = member_client_url(&world->hosts[i]);
	}
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err;

	for (int i = 0; i < HOSTS; i++) {
		member_etcd.stop(&world->hosts[i], true, &err);
		free(world->directories[i]);
		free(world->names[i]);
		free(world->urls[i]);
	}
	file_remove_tree(world->folder, &err);
	free(world->folder);
	free(world);
	return 0;
}

static void check_call(int r, const char *what, const struct err *err)
{
	if (r < 0)
		fail_msg("%s: %s", what, err->msg);
}

enum { LIST_TRIES = 100, LIST_PAUSE_MS = 50 };

#define CHECK(call) check_call(call, #call, &world->err)

static struct member_door door_of(const struct world *world, size_t count)
{
	return (struct member_door){ .endpoints = (const char *const *)world->urls, .endpoint_count = count };
}

static bool are_members(struct world *world, size_t doors, size_t count, size_t answering)
{
	struct member_door door = door_of(world, doors);
	struct member_list list = { 0 };
	size_t found = 0, learners = 0;
	bool is_so;

	CHECK(member_etcd.list(&door, true, &list, &world->err));
	for (size_t i = 0; i < list.items.count; i++) {
		learners += list.items.items[i].is_learner;
		found += list.items.items[i].answers;
	}
	is_so = list.items.count == count && found == answering && !learners;
	member_list_done(&list);
	return is_so;
}

/* etcd 3.4 lists what the member knows that is asked: it may not have heard of the last change yet. */
static void check_members(struct world *world, size_t doors, size_t count, size_t answering)
{
	for (int i = 0; i < LIST_TRIES && !are_members(world, doors, count, answering); i++)
		poll(NULL, 0, LIST_PAUSE_MS);
	assert_true(are_members(world, doors, count, answering));
}

static void kill_process(const struct member_params *params)
{
	auto_close int pidfd = member_etcd.process(params);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	assert_true(pidfd >= 0);
	assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
	assert_int_equal(poll(&ended, 1, 5000), 1);
}

static void test_from_one_to_three_and_back(void **state)
{
	struct world *world = *state;
	struct member_door first = door_of(world, 1), all = door_of(world, 3);

	CHECK(member_etcd.found(&world->hosts[0], "token", &world->err));
	check_members(world, 1, 1, 1);
	CHECK(member_etcd.join(&world->hosts[1], &first, &world->err));
	CHECK(member_etcd.join(&world->hosts[2], &first, &world->err));
	CHECK(member_etcd.join(&world->hosts[2], &first, &world->err));		/* Again: nothing is to be done. */
	check_members(world, 3, 3, 3);

	kill_process(&world->hosts[0]);
	assert_int_equal(member_etcd.process(&world->hosts[0]), -1);
	check_members(world, 3, 3, 2);
	CHECK(member_etcd.start(&world->hosts[0], &world->err));
	CHECK(member_etcd.start(&world->hosts[0], &world->err));

	/* One goes for good, another takes its place. */
	kill_process(&world->hosts[1]);
	CHECK(member_etcd.drop(&all, world->names[1], &world->err));
	CHECK(member_etcd.drop(&all, world->names[1], &world->err));
	CHECK(member_etcd.join(&world->hosts[3], &all, &world->err));
	check_members(world, 3, 3, 3);
	CHECK(member_etcd.stop(&world->hosts[1], true, &world->err));
	assert_int_equal(access(world->directories[1], F_OK), -1);
}

static void test_a_crash_between_the_steps(void **state)
{
	struct world *world = *state;
	struct member_door first = door_of(world, 1);
	struct err err;

	CHECK(member_etcd.found(&world->hosts[0], "token", &world->err));
	CHECK(member_etcd.join(&world->hosts[1], &first, &world->err));

	/* Its process is killed and all that it has is lost. */
	kill_process(&world->hosts[1]);
	CHECK(member_etcd.start(&world->hosts[1], &world->err));
	CHECK(member_etcd.join(&world->hosts[2], &first, &world->err));
	kill_process(&world->hosts[2]);
	CHECK(file_remove_tree(world->directories[2], &world->err));
	assert_int_equal(member_etcd.start(&world->hosts[2], &err), -ENOENT);
	assert_non_null(strstr(err.msg, "strata node remove"));
	CHECK(member_etcd.join(&world->hosts[2], &first, &world->err));
	check_members(world, 3, 3, 3);

	/* Founded anew: what was there before is gone. */
	CHECK(member_etcd.stop(&world->hosts[1], true, &world->err));
	CHECK(member_etcd.stop(&world->hosts[2], true, &world->err));
	CHECK(member_etcd.found(&world->hosts[0], "another", &world->err));
	check_members(world, 1, 1, 1);
}

static void test_an_address_that_is_taken(void **state)
{
	struct world *world = *state;
	struct member_door first = door_of(world, 1);
	struct member_params same = world->hosts[1];
	struct err err;

	CHECK(member_etcd.found(&world->hosts[0], "token", &world->err));
	same.peer_port = world->hosts[0].peer_port;
	assert_int_equal(member_etcd.join(&same, &first, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "--address"));

	/* One that cannot serve says why: somebody else has its port. */
	same = world->hosts[2];
	same.client_port = world->hosts[0].client_port;
	assert_true(member_etcd.found(&same, "token", &err) < 0);
	assert_non_null(strstr(err.msg, "address already in use"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_from_one_to_three_and_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_crash_between_the_steps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_address_that_is_taken, set_up, tear_down),
	};

	etcd_require();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
