/* What containers need of the command, against a scripted daemon. */
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <termios.h>

#include "5-interface/cli/fake_call.h"
#include "base/file.h"

#define BOX(status, spec) "{\"kind\":\"instance\",\"meta\":{\"uid\":\"u1\",\"name\":\"web\",\"project\":\"default\"," \
	"\"created_at\":\"2020-01-01T00:00:00.000Z\",\"generation\":1,\"revision\":7}," \
	"\"spec\":{\"kind\":\"container\",\"image\":\"box\",\"start_serial\":1" spec "},\"status\":{" status "}}"
#define RUNNING BOX("\"state\":\"running\",\"started_serial\":1", "")
#define IMAGE(spec, status) "{\"kind\":\"image\",\"meta\":{\"name\":\"box\",\"revision\":2},\"spec\":{\"kind\":\"container\"" spec "}," \
	"\"status\":{" status "}}"
#define READY IMAGE("", "\"state\":\"ready\"")
#define HAS_IMAGE { .expect = "GET /v1/images/box ", .reply = OK(READY) }

/* The body of the POST for this line. */
static void check_spec(const char *line, const char *body)
{
	auto_free char *expect = text_format("\r\n\r\n%s", body);
	const struct fake_step steps[] = { HAS_IMAGE, { .expect = expect, .reply = CREATED(RUNNING) } };

	CHECK(steps, line, 0, "web\n", NULL);
}

#define SPEC(members) "{\"meta\":{\"name\":\"web\"},\"spec\":{\"kind\":\"container\",\"image\":\"box\",\"power\":\"running\"" members "}}"
#define CONTAINER(members) SPEC(",\"container\":{" members "}")

static void options_become_the_container(void **state)
{
	(void)state;
	check_spec("run --container box web --no-wait", SPEC(""));
	check_spec("run box web --no-wait -- sh -c date~-u", CONTAINER("\"command\":[\"sh\",\"-c\",\"date -u\"]"));
	check_spec("run box web --no-wait --entrypoint /bin/sh~-e -- x", CONTAINER("\"entrypoint\":[\"/bin/sh\",\"-e\"],\"command\":[\"x\"]"));
	check_spec("run box web --no-wait --entrypoint= -- x y", CONTAINER("\"entrypoint\":[\"x\",\"y\"]"));
	check_spec("run box web --no-wait -v data:/srv:ro -v /etc/app:/app --mount tmpfs,target=/run --tmpfs /tmp:size=1M",
		   CONTAINER("\"mounts\":[{\"kind\":\"volume\",\"source\":\"data\",\"target\":\"/srv\",\"read_only\":true},"
			     "{\"kind\":\"bind\",\"source\":\"/etc/app\",\"target\":\"/app\"},{\"kind\":\"tmpfs\",\"target\":\"/run\"},"
			     "{\"kind\":\"tmpfs\",\"target\":\"/tmp\",\"size\":\"1M\"}]"));
	check_spec("run box web --no-wait --cap-add net_admin --cap-drop CAP_CHOWN --device /dev/fuse --read-only",
		   CONTAINER("\"devices\":[\"/dev/fuse\"],\"cap_add\":[\"NET_ADMIN\"],\"cap_drop\":[\"CHOWN\"],\"read_only\":true"));
	check_spec("run box web --no-wait -u 33:33 -w /srv --stop-signal SIGINT --pids 10 --io-read 1M --io-write 2M --cpu-weight 5",
		   CONTAINER("\"user\":\"33:33\",\"directory\":\"/srv\",\"stop_signal\":\"SIGINT\",\"io_read\":\"1M\",\"io_write\":\"2M\","
			     "\"pids\":10,\"cpu_weight\":5"));
	check_spec("run box web --no-wait --health-cmd curl~-f~localhost --health-interval 5s --health-retries 2",
		   CONTAINER("\"health\":{\"command\":[\"sh\",\"-c\",\"curl -f localhost\"],\"interval\":\"5s\",\"retries\":2}"));
	check_spec("run box web --no-wait --pool fast --latency-class batch --cpus 2 --memory 64M",
		   SPEC(",\"cpus\":2,\"memory\":\"64M\",\"pool\":\"fast\",\"latency_class\":\"batch\""));
	/* What goes when it ends is not started again by itself, unless somebody says so. */
	check_spec("run box web --no-wait --rm", SPEC(",\"restart\":\"no\",\"container\":{\"remove\":true}"));
	check_spec("run box web --no-wait -it --detach --restart always",
		   SPEC(",\"restart\":\"always\",\"container\":{\"terminal\":true,\"input\":true}"));
}

static void the_environment_comes_from_files_options_and_ours(void **state)
{
	char path[] = "/tmp/cli-test-XXXXXX", line[160];
	static const char text[] = "# comment\n\nA=1\nB=two words\r\nCLI_TEST_NOT_SET\n";
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	setenv("CLI_TEST_SET", "ours", 1);
	snprintf(line, sizeof(line), "run box web --no-wait --env-file %s -e A=3 -e CLI_TEST_SET -e EMPTY=", path);
	check_spec(line, CONTAINER("\"env\":[\"A=3\",\"B=two words\",\"CLI_TEST_SET=ours\",\"EMPTY=\"]"));
	assert_int_equal(pwrite(fd, "=x", 2, 0), 2);
	close(fd);
	CHECK(((struct fake_step[]){ HAS_IMAGE }), line, 2, "", "line 1: '=x");
	unlink(path);
}

static void wrong_forms_are_explained(void **state)
{
	static const struct { const char *line, *message; } cases[] = {
		{ "run box web -v data", "needs its place: use NAME:/PATH" }, { "run box web -v ./www:/www", "needs its whole path" },
		{ "run box web --mount volume=data", "has no target" }, { "run box web --mount volume=d,at=/x", "'at' is not understood" },
		{ "run box web --tmpfs /tmp:mode=7", "use PATH[:size=SIZE]" }, { "run box web --device /dev/a:/dev/b", "it keeps its path" },
		{ "run box web --entrypoint 'sh", "a quote is not closed" }, { "run box web --entrypoint [1]", "not a list of texts" },
		{ "run box web --entrypoint=", "then the command must be given" }, { "run box -d web", "-d is --disk" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		CHECK(((struct fake_step[]){ HAS_IMAGE }), cases[i].line, 2, "", cases[i].message);
	check(NULL, 0, "run box web sh -c x", 2, "", "the command goes after '--'");
	check(NULL, 0, "run box web --pull often", 2, "", "missing, always or never");
}

static void a_container_that_has_done_its_work_was_started(void **state)
{
#define ENDED(code) BOX("\"state\":\"stopped\",\"started_serial\":1,\"ended_serial\":1,\"exit_reason\":\"exit code " #code "\"," \
			"\"exit_code\":" #code, "")
	static const struct fake_step well[] = { HAS_IMAGE, { .expect = "POST", .reply = CREATED(RUNNING) }, { .reply = OK(ENDED(0)) } };
	static const struct fake_step ill[] = { HAS_IMAGE, { .expect = "POST", .reply = CREATED(BOX("\"state\":\"starting\"", "")) },
		{ .reply = OK(ENDED(3)) }, { .reply = OK(ENDED(3)) } };
	static const struct fake_step deleted[] = { HAS_IMAGE, { .expect = "POST", .reply = CREATED(BOX("\"state\":\"starting\"", "")) },
		{ .reply = OK(BOX("\"state\":\"starting\"", "")) }, { .reply = NOT_FOUND } };
	static const struct fake_step gone[] = { HAS_IMAGE, { .expect = "POST", .reply = CREATED(RUNNING) }, { .reply = NOT_FOUND } };

	(void)state;
	CHECK(well, "run box web", 0, "web\n", NULL);
	CHECK(ill, "run box web", 1, "", "it has ended by itself: exit code 3: see 'strata logs web'");
	CHECK(gone, "run --rm box web", 0, "web\n", NULL);
	CHECK(deleted, "run box web", 1, "", "deleted meanwhile");
}

/* Pulling. */

static void what_is_not_here_is_pulled(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "GET /v1/images/busybox:1.36 ", .reply = NOT_FOUND },
		{ .expect = "{\"meta\":{\"name\":\"busybox:1.36\"},\"spec\":{\"kind\":\"container\","
		  "\"pull\":{\"reference\":\"docker.io/library/busybox:1.36\"}}}", .reply = CREATED(IMAGE("", "\"state\":\"importing\"")) },
		{ .expect = "GET /v1/images/busybox:1.36 ", .reply = OK(READY) },
		{ .expect = "\"image\":\"busybox:1.36\"", .reply = CREATED(RUNNING) },
	};
	static const struct fake_step slash[] = {
		{ .expect = "GET /v1/images/quay.io%2Fteam%2Fapp%40sha256:00 ", .reply = NOT_FOUND },
		{ .expect = "\"reference\":\"quay.io/team/app@sha256:00\"", .reply = FAKE_CLOSE("400 Bad", "{}") },
	};
	static const struct fake_step failing[] = {
		{ .expect = "GET /v1/images/nothing ", .reply = NOT_FOUND },
		{ .expect = "\"reference\":\"docker.io/library/nothing:latest\"", .reply = CREATED(IMAGE("", "\"state\":\"importing\"")) },
		{ .expect = "GET", .reply = OK("{\"meta\":{\"name\":\"nothing\",\"revision\":3},\"spec\":{\"kind\":\"container\"},"
					       "\"status\":{\"state\":\"failed\",\"reason\":\"no such image\"}}") },
		{ .expect = "DELETE /v1/images/nothing ", .reply = ACCEPTED },
		{ .expect = "GET", .reply = NOT_FOUND },
	};
	static const struct fake_step never[] = { { .expect = "GET /v1/images/a.b ", .reply = NOT_FOUND },
		{ .expect = "POST /v1/instances", .reply = NOT_FOUND } };

	(void)state;
	CHECK(steps, "run busybox:1.36 web --no-wait", 0, "web\n", "is not here: pulling it");
	CHECK(slash, "run quay.io/team/app@sha256:00 web", 1, "", "HTTP status 400");
	CHECK(failing, "run --container nothing web", 1, "", "strata: image 'nothing': no such image\n");
	CHECK(never, "run --container a.b web --pull never", 1, "", "it does not exist");
	/* A plain name that is unknown is a vm's, as ever: the daemon says so. */
	CHECK(((struct fake_step[]){ { .expect = "GET", .reply = NOT_FOUND }, { .expect = "{\"image\":\"tiny\",\"power\"", .reply = NOT_FOUND } }),
	      "run tiny web", 1, "", "it does not exist");
}

static void an_image_is_pulled_beside_and_put_in_its_place(void **state)
{
#define OLD IMAGE(",\"pull\":{\"reference\":\"docker.io/library/box:latest\"}", "\"state\":\"ready\",\"manifest\":\"aaaabbbbcccc\"")
#define NEW(digest) IMAGE("", "\"state\":\"ready\",\"manifest\":\"" digest "\"")
#define BESIDE(digest) { .expect = "POST /v1/images HTTP", .reply = CONFLICT }, { .expect = "GET /v1/images/box ", .reply = OK(OLD) }, \
	{ .expect = "{\"meta\":{\"name\":\"pull-", .reply = CREATED(NEW(digest)) }, \
	{ .expect = "GET /v1/images/pull-", .reply = OK(NEW(digest)) }, { .expect = "GET /v1/images/pull-", .reply = OK(NEW(digest)) }
	static const struct fake_step same[] = { BESIDE("aaaabbbbcccc"), { .expect = "DELETE /v1/images/pull-", .reply = ACCEPTED },
		{ .expect = "GET /v1/images/pull-", .reply = NOT_FOUND } };
	static const struct fake_step newer[] = { BESIDE("dd"), { .expect = "DELETE /v1/images/box ", .reply = ACCEPTED },
		{ .expect = "GET /v1/images/box ", .reply = NOT_FOUND }, { .expect = "/rename", .reply = OK("{}") } };
	static const struct fake_step in_use[] = { BESIDE("dd"), { .expect = "DELETE /v1/images/box ", .reply = CONFLICT },
		{ .expect = "{\"name\":\"box-aaaabbbb\"}", .reply = OK("{}") }, { .expect = "{\"name\":\"box\"}", .reply = OK("{}") } };
	static const struct fake_step vm[] = { { .expect = "POST", .reply = CONFLICT },
		{ .reply = OK("{\"spec\":{\"kind\":\"vm\"},\"status\":{\"state\":\"ready\"}}") } };

	(void)state;
	CHECK(same, "image pull box", 0, "box\n", "image 'box' is up to date\n");
	CHECK(newer, "image pull box", 0, "box\n", NULL);
	CHECK(in_use, "image pull box", 0, "box\n", "is in use as it was: that is 'box-aaaabbbb' now");
	CHECK(vm, "image pull box", 1, "", "pull it under another name");
}

/* Attaching. */

#define FRAMES(bytes) .reply = (bytes), .size = sizeof(bytes) - 1, .is_websocket = true
#define BYE "\x82\x06\x01hello\x82\x05\x02oops\x81\x10{\"exit_code\": 7}"
#define LOOKS(spec) { .expect = "GET /v1/instances/web ", .reply = OK(BOX("\"state\":\"running\",\"started_serial\":1", spec)) }
#define WITH(members) ",\"container\":{" members "}"

static void attach_passes_output_and_exit_code(void **state)
{
	static const struct fake_step steps[] = { LOOKS(""), { .expect = "GET /v1/instances/web/attach?tail=4096 ", FRAMES(BYE) } };
	static const struct fake_step run_it[] = { HAS_IMAGE,
		{ .expect = SPEC(",\"restart\":\"no\""), .reply = CREATED(RUNNING) }, LOOKS(""),
		{ .expect = "GET /v1/instances/web/attach?tail=1048576 ", FRAMES(BYE) } };
	static const struct fake_step vm[] = { { .reply = OK("{\"spec\":{\"kind\":\"vm\"}}") } };
	static const struct fake_step cut[] = { LOOKS(""), { FRAMES("\x88\x00") } };
	static const struct fake_step error[] = { LOOKS(""), { FRAMES("\x81\x30{\"error\":{\"code\":409,\"message\":\"it is stopped\"}}") } };

	(void)state;
	CHECK(steps, "attach web", 7, "hello", NULL);
	CHECK(run_it, "run box web --attach", 7, "hello", NULL);
	CHECK(vm, "attach web", 1, "", "is a vm: use 'strata console web'");
	CHECK(cut, "attach web", 1, "", "the connection was cut, the container may go on");
	CHECK(error, "attach web", 1, "", "strata: it is stopped\n");
	CHECK(((struct fake_step[]){ LOOKS("") }), "attach web --detach-keys ctrl", 2, "", "use up to 8 keys like ctrl-p,ctrl-q");
	check(NULL, 0, "attach", 2, "", "strata attach NAME");
}

static void a_new_container_is_attached_to_while_it_comes_up(void **state)
{
#define COMES { .expect = "GET /v1/instances/web ", .reply = OK(BOX("\"state\":\"starting\"", "")) }
	static const struct fake_step comes[] = { HAS_IMAGE, { .expect = "POST", .reply = CREATED(RUNNING) }, COMES,
		{ .expect = "/attach", FRAMES(BYE) } };
	static const struct fake_step refused[] = { HAS_IMAGE, { .expect = "POST", .reply = CREATED(RUNNING) }, COMES,
		{ .expect = "/attach", FRAMES("\x81\x30{\"error\":{\"code\":500,\"message\":\"is no program\"}}") } };
	static const struct fake_step removed[] = { HAS_IMAGE, { .expect = "POST", .reply = CREATED(RUNNING) }, { .reply = NOT_FOUND } };

	(void)state;
	CHECK(comes, "run box web -a", 7, "hello", NULL);
	CHECK(refused, "run box web -a", 1, "", "is no program");
	CHECK(removed, "run box web -a --rm", 1, "", "leave --rm out to see it");
}

/* Runs 'line' with 'keys' waiting in a terminal that is our standard input; what the daemon saw comes back. */
static void run_on_terminal(const struct fake_step *steps, size_t count, const char *line, const char *keys, size_t size, struct call **ret_call,
			    struct str *seen)
{
	int before = dup(STDIN_FILENO), master, slave;
	struct termios raw;
	struct fake_daemon daemon;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);		/* Or ctrl-q would be taken by the terminal itself before we are there. */
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	assert_int_equal(write(master, keys, size), (ssize_t)size);
	dup2(slave, STDIN_FILENO);
	fake_start(&daemon, steps, count);
	*ret_call = run(daemon.path, line);
	fake_join(&daemon);
	str_append_bytes(seen, daemon.seen.data, daemon.seen.size);
	fake_stop(&daemon);
	dup2(before, STDIN_FILENO);
	close(before);
	close(slave);
	close(master);
}

static void keys_leave_a_container_that_goes_on(void **state)
{
	static const struct fake_step steps[] = { LOOKS(WITH("\"terminal\":true,\"input\":true")), { .expect = "/attach", FRAMES("\x82\x02\x01$") } };
	auto_free struct call *call = NULL, *other = NULL;
	auto_str struct str seen = { 0 }, more = { 0 };

	(void)state;
	run_on_terminal(steps, 2, "attach web", "ls\x10!\x10\x11more", 10, &call, &seen);
	assert_int_equal(call->exit_code, 0);
	assert_non_null(strstr(call->messages, "left 'web', which goes on"));
	assert_non_null(memmem(seen.data, seen.size, "<2>\0ls\x10!", 8));
	assert_null(memmem(seen.data, seen.size, "more", 4));
	run_on_terminal(steps, 2, "attach web --detach-keys ctrl-a,d", "\x10\x11\x01" "d", 4, &other, &more);
	assert_int_equal(other->exit_code, 0);
	assert_non_null(memmem(more.data, more.size, "<2>\0\x10\x11", 6));
}

static void ctrl_c_stops_it_and_twice_leaves_it(void **state)
{
	static const struct fake_step steps[] = { LOOKS(""), { .expect = "/attach", FRAMES("\x82\x02\x01$") },
		{ .expect = "POST /v1/instances/web/stop", .reply = ACCEPTED } };
	static const struct fake_step only[] = { LOOKS(""), { .expect = "/attach", FRAMES("\x82\x02\x01$") } };

	(void)state;
	/* Blocked in main(), so they wait for the session. */
	kill(getpid(), SIGINT);
	kill(getpid(), SIGTERM);
	CHECK(steps, "attach web", 128 + SIGTERM, NULL, "stopping 'web'; once more leaves it\n");
	kill(getpid(), SIGINT);
	CHECK(only, "attach web --no-signals", 128 + SIGINT, NULL, NULL);
}

/* The rest. */

static void commit_and_update_send_what_was_given(void **state)
{
	static const struct fake_step commit[] = {
		{ .expect = "POST /v1/instances/web/commit ", .reply = CREATED(READY) }, { .expect = "GET /v1/images/box:2 ", .reply = OK(READY) } };
	static const struct fake_step config[] = {
		{ .expect = "{\"image\":\"box:2\",\"comment\":\"why not\",\"config\":{\"entrypoint\":[\"/app\"],\"command\":[\"-p\",\"a b\"],"
		  "\"env\":[\"A=b\"],\"labels\":{\"x\":\"y\"},\"user\":\"33\",\"directory\":\"/srv\"}}", .reply = CREATED(READY) } };
	static const struct fake_step update[] = { { .expect = "{\"spec\":{\"cpus\":2,\"memory\":\"64M\",\"container\":{\"pids\":5,\"io_write\":\"1M\"}}}",
		.reply = OK(RUNNING) } };

	(void)state;
	CHECK(commit, "commit web box:2", 0, "box:2\n", NULL);
	CHECK(config, "commit web box:2 --no-wait --message why~not --entrypoint /app --cmd -p~'a~b' -e A=b -l x=y -u 33 -w /srv", 0, "box:2\n", NULL);
	CHECK(update, "update web --no-wait --cpus 2 --memory 64M --pids 5 --io-write 1M", 0, "", NULL);
	check(NULL, 0, "update web", 2, "", "nothing to change");
	check(NULL, 0, "commit web box -e CLI_TEST_UNSET", 2, "", "not set in our own environment");
}

static void containers_are_listed_and_shown(void **state)
{
#define FULL BOX("\"state\":\"running\",\"started_serial\":1,\"health\":\"healthy\",\"isolation\":[\"own user namespace\",\"seccomp\"]," \
	"\"usage\":{\"cpu_permille\":125,\"memory_bytes\":1048576,\"disk_read_bytes\":2048,\"sampled_at\":\"2026-11-23T10:00:00.000Z\"}", \
	",\"cpus\":2,\"memory\":67108864,\"container\":{\"command\":[\"sh\",\"-c\",\"echo it's\"],\"env\":[\"A=b\"],\"pids\":9," \
	"\"mounts\":[{\"kind\":\"volume\",\"source\":\"data\",\"target\":\"/srv\",\"read_only\":true},{\"kind\":\"tmpfs\",\"target\":\"/t\",\"size\":1024}]}")
	static const struct fake_step list[] = { { .reply = OK("{\"items\":[" FULL "," RUNNING "]}") } };
	static const struct fake_step show[] = { { .reply = OK(FULL) } };
	struct fake_daemon daemon;
	auto_free struct call *call = NULL;

	(void)state;
	CHECK(list, "ls --kind vm -o name", 0, "", NULL);
	CHECK(list, "ls --kind container -o name", 0, "web\nweb\n", NULL);
	check(NULL, 0, "ls --kind pod", 2, "", "use vm or container");
	fake_start(&daemon, list, 1);
	call = run(daemon.path, "ls");
	fake_stop(&daemon);
	assert_non_null(strstr(call->out, "NAME  KIND       STATE    HEALTH   IMAGE  CPUS  MEMORY"));
	assert_non_null(strstr(call->out, "web   container  running  healthy  box    2     64MiB"));
	assert_non_null(strstr(call->out, "web   container  running           box    -     -  "));
	free(call);
	fake_start(&daemon, show, 1);
	call = run(daemon.path, "show web");
	fake_stop(&daemon);
	assert_non_null(strstr(call->out, "the container\n  command  sh -c 'echo it'\\''s'\n  env      A=b\n"
			       "  mounts   volume data at /srv, read-only\n           tmpfs at /t, 1KiB\n  pids     9\n"));
	assert_non_null(strstr(call->out, "isolation in force\n  own user namespace\n  seccomp\n"));
	assert_null(strstr(call->out, "machine"));
}

static void stats_show_limits(void **state)
{
	static const struct fake_step steps[] = { { .reply = OK("{\"items\":[{\"meta\":{\"uid\":\"u\",\"name\":\"web\"},"
		"\"spec\":{\"kind\":\"container\",\"cpus\":2,\"memory\":67108864,\"container\":{\"pids\":9}},\"status\":{\"state\":\"running\","
		"\"usage\":{\"cpu_permille\":125,\"memory_bytes\":1048576,\"pids\":3,\"disk_read_bytes\":2048,\"sampled_at\":\"2026-11-23T10:00:00.000Z\"}}},"
		"{\"meta\":{\"uid\":\"v\",\"name\":\"off\"},\"status\":{\"state\":\"stopped\"}}]}") } };

	(void)state;
	CHECK(steps, "stats --once", 0, "NAME  KIND       STATE    CPU          MEMORY         PIDS    READ  WRITTEN  RECEIVED  SENT\n"
	      "web   container  running  12% of 200%  1MiB of 64MiB  3 of 9  2KiB  0B       0B        0B\n", NULL);
	CHECK(steps, "top --once --no-headers web", 0, "web  container  running  12%  1MiB  3  2KiB  0B  0B  0B\n", NULL);
	CHECK(steps, "top --once --no-headers db", 0, "", NULL);
}

static void exec_runs_as_a_user(void **state)
{
	static const struct fake_step steps[] = { LOOKS(""), { .expect = "/exec ", FRAMES("\x81\x10{\"exit_code\": 0}") } };
	struct fake_daemon daemon;
	auto_free struct call *call = NULL;

	(void)state;
	fake_start(&daemon, steps, 2);
	call = run(daemon.path, "exec -u 33 web -- id");
	fake_join(&daemon);
	assert_non_null(strstr(daemon.seen.data, "\"user\":\"33\""));
	fake_stop(&daemon);
	assert_int_equal(call->exit_code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_become_the_container),
		cmocka_unit_test(the_environment_comes_from_files_options_and_ours),
		cmocka_unit_test(wrong_forms_are_explained),
		cmocka_unit_test(a_container_that_has_done_its_work_was_started),
		cmocka_unit_test(what_is_not_here_is_pulled),
		cmocka_unit_test(an_image_is_pulled_beside_and_put_in_its_place),
		cmocka_unit_test(attach_passes_output_and_exit_code),
		cmocka_unit_test(a_new_container_is_attached_to_while_it_comes_up),
		cmocka_unit_test(keys_leave_a_container_that_goes_on),
		cmocka_unit_test(ctrl_c_stops_it_and_twice_leaves_it),
		cmocka_unit_test(commit_and_update_send_what_was_given),
		cmocka_unit_test(containers_are_listed_and_shown),
		cmocka_unit_test(stats_show_limits),
		cmocka_unit_test(exec_runs_as_a_user),
	};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
