/* Layered images, pools, volumes and their snapshots, against a scripted daemon. */
#include <fcntl.h>

#include "5-interface/cli/fake_call.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"

#define IMAGE(spec, status) "{\"kind\":\"image\",\"meta\":{\"name\":\"box\",\"revision\":2},\"spec\":{" spec "},\"status\":{" status "}}"
#define READY IMAGE("\"kind\":\"container\"", "\"state\":\"ready\"")
#define VOLUME(name, spec, status) "{\"kind\":\"volume\",\"meta\":{\"name\":\"" name "\",\"revision\":3,\"created_at\":\"2020-01-01T00:00:00.000Z\"}," \
	"\"spec\":{" spec "},\"status\":{\"state\":\"ready\"" status "}}"
#define DATA VOLUME("data", "\"size\":1048576", "")
#define SNAPSHOT "{\"kind\":\"snapshot\",\"meta\":{\"name\":\"s3\",\"revision\":4},\"spec\":{},\"status\":{\"state\":\"ready\"," \
	"\"taken_at\":\"2026-11-23T10:00:00.000Z\"}}"
#define UPLOADS { .expect = "POST /v1/uploads ", .reply = CREATED("{\"id\":\"up1\",\"size\":4,\"sha256\":\"x\"}") }

/* A file of four bytes, for uploads. */
static void with_file(char path[32])
{
	int fd;

	strcpy(path, "/tmp/cli-test-XXXXXX");
	fd = mkstemp(path);
	assert_int_equal(write(fd, "data", 4), 4);
	close(fd);
}

static void check_file(const struct fake_step *steps, size_t count, const char *format, int exit_code, const char *out, const char *message)
{
	char path[32], line[160];

	with_file(path);
	snprintf(line, sizeof(line), format, path);
	check(steps, count, line, exit_code, out, message);
	unlink(path);
}
#define CHECK_FILE(steps, ...) check_file((steps), ARRAY_COUNT(steps), __VA_ARGS__)

static void images_of_containers_are_made(void **state)
{
	static const struct fake_step build[] = {
		{ .expect = "{\"meta\":{\"name\":\"base:13\"},\"spec\":{\"build\":\"debian:13\",\"kind\":\"container\"}}", .reply = CREATED(READY) },
		{ .expect = "GET /v1/images/base:13 ", .reply = OK(READY) } };
	static const struct fake_step archive[] = { UPLOADS,
		{ .expect = "{\"meta\":{\"name\":\"box\"},\"spec\":{\"archive\":{\"upload\":\"up1\"},\"kind\":\"container\"}}", .reply = CREATED(READY) },
		{ .expect = "GET /v1/images/box ", .reply = OK(READY) } };
	static const struct fake_step pull[] = {
		{ .expect = "{\"meta\":{\"name\":\"box\"},\"spec\":{\"kind\":\"container\",\"pull\":{\"reference\":\"r.example:5000/box:2\","
		  "\"username\":\"ci\",\"plain_http\":true}}}", .reply = CREATED(READY) },
		{ .expect = "GET /v1/images/box ", .reply = OK(READY) } };

	(void)state;
	CHECK(build, "image build --container debian:13 base:13", 0, "base:13\n", NULL);
	CHECK_FILE(archive, "image import --container box %s", 0, "box\n", NULL);
	CHECK(pull, "image pull r.example:5000/box:2 box --username ci --plain-http", 0, "box\n", NULL);
	check(NULL, 0, "image import --container box", 2, "", "needs an archive");
	check(NULL, 0, "image import --container box x --format raw", 2, "", "only an image for a vm");
	check(NULL, 0, "image pull box --password-stdin", 2, "", "Give --username too");
}

static void a_password_comes_from_standard_input_alone(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "\"username\":\"ci\",\"password\":\"s3cret\"}", .reply = CREATED(READY) }, { .expect = "GET", .reply = OK(READY) } };
	int before = dup(STDIN_FILENO), pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "s3cret\r\n", 8), 8);
	close(pipes[1]);
	dup2(pipes[0], STDIN_FILENO);
	CHECK(steps, "image pull box --username ci --password-stdin", 0, "box\n", NULL);
	dup2(before, STDIN_FILENO);
	close(before);
	close(pipes[0]);
}

static void images_have_names_layers_and_ends(void **state)
{
#define LAYERS "\"layers\":[{\"diff_id\":\"b94d27b9934d3e08\",\"size\":2048,\"created_by\":\"make \\u001b install\"," \
	"\"created_at\":\"2020-01-01T00:00:00.000Z\"},{\"diff_id\":\"aa\",\"size\":1024}]"
	static const struct fake_step history[] = { { .expect = "GET /v1/images/box ",
		.reply = OK(IMAGE("\"kind\":\"container\"", "\"state\":\"ready\"," LAYERS)) } };
	static const struct fake_step vm[] = { { .reply = OK(IMAGE("\"kind\":\"vm\"", "\"state\":\"ready\"")) } };
	static const struct fake_step tag[] = { { .expect = "POST /v1/images/box/tag ", .reply = CREATED(READY) },
		{ .expect = "GET /v1/images/r.example%2Fa%2Fbox:2 ", .reply = OK(READY) } };
	static const struct fake_step named[] = { { .expect = "{\"name\":\"r.example/a/box:2\"}", .reply = CREATED(READY) },
		{ .reply = OK(READY) } };
	static const struct fake_step prune[] = { { .expect = "POST /v1/images/prune ",
		.reply = OK("{\"removed\":[\"old\",\"older\"],\"bytes\":2048}") } };
	static const struct fake_step all[] = { { .expect = "{\"all\":true}", .reply = OK("{\"removed\":[],\"bytes\":0}") } };
	static const struct fake_step export[] = { { .expect = "GET /v1/images/a%2Fbox:2/export?form=oci ", .reply = OK("tar") } };
	struct fake_daemon daemon;
	auto_free struct call *call = NULL;

	(void)state;
	fake_start(&daemon, history, 1);
	call = run(daemon.path, "image history box");
	fake_stop(&daemon);
	assert_non_null(strstr(call->out, "LAYER         AGE"));
	assert_non_null(strstr(call->out, "  2KiB  make ? install\naa            -      1KiB\n"));
	CHECK(history, "image history box -o name", 0, "b94d27b9934d3e08\naa\n", NULL);
	CHECK(vm, "image history box", 1, "", "only those for containers have layers");
	CHECK(tag, "image tag box r.example/a/box:2", 0, "r.example/a/box:2\n", NULL);
	CHECK(named, "image tag box r.example/a/box:2", 0, "r.example/a/box:2\n", NULL);
	CHECK(prune, "image prune", 0, "old\nolder\n", "2 removed, 2KiB freed\n");
	CHECK(all, "image prune --all --yes", 0, "", "0 removed, 0B freed\n");
	CHECK(export, "image export a/box:2 - --form oci", 0, NULL, NULL);
}

/* Pools and volumes. */

static void pools_are_made_and_removed(void **state)
{
#define POOL "{\"kind\":\"pool\",\"meta\":{\"name\":\"fast\",\"revision\":3},\"spec\":{\"driver\":\"btrfs\"},\"status\":{\"state\":\"ready\"}}"
	static const struct fake_step create[] = {
		{ .expect = "{\"meta\":{\"name\":\"fast\"},\"spec\":{\"driver\":\"btrfs\",\"source\":\"/dev/x\",\"size\":\"1G\"}}", .reply = CREATED(POOL) },
		{ .expect = "GET /v1/pools/fast ", .reply = OK(POOL) } };
	static const struct fake_step rm[] = { { .expect = "DELETE /v1/pools/fast ", .reply = ACCEPTED }, { .reply = NOT_FOUND } };
	static const struct fake_step ls[] = { { .expect = "GET /v1/pools ", .reply = OK("{\"items\":[" POOL "]}") } };

	(void)state;
	CHECK(create, "pool create fast --driver btrfs --source /dev/x --size 1G", 0, "fast\n", NULL);
	CHECK(rm, "pool rm fast", 0, "", NULL);
	CHECK(ls, "pool ls -o name", 0, "fast\n", NULL);
}

static void a_pool_shows_what_its_volumes_promise(void **state)
{
	static const char format[] = FAKE_CLOSE("200 OK", "{\"items\":["
		VOLUME("kept", "\"pool\":\"fast\",\"size\":1048576,\"snapshots\":\"hourly keep 24, daily keep 7\"", ",\"snapshot_at\":\"%s\"") ","
		VOLUME("late", "\"pool\":\"fast\",\"snapshots\":\"hourly keep 24\"", ",\"allocated\":2048,\"snapshot_at\":\"2026-01-01T00:00:00.000Z\"") ","
		VOLUME("none", "\"pool\":\"fast\"", "") "," VOLUME("elsewhere", "\"pool\":\"slow\"", "") "]}");
	char now[UNITS_TEXT_SIZE];
	auto_free char *volumes = text_format(format, units_format_time(clock_wall_ms() - 1800000, now));
	const struct fake_step steps[] = { { .expect = "GET /v1/pools/fast ", .reply = OK(POOL) }, { .expect = "GET /v1/volumes ", .reply = volumes } };
	const struct fake_step json[] = { { .expect = "GET /v1/pools/fast ", .reply = OK(POOL) } };
	struct fake_daemon daemon;
	auto_free struct call *call = NULL;

	(void)state;
	fake_start(&daemon, steps, 2);
	call = run(daemon.path, "pool show fast");
	fake_stop(&daemon);
	assert_non_null(strstr(call->out, "pool fast: ready\n"));
	assert_non_null(strstr(call->out, "VOLUME  SIZE      ALLOCATED  SNAPSHOTS                     NEWEST  PROMISE          KEPT\n"
					  "kept    1MiB      0B         hourly keep 24, daily keep 7  30m     lose 1h at most  yes\n"
					  "late    no limit  2KiB       hourly keep 24"));
	assert_non_null(strstr(call->out, "lose 1h at most  NO\n"));
	assert_non_null(strstr(call->out, "none    no limit  0B         -                             -       -                -\n"));
	assert_null(strstr(call->out, "elsewhere"));
	CHECK(json, "pool show fast -o name", 0, "fast\n", NULL);
}

static void volumes_are_made_changed_and_copied(void **state)
{
	static const struct fake_step disk[] = {
		{ .expect = "{\"meta\":{\"name\":\"data\"},\"spec\":{\"size\":\"1G\"}}", .reply = CREATED(DATA) }, { .reply = OK(DATA) } };
	static const struct fake_step folder[] = {
		{ .expect = "{\"meta\":{\"name\":\"data\"},\"spec\":{\"pool\":\"fast\",\"snapshots\":\"hourly keep 24\",\"content\":\"filesystem\"}}",
		  .reply = CREATED(DATA) }, { .reply = OK(DATA) } };
	static const struct fake_step set[] = { { .expect = "{\"spec\":{\"snapshots\":\"hourly keep 24, daily keep 7\"}}", .reply = OK(DATA) } };
	static const struct fake_step clone[] = { { .expect = "POST /v1/volumes/data/clone ", .reply = CREATED(DATA) },
		{ .expect = "GET /v1/volumes/two ", .reply = OK(DATA) } };
	static const struct fake_step of[] = { { .expect = "{\"name\":\"two\",\"snapshot\":\"s1\"}", .reply = CREATED(DATA) } };

	(void)state;
	CHECK(disk, "volume create data 1G", 0, "data\n", NULL);
	CHECK(folder, "volume create data --filesystem --pool fast --snapshots hourly~keep~24", 0, "data\n", NULL);
	CHECK(set, "volume set data snapshots=hourly~keep~24,~daily~keep~7", 0, "", NULL);
	CHECK(clone, "volume clone data two", 0, "two\n", NULL);
	CHECK(of, "volume clone data two --snapshot s1 --no-wait", 0, "two\n", NULL);
}

static void volumes_have_snapshots(void **state)
{
	static const struct fake_step create[] = {
		{ .expect = "GET /v1/volumes/data/snapshots ", .reply = OK("{\"items\":[{\"meta\":{\"name\":\"s2\"}}]}") },
		{ .expect = "{\"spec\":{},\"meta\":{\"name\":\"s3\"}}", .reply = CREATED(SNAPSHOT) },
		{ .expect = "GET /v1/volumes/data/snapshots/s3 ", .reply = OK(SNAPSHOT) } };
	static const struct fake_step ls[] = { { .expect = "GET /v1/volumes/data/snapshots ", .reply = OK("{\"items\":[" SNAPSHOT "]}") } };
	static const struct fake_step restore[] = { { .expect = "POST /v1/volumes/data/snapshots/s3/restore ", .reply = OK(DATA) },
		{ .expect = "GET /v1/volumes/data ", .reply = OK(DATA) } };
	static const struct fake_step rm[] = { { .expect = "DELETE /v1/volumes/data/snapshots/s3 ", .reply = ACCEPTED },
		{ .expect = "GET /v1/volumes/data/snapshots/s3 ", .reply = NOT_FOUND } };

	(void)state;
	CHECK(create, "volume snapshot create data", 0, "s3\n", NULL);
	CHECK(ls, "volume snapshot ls data --no-headers", 0, "s3  ready  2026-11-23T10:00:00.000Z  -\n", NULL);
	CHECK(restore, "volume snapshot restore data s3", 0, "", NULL);
	CHECK(rm, "volume snapshot rm data s3", 0, "", NULL);
	check(NULL, 0, "volume snapshot", 2, "", "volume snapshot restore");
	check(NULL, 0, "volume snapshot list data", 2, "", "did you mean 'volume snapshot ls'");
}

static void volumes_are_backed_up_and_restored(void **state)
{
	static const struct fake_step backup[] = { { .expect = "GET /v1/volumes/data/backup?snapshot=s2&base=s1 ", .reply = OK("bytes") } };
	static const struct fake_step restore[] = { UPLOADS,
		{ .expect = "{\"meta\":{\"name\":\"data\"},\"spec\":{\"pool\":\"fast\",\"source\":{\"upload\":\"up1\"}}}", .reply = CREATED(DATA) },
		{ .expect = "GET /v1/volumes/data ", .reply = OK(DATA) } };
	static const struct fake_step onto[] = { UPLOADS, { .expect = "POST /v1/volumes/data/receive ", .reply = OK(DATA) },
		{ .expect = "GET /v1/volumes/data ", .reply = OK(DATA) } };
	char path[32], line[96];
	auto_str struct str text = { 0 };
	struct err err;

	(void)state;
	with_file(path);
	snprintf(line, sizeof(line), "volume backup data %s --snapshot s2 --since s1", path);
	CHECK(backup, line, 0, "", NULL);
	assert_int_equal(file_read_all(path, 100, &text, &err), 0);
	assert_string_equal(text.data, "bytes");
	unlink(path);
	CHECK_FILE(restore, "volume restore %s data --pool fast", 0, "data\n", NULL);
	CHECK_FILE(onto, "volume restore %s data --onto", 0, "data\n", NULL);
	check(NULL, 0, "volume restore x data --onto --pool p", 2, "", "leave one of them out");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_of_containers_are_made),
		cmocka_unit_test(a_password_comes_from_standard_input_alone),
		cmocka_unit_test(images_have_names_layers_and_ends),
		cmocka_unit_test(pools_are_made_and_removed),
		cmocka_unit_test(a_pool_shows_what_its_volumes_promise),
		cmocka_unit_test(volumes_are_made_changed_and_copied),
		cmocka_unit_test(volumes_have_snapshots),
		cmocka_unit_test(volumes_are_backed_up_and_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
