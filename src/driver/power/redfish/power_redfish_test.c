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
#include "driver/power/redfish/answer.h"
#include "port/power_conformance.h"

#define SIMULATOR "src/driver/power/redfish/simulator.py"

/* A controller, simulated by a process of its own that speaks HTTPS on loopback. */
struct fixture {
	char folder[40];
	char *address, *credentials, *certificate, *key, *simulator;
	struct power_params params;
	pid_t pid;
	int pidfd;
};

static void write_file(const struct fixture *fixture, const char *name, const char *text, mode_t mode)
{
	auto_free char *path = text_format("%s/%s", fixture->folder, name);
	struct err err;

	assert_int_equal(file_write_atomic(path, text, strlen(text), mode, &err), 0);
}

static char *read_file(const struct fixture *fixture, const char *name)
{
	auto_free char *path = text_format("%s/%s", fixture->folder, name);
	struct str text = { 0 };
	struct err err;

	file_read_all(path, 100, &text, &err);
	return text.data;
}

static void make_certificate(const struct fixture *fixture)
{
	const char *const argv[] = {
		"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=bmc",
		"-addext", "subjectAltName=IP:127.0.0.1", "-keyout", fixture->key, "-out", fixture->certificate, NULL,
	};
	struct err err;

	if (spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(chmod(fixture->certificate, 0644), 0);
}

static void start_simulator(struct fixture *fixture)
{
	const char *const argv[] = { "python3", fixture->simulator, fixture->folder, fixture->certificate, fixture->key, NULL };
	char *port = NULL;
	struct err err;

	if (spawn_start(&(struct spawn_params){ .argv = argv, .ends_with_parent = true }, &fixture->pid, &fixture->pidfd, &err) < 0)
		fail_msg("%s", err.msg);
	for (int i = 0; i < 3000 && !port; i++) {
		poll(NULL, 0, 10);
		port = read_file(fixture, "port");
	}
	assert_non_null(port);
	fixture->address = text_format("https://127.0.0.1:%s", port);
	free(port);
}

static int set_up(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));
	auto_free char *here = realpath(SIMULATOR, NULL);

	*state = fixture;
	strcpy(fixture->folder, "/tmp/strata-redfish-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	assert_int_equal(chmod(fixture->folder, 0755), 0);
	fixture->simulator = take(here);
	assert_non_null(fixture->simulator);		/* Tests run in the root of the repository. */
	fixture->credentials = text_format("%s/credentials", fixture->folder);
	fixture->certificate = text_format("%s/bmc.pem", fixture->folder);
	fixture->key = text_format("%s/bmc.key", fixture->folder);
	write_file(fixture, "credentials", "admin:a\"\\b c\n", 0600);
	write_file(fixture, "mood", "well", 0644);
	write_file(fixture, "power", "On", 0644);
	make_certificate(fixture);
	start_simulator(fixture);
	fixture->params = (struct power_params){
		.address = fixture->address, .credentials = fixture->credentials, .ca_file = fixture->certificate, .limit_ms = 2000,
	};
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	kill(fixture->pid, SIGKILL);
	waitpid(fixture->pid, NULL, 0);
	close(fixture->pidfd);
	assert_int_equal(file_remove_tree(fixture->folder, &err), 0);
	free(fixture->address);
	free(fixture->credentials);
	free(fixture->certificate);
	free(fixture->key);
	free(fixture->simulator);
	free(fixture);
	return 0;
}

static int set(void *data, bool is_on, enum power_mood mood, struct err *err)
{
	static const char *const names[] = {
		[POWER_WELL] = "well", [POWER_SLOW] = "slow", [POWER_STUCK] = "stuck", [POWER_REFUSES] = "refuses", [POWER_SILENT] = "silent",
	};

	(void)err;
	write_file(data, "power", is_on ? "On" : "Off", 0644);
	write_file(data, "mood", names[mood], 0644);
	return 0;
}

static int get(void *data, bool *ret_is_on, struct err *err)
{
	auto_free char *text = read_file(data, "power");

	(void)err;
	*ret_is_on = text_equal(text, "On");
	return 0;
}

static void test_conformance(void **state)
{
	struct fixture *fixture = *state;
	struct power_conformance conformance = { .ops = &power_redfish, .params = fixture->params, .data = fixture, .set = set, .get = get };
	struct err err;

	for (const struct power_case *test = power_cases; test->name; test++)
		if (power_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
}

static void expect_off(struct fixture *fixture, const struct power_params *params, int code, const char *part)
{
	struct power_driver *driver;
	struct err err = { 0 };

	assert_int_equal(power_redfish.open(params, &driver, &err), 0);
	assert_int_equal(power_redfish.off(driver, &err), code);
	if (!strstr(err.msg, part))
		fail_msg("'%s' is not in '%s'", part, err.msg);
	power_redfish.close(driver);
	auto_free char *power = read_file(fixture, "power");

	assert_string_equal(power, "On");
}

/* Whatever the controller says, a host that is on is not taken for off. */
static void test_odd_controllers(void **state)
{
	static const struct { const char *mood, *part; int code; } odd[] = {
		{ "nonsense", "controller's answer", -EPROTO }, { "many", "2 systems", -EPROTO }, { "polite", "by force", -EOPNOTSUPP },
		{ "elsewhere", "ComputerSystem.Reset", -EPROTO },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_COUNT(odd); i++) {
		write_file(fixture, "mood", odd[i].mood, 0644);
		expect_off(fixture, &fixture->params, odd[i].code, odd[i].part);
	}
}

static void test_params(void **state)
{
	struct fixture *fixture = *state;
	struct power_params params = fixture->params;

	params.ca_file = NULL;				/* Nobody vouches for it. */
	expect_off(fixture, &params, -EACCES, "cannot prove who it is");
	params = fixture->params;
	params.system = "/redfish/v1/Systems/other";
	expect_off(fixture, &params, -ENOENT, "no '/redfish/v1/Systems/other'");
	params = fixture->params;
	assert_int_equal(chmod(fixture->credentials, 0644), 0);
	expect_off(fixture, &params, -EACCES, "chmod 600");
	write_file(fixture, "credentials", "admin", 0600);
	expect_off(fixture, &params, -EINVAL, "user:password");
	write_file(fixture, "credentials", "admin:wrong", 0600);
	expect_off(fixture, &params, -EACCES, "refuses user 'admin'");
}

static void test_bad_params(void **state)
{
	static const char *const addresses[] = {
		"http://127.0.0.1", "127.0.0.1", "https://", "https://a b", "https://a/b", "https://-a", "https://a:0", "https://a:65536", "https://[::1",
		"https://[::1]x", "https://a\"b", "https://u@a", "https://a:80:80",
	};
	struct power_params params = { .credentials = "/c" };
	struct power_driver *driver;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
		params.address = addresses[i];
		if (power_redfish.open(&params, &driver, &err) != -EINVAL)
			fail_msg("'%s' is accepted", addresses[i]);
	}
	params.address = "https://[fe80::1]:8443";
	params.system = "/redfish/v1/../x";
	assert_int_equal(power_redfish.open(&params, &driver, &err), -EINVAL);
	params.system = NULL;
	assert_int_equal(power_redfish.open(&params, &driver, &err), 0);
	power_redfish.close(driver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conformance, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_odd_controllers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_params, set_up, tear_down), cmocka_unit_test(test_bad_params),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
