#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/machine/qemu/migrate.h"

static struct json *parse(const char *text)
{
	struct json *json = NULL;
	struct err err;

	assert_int_equal(json_parse(text, strlen(text), &json, &err), 0);
	return json;
}

static struct migrate_state state_of(const char *text)
{
	auto_json struct json *json = parse(text);
	struct migrate_state state;

	migrate_state_read(json, &state);
	return state;
}

static void states_are_read(void **state)
{
	struct migrate_state active = state_of("{\"return\":{\"status\":\"active\",\"ram\":{\"transferred\":100,\"remaining\":50,\"total\":200,"
					       "\"dirty-pages-rate\":3,\"page-size\":4096,\"dirty-sync-count\":2}}}");

	(void)state;
	assert_int_equal(active.status, MIGRATE_GOING);
	assert_int_equal(active.sent, 100);
	assert_int_equal(active.remaining, 50);
	assert_int_equal(active.dirty_bytes_per_s, 3 * 4096);
	assert_int_equal(active.pass, 2);
	assert_int_equal(state_of("{\"return\":{\"status\":\"pre-switchover\"}}").status, MIGRATE_PRE_SWITCHOVER);
	assert_int_equal(state_of("{\"return\":{\"status\":\"completed\",\"downtime\":7}}").downtime_ms, 7);
	/* QEMU says nothing when there never was one, and may learn new words. */
	assert_int_equal(state_of("{\"return\":{}}").status, MIGRATE_NONE);
	assert_int_equal(state_of("{\"return\":{\"status\":\"new-word\"}}").status, MIGRATE_NONE);
}

static void failures_are_told_apart(void **state)
{
	struct migrate_state failed = state_of("{\"return\":{\"status\":\"failed\",\"error-desc\":\"Certificate does not match the hostname x\"}}");
	struct err err;

	(void)state;
	assert_int_equal(failed.status, MIGRATE_NONE);
	assert_int_equal(migrate_failure(failed.reason, &err), -EACCES);
	assert_int_equal(migrate_failure("Unable to write to socket: Broken pipe", &err), -EIO);
	assert_int_equal(migrate_failure("Cannot read from TLS channel: The TLS connection was non-properly terminated.", &err), -EIO);
	assert_int_equal(migrate_failure("", &err), -EIO);
	assert_true(err.msg[0]);
}

static uint16_t port_of(const char *text)
{
	auto_json struct json *json = parse(text);

	return migrate_port_read(json);
}

static void port_is_read(void **state)
{
	(void)state;
	assert_int_equal(port_of("{\"return\":{\"status\":\"setup\",\"socket-address\":[{\"port\":\"40583\",\"host\":\"::1\"}]}}"), 40583);
	assert_int_equal(port_of("{\"return\":{\"socket-address\":[{\"port\":\"99999\"}]}}"), 0);
	assert_int_equal(port_of("{\"return\":{\"socket-address\":[]}}"), 0);
	assert_int_equal(port_of("{\"return\":{}}"), 0);
}

static void jobs_are_read(void **state)
{
	auto_json struct json *json = parse("{\"return\":[{\"device\":\"s-1\",\"status\":\"running\"},"
					    "{\"device\":\"m-root\",\"status\":\"ready\",\"offset\":5,\"len\":9,\"io-status\":\"ok\"},"
					    "{\"device\":\"m-data\",\"status\":\"running\"},"
					    "{\"device\":\"m-cut\",\"status\":\"paused\",\"io-status\":\"failed\"},"
					    "{\"device\":\"m-lost\",\"io-status\":\"failed\",\"status\":\"concluded\",\"error\":\"Input/output error\"}]}");
	char reason[160];
	uint64_t done, total;

	(void)state;
	assert_int_equal(migrate_job_read(json, "m-root", &done, &total, reason), MIGRATE_JOB_READY);
	assert_int_equal(done, 5);
	assert_int_equal(total, 9);
	assert_string_equal(reason, "");
	assert_int_equal(migrate_job_read(json, "m-data", &done, &total, reason), MIGRATE_JOB_COPYING);
	assert_int_equal(migrate_job_read(json, "m-cut", &done, &total, reason), MIGRATE_JOB_STUCK);
	assert_int_equal(migrate_job_read(json, "m-lost", &done, &total, reason), MIGRATE_JOB_ENDED);
	assert_string_equal(reason, "Input/output error");
	assert_int_equal(migrate_job_read(json, "m-none", &done, &total, reason), MIGRATE_JOB_GONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_read), cmocka_unit_test(failures_are_told_apart), cmocka_unit_test(port_is_read),
		cmocka_unit_test(jobs_are_read),
	};

	return cmocka_run_group_tests_name("migrate_reply", tests, NULL, NULL);
}
