#include "driver/machine/qemu/monitor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

/* Everything a monitor calls out, as words in a line. */
struct bench {
	struct monitor monitor;
	struct str said;
};

static void report(void *data, enum machine_event_kind kind, const char *text)
{
	static const char *const names[] = {
		[MACHINE_EVENT_EXITED] = "exited", [MACHINE_EVENT_PAUSED] = "paused", [MACHINE_EVENT_RESUMED] = "resumed",
		[MACHINE_EVENT_IO_ERROR] = "io-error", [MACHINE_EVENT_AGENT_UP] = "agent-up",
		[MACHINE_EVENT_AGENT_DOWN] = "agent-down", [MACHINE_EVENT_PANICKED] = "panicked",
	};
	struct bench *bench = data;

	str_printf(&bench->said, "%s%s%s ", names[kind], *text ? ":" : "", text);
}

static void ask(void *data, const char *command)
{
	struct bench *bench = data;

	str_printf(&bench->said, "?%s ", command);
}

static void guest_is_off(void *data)
{
	struct bench *bench = data;

	str_append(&bench->said, "off ");
}

static int set_up(void **state)
{
	struct bench *bench = alloc(sizeof(*bench));

	bench->monitor = (struct monitor){
		.report = report, .ask = ask, .guest_is_off = guest_is_off, .data = bench, .lines.max_bytes = 1000,
	};
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	monitor_done(&bench->monitor);
	str_done(&bench->said);
	free(bench);
	return 0;
}

static void expect(struct bench *bench, const char *text, const char *said)
{
	struct err err;

	str_clear(&bench->said);
	assert_int_equal(monitor_take(&bench->monitor, text, strlen(text), &err), 0);
	assert_string_equal(str_text(&bench->said), said);
}

static void status(struct bench *bench, const char *word, const char *said)
{
	auto_free char *text = text_format("{\"return\":{\"status\":\"%s\"},\"id\":\"query-status\"}\n", word);

	expect(bench, text, said);
}

static void greeting_asks_what_happened(void **state)
{
	struct bench *bench = *state;

	expect(bench, "{\"QMP\":{}}\n", "?qmp_capabilities ?query-status ?query-chardev ");
	expect(bench, "{\"return\":{},\"id\":\"qmp_capabilities\"}\n", "");
	status(bench, "running", "");
	expect(bench, "{\"return\":[{\"label\":\"qmp\",\"frontend-open\":true},{\"label\":\"agent\",\"frontend-open\":true}],"
		      "\"id\":\"query-chardev\"}\n", "agent-up ");
}

static void stops_are_told_apart(void **state)
{
	struct bench *bench = *state;

	expect(bench, "{\"event\":\"STOP\"}\n", "?query-status ");
	status(bench, "save-vm", "");
	expect(bench, "{\"event\":\"RESUME\"}\n", "?query-status ");
	status(bench, "running", "");
	status(bench, "paused", "paused ");
	status(bench, "paused", "");
	status(bench, "running", "resumed ");
}

static void full_disk_has_a_reason(void **state)
{
	struct bench *bench = *state;

	expect(bench, "{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"action\":\"report\",\"reason\":\"x\"}}\n", "");
	expect(bench, "{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"action\":\"stop\",\"nospace\":true,\"reason\":\"x\"}}\n",
	       "?query-status ");
	status(bench, "io-error", "io-error:No space left on device ");
}

static void agent_comes_and_goes(void **state)
{
	struct bench *bench = *state;

	expect(bench, "{\"event\":\"VSERPORT_CHANGE\",\"data\":{\"id\":\"agent\",\"open\":true}}\n", "agent-up ");
	expect(bench, "{\"event\":\"VSERPORT_CHANGE\",\"data\":{\"id\":\"terminal\",\"open\":false}}\n", "");
	expect(bench, "{\"event\":\"VSERPORT_CHANGE\",\"data\":{\"id\":\"agent\",\"open\":false}}\n", "agent-down ");
}

static void power_off_has_a_cause(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(monitor_exit_cause(&bench->monitor), MACHINE_EXIT_FAILED);
	expect(bench, "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-shutdown\"}}\n", "off ");
	assert_int_equal(monitor_exit_cause(&bench->monitor), MACHINE_EXIT_GUEST_OFF);
}

static void power_off_before_we_looked(void **state)
{
	struct bench *bench = *state;

	status(bench, "shutdown", "off ");
	assert_int_equal(monitor_exit_cause(&bench->monitor), MACHINE_EXIT_GUEST_OFF);
}

static void nonsense_ends_the_stream(void **state)
{
	struct bench *bench = *state;
	char flood[1001];
	struct err err;

	memset(flood, 'x', sizeof(flood));
	assert_int_equal(monitor_take(&bench->monitor, flood, sizeof(flood), &err), -EFBIG);
	assert_int_equal(monitor_take(&bench->monitor, "boo\n", 4, &err), -EPROTO);
}

static void wrong_types_do_no_harm(void **state)
{
	struct bench *bench = *state;

	expect(bench, "{\"event\":\"VSERPORT_CHANGE\",\"data\":[]}\n{\"event\":\"SHUTDOWN\",\"data\":7}\n"
		      "{\"return\":{\"status\":{}},\"id\":\"query-status\"}\n{\"return\":7,\"id\":\"query-chardev\"}\n"
		      "{\"return\":7,\"id\":[]}\n", "off ");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(greeting_asks_what_happened), CASE(stops_are_told_apart), CASE(full_disk_has_a_reason),
		CASE(agent_comes_and_goes), CASE(power_off_has_a_cause), CASE(power_off_before_we_looked),
		CASE(nonsense_ends_the_stream), CASE(wrong_types_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
