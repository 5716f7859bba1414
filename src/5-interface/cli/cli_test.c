#include "5-interface/cli/cli.h"

#include <fcntl.h>

#include "5-interface/cli/command.h"
#include "5-interface/cli/fake_call.h"
#include "base/file.h"
#include "base/spawn.h"

#define WEB(status, spec) "{\"kind\":\"instance\",\"meta\":{\"uid\":\"u1\",\"name\":\"web\",\"project\":\"default\"," \
	"\"created_at\":\"2020-01-01T00:00:00.000Z\",\"generation\":1,\"revision\":7}," \
	"\"spec\":{\"kind\":\"vm\",\"image\":\"tiny\",\"cpus\":1,\"memory\":268435456,\"start_serial\":1" spec "}," \
	"\"status\":{" status "}}"
#define RUNNING WEB("\"state\":\"running\",\"started_serial\":1,\"cpus\":1,\"memory\":268435456", "")
#define STARTING WEB("\"state\":\"starting\"", "")
#define NO_WEB FAKE_CLOSE("404 Not Found", "{\"error\":{\"code\":404,\"message\":\"instance 'web' does not exist: see 'strata ls'\"}}")

static void lists_are_tables_names_or_json(void **state)
{
#define LIST "{\"revision\":9,\"items\":[" RUNNING "," \
	WEB("\"state\":\"failed\",\"reason\":\"disk full\"", ",\"nics\":[{\"network\":\"default\",\"ipv4\":\"10.1.2.3\"}]") "]}"
	static const struct fake_step steps[] = { { .expect = "GET /v1/instances HTTP", .reply = OK(LIST) } };
	static const struct fake_step images[] = { { .expect = "GET /v1/images HTTP", .reply = OK("{\"revision\":1,\"items\":[]}") } };
	struct fake_daemon daemon;
	auto_free struct call *call = NULL;

	(void)state;
	fake_start(&daemon, steps, 1);
	call = run(daemon.path, "ls");
	fake_stop(&daemon);
	assert_int_equal(call->exit_code, 0);
	assert_non_null(strstr(call->out, "NAME  KIND  STATE    IMAGE  CPUS  MEMORY  ADDRESS   AGE"));
	assert_non_null(strstr(call->out, "web   vm    running  tiny   1     256MiB  -"));
	assert_non_null(strstr(call->out, "web   vm    failed   tiny   1     256MiB  10.1.2.3"));
	assert_non_null(strstr(call->out, "disk full\n"));
	CHECK(steps, "ls -o name", 0, "web\nweb\n", NULL);
	CHECK(steps, "ls --state failed -o name", 0, "web\n", NULL);
	CHECK(steps, "ls --label x -o json", 0, "[]\n", NULL);
	CHECK(images, "image ls", 0, "NAME  STATE  KIND  SIZE  ALLOCATED  AGE\n", NULL);
	CHECK(images, "image ls --no-headers", 0, "", NULL);
	CHECK(((struct fake_step[]){ { .expect = "GET", .reply = OK("{\"items\":[3]}") } }), "ls", 1, "", "the daemon's answer is no list");
}

static void the_daemons_words_and_codes_are_passed_on(void **state)
{
	static const struct { const char *status; int exit_code; } cases[] = {
		{ "400 Bad Request", 1 }, { "404 Not Found", 1 }, { "409 Conflict", 1 },
		{ "503 Service Unavailable", 75 }, { "500 Oops", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		auto_free char *reply = text_format(FAKE_CLOSE("%s", "{\"error\":{\"code\":1,\"message\":\"in \\u001b[31mwords\"}}"),
						    cases[i].status);
		struct fake_step step = { .reply = reply };

		check(&step, 1, "show web", cases[i].exit_code, "", "strata: in ?[31mwords\n");
	}
	check(&(struct fake_step){ .reply = FAKE_CLOSE("502 Bad Gateway", "<html>") }, 1, "show web", 75, "",
	      "the daemon answers with HTTP status 502");
}

static void names_stay_one_segment_of_the_path(void **state)
{
	static const struct { const char *line, *expect; } cases[] = {
		{ "show a%b", "GET /v1/instances/a%25b HTTP" },
		{ "show a/b", "GET /v1/instances/a%252Fb HTTP" },
		{ "show a/../b", "GET /v1/instances/a%252F%252E%252E%252Fb HTTP" },
		{ "show ..", "GET /v1/instances/%252E%252E HTTP" },
		{ "image show debian:12.1", "GET /v1/images/debian:12.1 HTTP" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		check(&(struct fake_step){ .expect = cases[i].expect, .reply = NO_WEB }, 1, cases[i].line, 1, "", "does not exist");
}

#define LOOKS_AT_THE_IMAGE { .expect = "GET /v1/images/tiny ", .reply = OK("{\"spec\":{\"kind\":\"vm\"}}") }

static void run_waits_and_prints_the_name(void **state)
{
	static const struct fake_step steps[] = {
		LOOKS_AT_THE_IMAGE,
		{ .expect = "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\","
		  "\"power\":\"running\",\"cpus\":2,\"memory\":\"1G\"}}",
		  .reply = FAKE_CLOSE("201 Created", STARTING) },
		{ .expect = "GET /v1/instances/web HTTP", .reply = OK(STARTING) },
		{ .expect = "GET /v1/instances/web?after=7&timeout=10000ms HTTP", .reply = OK(RUNNING) },
	};
	static const struct fake_step fails[] = {
		LOOKS_AT_THE_IMAGE,
		{ .expect = "POST", .reply = FAKE_CLOSE("201 Created", STARTING) },
		{ .expect = "GET", .reply = OK(STARTING) },
		{ .expect = "GET", .reply = OK(WEB("\"state\":\"failed\",\"reason\":\"no memory left\"", "")) },
	};
	static const struct fake_step slow[] = {
		LOOKS_AT_THE_IMAGE,
		{ .expect = "POST", .reply = FAKE_CLOSE("201 Created", STARTING) },
		{ .expect = "GET", .reply = OK(STARTING) },
	};

	(void)state;
	CHECK(steps, "run tiny web --cpus 2 --memory 1G", 0, "web\n", NULL);
	CHECK(fails, "run tiny web", 1, "", "strata: instance 'web': no memory left\n");
	CHECK(slow, "run tiny web --timeout 0s", 75, "", "the work goes on");
	check(slow, 2, "run tiny web --no-wait", 0, "web\n", NULL);
}

static void a_taken_name_that_was_made_up_is_tried_again(void **state)
{
	static const struct fake_step steps[] = {
		LOOKS_AT_THE_IMAGE,
		{ .expect = "POST", .reply = FAKE_CLOSE("409 Conflict", "{\"error\":{\"code\":409,\"message\":\"taken\"}}") },
		{ .expect = "POST", .reply = FAKE_CLOSE("201 Created", RUNNING) },
	};

	(void)state;
	CHECK(steps, "create tiny --no-wait", 0, "web\n", NULL);
	check(steps, 2, "create tiny web --no-wait", 1, "", "strata: taken\n");
}

static void an_old_failure_is_not_that_of_the_new_start(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "POST /v1/instances/web/start", .reply = OK(WEB("\"state\":\"failed\",\"reason\":\"old\"", "")) },
		{ .expect = "GET", .reply = OK(WEB("\"state\":\"failed\",\"reason\":\"old\"", "")) },
		{ .expect = "GET", .reply = OK(RUNNING) },
	};

	(void)state;
	CHECK(steps, "start web", 0, "", NULL);
}

static void all_names_are_tried(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "POST /v1/instances/a/stop", .reply = OK(RUNNING) },
		{ .expect = "POST /v1/instances/web/stop", .reply = NO_WEB },
		{ .expect = "{\"force\":true}", .reply = OK(RUNNING) },
		{ .expect = "GET /v1/instances/a ", .reply = OK(WEB("\"state\":\"stopped\"", "")) },
		{ .expect = "GET /v1/instances/c ", .reply = OK(WEB("\"state\":\"stopped\"", "")) },
	};

	(void)state;
	CHECK(steps, "stop --force a web c", 1, "", "strata: instance 'web' does not exist: see 'strata ls'\n");
}

static void rm_waits_until_it_is_gone(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "DELETE /v1/instances/web?force=true ", .reply = FAKE_CLOSE("202 Accepted", "{}") },
		{ .expect = "GET", .reply = OK(WEB("\"state\":\"deleting\"", "")) },
		{ .expect = "GET", .reply = NO_WEB },
	};

	(void)state;
	CHECK(steps, "rm -f web", 0, "", NULL);
}

static void set_says_what_waits_for_the_next_start(void **state)
{
#define PENDING WEB("\"state\":\"running\",\"cpus\":1,\"memory\":268435456,\"pending\":[\"cpus: 2, now 1\"]", "")
	static const struct fake_step steps[] = {
		{ .expect = "{\"spec\":{\"cpus\":2}}", .reply = OK(RUNNING) },
		{ .expect = "GET", .reply = OK(PENDING) },
		{ .expect = "GET", .reply = OK(PENDING) },
	};

	(void)state;
	CHECK(steps, "set web cpus=2", 0, "", "at the next start of 'web': cpus: 2, now 1\n");
	check(NULL, 0, "set web cpsu=2", 2, "", "did you mean 'cpus'");
}

static void exec_passes_channels_and_the_exit_code(void **state)
{
#define EXEC_FRAMES "\x82\x06" "\x01hello" "\x82\x05" "\x02" "oops" "\x82\x02" "\x01\n" "\x81\x10" "{\"exit_code\": 7}"
#define UP_SINCE_LONG { .expect = "GET /v1/instances/web HTTP", .reply = OK(RUNNING) }
	static const struct fake_step steps[] = {
		UP_SINCE_LONG,
		{ .expect = "GET /v1/instances/web/exec HTTP", .reply = EXEC_FRAMES, .size = sizeof(EXEC_FRAMES) - 1,
		  .is_websocket = true },
	};
	static const struct fake_step refused[] = { { .reply = NO_WEB } };
	static const char failed[] = "\x81\x38{\"error\": {\"code\": 404, \"message\": \"no such program\"}}   ";
	static const struct fake_step error[] = { UP_SINCE_LONG, { .reply = failed, .size = sizeof(failed) - 1, .is_websocket = true } };
	static const struct fake_step cut[] = { UP_SINCE_LONG, { .reply = "\x88\x00", .size = 2, .is_websocket = true } };

	(void)state;
	CHECK(steps, "exec -e A=b -w / web -- echo hello", 7, "hello\n", NULL);
	CHECK(refused, "exec web -- true", 1, "", "does not exist");
	CHECK(error, "exec web -- nothing", 1, "", "strata: no such program\n");
	CHECK(cut, "exec web -- nothing", 1, "", "cut off");
	check(NULL, 0, "exec -e A web true", 2, "", "NAME=VALUE");
}

static void logs_are_asked_for_by_lines_and_time(void **state)
{
	static const struct fake_step all[] = { { .expect = "/logs HTTP", .reply = OK("one\ntwo\n") } };
	static const struct fake_step some[] = { { .expect =
		"/logs?follow=true&lines=2&since=2026-11-23T10:00:00.000Z&timestamps=true HTTP", .reply = OK("two\n") } };
	static const struct fake_step day[] = { { .expect = "/logs?since=2026-11-23T00:00:00.000Z HTTP", .reply = OK("two\n") } };
	static const struct fake_step ago[] = { { .expect = "/logs?since=20", .reply = OK("") } };

	(void)state;
	CHECK(all, "logs web", 0, "one\ntwo\n", NULL);
	CHECK(some, "logs -f -n 2 --since 2026-11-23T11:00:00+01:00 -t web", 0, "two\n", NULL);
	CHECK(day, "logs --since 2026-11-23 web", 0, "two\n", NULL);
	CHECK(ago, "logs --since 1h30m web", 0, "", NULL);
	check(NULL, 0, "logs -n x web", 2, "", "not a number");
	check(NULL, 0, "logs -n -1 web", 2, "", "not a number");
	check(NULL, 0, "run tiny web --timeout soon", 2, "", "--timeout: 'soon'");
	check(NULL, 0, "node drain alpha --timeout 5", 2, "", "--timeout: '5'");
	check(NULL, 0, "run busybox web --container --health-interval=often", 2, "", "--health-interval: 'often'");
	check(NULL, 0, "logs --since yesterday web", 2, "", "neither a time nor a duration");
}

static void images_are_uploaded_and_waited_for(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "POST /v1/uploads", .reply = FAKE_CLOSE("201 Created", "{\"id\":\"up1\",\"size\":4,\"sha256\":\"x\"}") },
		{ .expect = "{\"meta\":{\"name\":\"disk\"},\"spec\":{\"disk\":{\"upload\":\"up1\"},\"format\":\"raw\"}}",
		  .reply = FAKE_CLOSE("201 Created", "{\"meta\":{\"revision\":3}}") },
		{ .expect = "GET /v1/images/disk ", .reply = OK("{\"meta\":{\"name\":\"disk\",\"revision\":4},\"spec\":{},"
		  "\"status\":{\"state\":\"importing\",\"step\":\"convert\",\"done_bytes\":50,\"total_bytes\":100}}") },
		{ .expect = "GET /v1/images/disk?after=4", .reply = OK("{\"meta\":{\"name\":\"disk\",\"revision\":5},\"spec\":{},"
		  "\"status\":{\"state\":\"failed\",\"reason\":\"not a disk\"}}") },
		{ .expect = "DELETE /v1/images/disk", .reply = FAKE_CLOSE("202 Accepted", "{}") },
	};
	char line[128], path[] = "/tmp/cli-test-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "disk", 4), 4);
	close(fd);
	snprintf(line, sizeof(line), "image import disk %s --format raw", path);
	CHECK(steps, line, 1, "", "strata: image 'disk': not a disk\n");
	check(NULL, 0, "image import disk /nonexistent", 1, "", "open '/nonexistent'");
	unlink(path);
}

static void manifests_are_created_changed_or_left(void **state)
{
#define VOLUME(size) "{\"kind\":\"volume\",\"meta\":{\"name\":\"data\",\"revision\":3}," \
	"\"spec\":{\"size\":" size "},\"status\":{\"state\":\"ready\"}}"
#define MISSING FAKE_CLOSE("404 Not Found", "{}")
	static const struct fake_step created[] = {
		{ .expect = "GET /v1/volumes/data", .reply = MISSING }, { .expect = "GET", .reply = MISSING },
		{ .expect = "POST /v1/volumes", .reply = FAKE_CLOSE("201 Created", VOLUME("1073741824")) },
		{ .expect = "GET", .reply = OK(VOLUME("1073741824")) },
	};
	static const struct fake_step changed[] = {
		{ .expect = "GET", .reply = OK(VOLUME("1048576")) }, { .expect = "GET", .reply = OK(VOLUME("1048576")) },
		{ .expect = "PATCH /v1/volumes/data", .reply = OK(VOLUME("1073741824")) },
	};
	static const struct fake_step same[] = { { .expect = "GET", .reply = OK(VOLUME("1073741824")) } };
	static const struct fake_step deleted[] = {
		{ .expect = "DELETE /v1/volumes/data ", .reply = FAKE_CLOSE("202 Accepted", "{}") }, { .expect = "GET", .reply = MISSING },
	};
	char path[] = "/tmp/cli-test-XXXXXX", line[64];
	int fd = mkstemp(path);
	static const char manifest[] = "kind: volume\nmeta: {name: data}\nspec: {size: 1GiB}\n";

	(void)state;
	assert_int_equal(write(fd, manifest, sizeof(manifest) - 1), sizeof(manifest) - 1);
	close(fd);
	snprintf(line, sizeof(line), "apply -f %s", path);
	CHECK(created, line, 0, "volume 'data': created\n", NULL);
	CHECK(changed, line, 0, "volume 'data': changed (spec.size=1GiB)\n", NULL);
	snprintf(line, sizeof(line), "diff -f %s", path);
	check(changed, 1, line, 1, "volume 'data': would change\n- spec.size: 1MiB\n+ spec.size: 1GiB\n", NULL);
	CHECK(same, line, 0, "", NULL);
	snprintf(line, sizeof(line), "delete -f %s", path);
	CHECK(deleted, line, 0, "volume 'data': deleted\n", NULL);
	unlink(path);
	check(NULL, 0, "apply", 2, "", "-f is missing");
}

static void a_file_comes_out_of_the_guest(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "/exec", .reply = "\x81\x10{\"exit_code\": 1}", .size = 18, .is_websocket = true },
		{ .expect = "GET /v1/instances/web/files?path=%2Fetc%2Fhosts ", .reply = OK("127.0.0.1 localhost\n") },
	};
	static const struct fake_step missing[] = {
		{ .expect = "/exec", .reply = "\x81\x10{\"exit_code\": 1}", .size = 18, .is_websocket = true },
		{ .expect = "GET", .reply = FAKE_CLOSE("404 Not Found",
		  "{\"error\":{\"code\":404,\"message\":\"/etc/hosts: no such file\"}}") },
	};
	char folder[] = "/tmp/cli-test-XXXXXX", line[64];
	auto_str struct str text = { 0 };
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(line, sizeof(line), "cp web:/etc/hosts %s", folder);
	CHECK(missing, line, 1, "", "no such file");
	CHECK(steps, line, 0, "", NULL);
	snprintf(line, sizeof(line), "%s/hosts", folder);
	assert_int_equal(file_read_all(line, 100, &text, &err), 0);
	assert_string_equal(text.data, "127.0.0.1 localhost\n");
	assert_int_equal(file_remove_tree(folder, &err), 0);
	check(NULL, 0, "cp a b", 2, "", "INSTANCE:/PATH");
	check(NULL, 0, "cp a:/x b:/y", 2, "", "one instance first");
	check(NULL, 0, "cp web:x .", 2, "", "must begin with '/'");
}

static void events_and_doctor_are_lines(void **state)
{
	static const struct fake_step events[] = { { .expect = "GET /v1/events?after=4 ", .reply = OK(
		"{\"id\":5,\"at\":\"2026-11-23T10:00:00.000Z\",\"kind\":\"instance\",\"name\":\"web\","
		"\"type\":\"started\",\"text\":\"it runs\"}\n"
		"{\"id\":6,\"at\":\"2026-11-23T10:00:00.000Z\",\"kind\":\"image\",\"name\":\"tiny\",\"type\":\"created\"}\n") } };
	static const struct fake_step doctor[] = { { .expect = "GET /v1/doctor", .reply = OK(
		"[{\"check\":\"kvm\",\"state\":\"failed\",\"text\":\"no vmx\",\"remedy\":\"buy another\"}]") } };

	(void)state;
	CHECK(events, "events --after 4 web", 0, "2026-11-23T10:00:00.000Z  instance  web               started: it runs\n", NULL);
	CHECK(doctor, "doctor", 1, "STATE   CHECK  FOUND\nfailed  kvm    no vmx\n               remedy: buy another\n", NULL);
}

static void wrong_calls_end_with_2(void **state)
{
	auto_free struct call *none = run("/nonexistent", ""), *topic = run("/nonexistent", "image"), *help = run("/nonexistent", "--help"),
		*restore = run("/nonexistent", "restore x"), *refused = run("/nonexistent", "restore x --state /y"),
		*host = run("/nonexistent", "--host ftp://x ls");

	(void)state;
	assert_int_equal(none->exit_code, 2);
	assert_int_equal(topic->exit_code, 2);
	assert_non_null(strstr(topic->messages, "image import"));
	assert_int_equal(help->exit_code, 0);
	assert_non_null(strstr(help->out, "Usage: strata"));
	assert_int_equal(restore->exit_code, 2);
	assert_int_equal(refused->exit_code, 1);
	assert_non_null(strstr(refused->messages, "restore x into /y"));
	assert_int_equal(host->exit_code, 2);
}

static void every_command_explains_itself(void **state)
{
	(void)state;
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		for (const struct cli_command *const *command = group->commands; *command; command++) {
			auto_free char *line = text_format("%s --help", (*command)->name);
			auto_free char *usage = text_format("Usage: strata %s", (*command)->name);
			auto_free struct call *call = run("/nonexistent", line);

			assert_int_equal(call->exit_code, 0);
			assert_true(strncmp(call->out, usage, strlen(usage)) == 0);
			assert_true((*command)->is_hidden || strstr(call->out, "\nExamples:\n  "));
		}
	}
}

static void completion_is_valid_bash_and_knows_the_commands(void **state)
{
	auto_free struct call *call = run("/nonexistent", "completion bash"), *man = run("/nonexistent", "man");
	auto_str struct str script = { 0 }, words = { 0 };
	struct spawn_params params = { .argv = (const char *const[]){ "bash", "-s", NULL } };
	struct spawn_io io;
	struct err err;

	(void)state;
	str_append(&script, call->out);
	str_append(&script, "COMP_WORDS=(strata image im) COMP_CWORD=2; _strata; echo ${COMPREPLY[@]}\n"
		   "COMP_WORDS=(strata run --mem) COMP_CWORD=2; _strata; echo ${COMPREPLY[@]}\n");
	io = (struct spawn_io){ .input = script.data, .input_size = script.size, .output = &words };
	assert_int_equal(spawn_run(&params, &io, &err), 0);
	assert_string_equal(words.data, "import\n--memory\n");
	assert_non_null(strstr(man->out, ".It Nm strata Cm run"));
}

static void fields_are_explained(void **state)
{
	auto_free struct call *kind = run("/nonexistent", "explain instance"), *field = run("/nonexistent", "explain instance.memory"),
		*nested = run("/nonexistent", "explain instance.nics"), *wrong = run("/nonexistent", "explain instnace"),
		*absent = run("/nonexistent", "explain volume.x");

	(void)state;
	assert_non_null(strstr(kind->out, "restart"));
	assert_non_null(strstr(field->out, "256MiB"));
	assert_non_null(strstr(nested->out, "ipv4"));
	assert_int_equal(wrong->exit_code, 2);
	assert_non_null(strstr(wrong->messages, "did you mean 'instance'"));
	assert_int_equal(absent->exit_code, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_tables_names_or_json),
		cmocka_unit_test(the_daemons_words_and_codes_are_passed_on),
		cmocka_unit_test(names_stay_one_segment_of_the_path),
		cmocka_unit_test(run_waits_and_prints_the_name),
		cmocka_unit_test(a_taken_name_that_was_made_up_is_tried_again),
		cmocka_unit_test(an_old_failure_is_not_that_of_the_new_start),
		cmocka_unit_test(all_names_are_tried),
		cmocka_unit_test(rm_waits_until_it_is_gone),
		cmocka_unit_test(set_says_what_waits_for_the_next_start),
		cmocka_unit_test(exec_passes_channels_and_the_exit_code),
		cmocka_unit_test(logs_are_asked_for_by_lines_and_time),
		cmocka_unit_test(images_are_uploaded_and_waited_for),
		cmocka_unit_test(manifests_are_created_changed_or_left),
		cmocka_unit_test(a_file_comes_out_of_the_guest),
		cmocka_unit_test(events_and_doctor_are_lines),
		cmocka_unit_test(wrong_calls_end_with_2),
		cmocka_unit_test(every_command_explains_itself),
		cmocka_unit_test(completion_is_valid_bash_and_knows_the_commands),
		cmocka_unit_test(fields_are_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
