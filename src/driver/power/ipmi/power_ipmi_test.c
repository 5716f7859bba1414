#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "port/power_conformance.h"

/*
 * The controller is ipmi_sim, the simulator of OpenIPMI; the real ipmitool speaks with it. The host's power is a
 * file that its script reads and writes.
 */
struct fixture {
	char folder[40];
	char *credentials, *old_path;
	struct power_params params;
	pid_t pid;			/* Of ipmi_sim; 0: not here. */
	int pidfd;
};

static const char simulator_config[] =
	"name \"sim\"\n"
	"set_working_mc 0x20\n"
	"startlan 1\n"
	"addr 127.0.0.1 9623\n"
	"priv_limit admin\n"
	"allowed_auths_admin none md2 md5 straight\n"
	"guid a123456789abcdefa123456789abcdef\n"
	"endlan\n"
	"chassis_control \"%s/chassis\"\n"
	"user 2 true \"admin\" \"secret\" admin 10 none md2 md5 straight\n";

static const char simulator_commands[] =
	"mc_setbmc 0x20\n"
	"mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n"
	"mc_enable 0x20\n";

/* Called with "get power" or "set power 0"; a slow host sets it when it is asked for the second time. */
static const char chassis_script[] =
	"#!/bin/sh\n"
	"cd %s\n"
	"[ \"$2\" = power ] || exit 0\n"
	"if [ $1 = get ]; then\n"
	"	echo power:$(cat power)\n"
	"	[ ! -e pending ] || mv pending power\n"
	"elif [ $(cat mood) = slow ]; then\n"
	"	echo $3 >pending\n"
	"elif [ $(cat mood) = well ]; then\n"
	"	echo $3 >power\n"
	"fi\n";

/* The simulator knows no list of ciphers; ipmitool would ask three times for it, a second each. */
static const char tool_script[] = "#!/bin/sh\nexec %s -C 3 \"$@\"\n";

static void write_file(const struct fixture *fixture, const char *name, mode_t mode, const char *format, const char *argument)
{
	auto_free char *path = text_format("%s/%s", fixture->folder, name);
	auto_str struct str text = { 0 };
	struct err err;

	for (const char *c = format; *c; c++)
		if (c[0] == '%' && c[1] == 's') {
			str_append(&text, argument);
			c++;
		} else {
			str_append_char(&text, *c);
		}
	assert_int_equal(file_write_atomic(path, text.data, text.size, mode, &err), 0);
}

static void start_simulator(struct fixture *fixture)
{
	auto_free char *config = text_format("%s/lan.conf", fixture->folder), *commands = text_format("%s/sim.emu", fixture->folder);
	auto_free char *state = text_format("%s/state", fixture->folder);
	const char *const argv[] = { "ipmi_sim", "-c", config, "-f", commands, "-s", state, "-n", NULL };
	struct err err;

	write_file(fixture, "lan.conf", 0600, simulator_config, fixture->folder);
	write_file(fixture, "sim.emu", 0600, simulator_commands, "");
	write_file(fixture, "chassis", 0700, chassis_script, fixture->folder);
	assert_int_equal(mkdir(state, 0700), 0);
	if (spawn_start(&(struct spawn_params){ .argv = argv, .ends_with_parent = true }, &fixture->pid, &fixture->pidfd, &err) < 0)
		fail_msg("%s", err.msg);
}

static int set_up(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));
	auto_free char *tool = NULL, *simulator = NULL;
	struct err err;

	*state = fixture;
	strcpy(fixture->folder, "/tmp/strata-ipmi-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->credentials = text_format("%s/credentials", fixture->folder);
	fixture->old_path = text_copy(getenv("PATH"));
	fixture->params = (struct power_params){ .address = "127.0.0.1:9623", .credentials = fixture->credentials, .limit_ms = 5000 };
	if (spawn_find("ipmitool", &tool, &err) < 0 || spawn_find("ipmi_sim", &simulator, &err) < 0)
		return 0;
	auto_free char *path = text_format("%s:%s", fixture->folder, fixture->old_path);

	write_file(fixture, "ipmitool", 0700, tool_script, tool);
	setenv("PATH", path, 1);
	start_simulator(fixture);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	if (fixture->pid) {
		kill(fixture->pid, SIGKILL);
		waitpid(fixture->pid, NULL, 0);
		close(fixture->pidfd);
	}
	setenv("PATH", fixture->old_path, 1);
	assert_int_equal(file_remove_tree(fixture->folder, &err), 0);
	free(fixture->credentials);
	free(fixture->old_path);
	free(fixture);
	return 0;
}

static int set(void *data, bool is_on, enum power_mood mood, struct err *err)
{
	const struct fixture *fixture = data;

	(void)err;
	write_file(fixture, "power", 0600, is_on ? "1\n" : "0\n", "");
	write_file(fixture, "mood", 0600, mood == POWER_SLOW ? "slow\n" : mood == POWER_STUCK ? "stuck\n" : "well\n", "");
	write_file(fixture, "credentials", 0600, mood == POWER_REFUSES ? "admin:wrong\n" : "admin:secret\n", "");
	kill(fixture->pid, mood == POWER_SILENT ? SIGSTOP : SIGCONT);
	return 0;
}

static int get(void *data, bool *ret_is_on, struct err *err)
{
	const struct fixture *fixture = data;
	auto_free char *path = text_format("%s/power", fixture->folder);
	auto_str struct str text = { 0 };
	int r = file_read_all(path, 100, &text, err);

	*ret_is_on = text_equal(str_text(&text), "1\n");
	return r;
}

/* Its socket is there when it answers. */
static void wait_for_simulator(struct fixture *fixture)
{
	enum power_state state;
	struct power_driver *driver;
	struct err err;
	int r = -1;

	assert_int_equal(set(fixture, true, POWER_WELL, &err), 0);
	assert_int_equal(power_ipmi.open(&fixture->params, &driver, &err), 0);
	for (int i = 0; i < 10 && r < 0; i++)
		r = power_ipmi.status(driver, &state, &err);
	power_ipmi.close(driver);
	if (r < 0)
		fail_msg("%s", err.msg);
}

static void test_conformance(void **state)
{
	struct fixture *fixture = *state;
	struct power_conformance conformance = { .ops = &power_ipmi, .params = fixture->params, .data = fixture, .set = set, .get = get };
	struct err err;

	if (!fixture->pid) {
		print_message("ipmitool or ipmi_sim (package openipmi) is missing here\n");
		skip();
	}
	wait_for_simulator(fixture);
	for (const struct power_case *test = power_cases; test->name; test++)
		if (power_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
}

static void test_bad_params(void **state)
{
	struct power_params params = { .credentials = "/c" };
	struct power_driver *driver;
	struct err err;

	(void)state;
	for (const char *const *address = (const char *const[]){ "", "-H", "a b", "a:0", "https://a", NULL }; *address; address++) {
		params.address = *address;
		assert_int_equal(power_ipmi.open(&params, &driver, &err), -EINVAL);
	}
	params.address = "bmc1.example";
	assert_int_equal(power_ipmi.open(&params, &driver, &err), 0);
	power_ipmi.close(driver);
	params.credentials = NULL;
	assert_int_equal(power_ipmi.open(&params, &driver, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conformance, set_up, tear_down), cmocka_unit_test(test_bad_params),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
