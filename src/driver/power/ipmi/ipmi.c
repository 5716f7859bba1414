/*
 * IPMI 2.0 over LAN (RMCP+) by ipmitool, since its protocol and its ciphers are nobody's to write again. The password
 * reaches it through its environment, which only root and its own user can read.
 *
 * A controller that has accepted may take seconds, so its state is read until it is what it should be.
 */
#include "port/power.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

enum { REQUEST_MS = 20000, OUTPUT_BYTES = 4096, PORT_DEFAULT = 623 };

struct ipmi {
	struct power_driver base;
	char *address, *credentials;
	char host[POWER_ADDRESS_LENGTH + 1];
	uint16_t port;
};

static struct ipmi *ipmi_of(struct power_driver *driver)
{
	return container_of(driver, struct ipmi, base);
}

static void ipmi_close(struct power_driver *driver)
{
	struct ipmi *ipmi;

	if (!driver)
		return;
	ipmi = ipmi_of(driver);
	free(ipmi->address);
	free(ipmi->credentials);
	free(ipmi);
}

static int ipmi_open(const struct power_params *params, struct power_driver **ret_driver, struct err *err)
{
	struct ipmi *ipmi = alloc(sizeof(*ipmi));
	int r;

	*ipmi = (struct ipmi){
		.base = { &power_ipmi, params->limit_ms ? params->limit_ms : POWER_LIMIT_DEFAULT_MS },
		.address = text_copy(params->address), .credentials = text_copy(params->credentials), .port = PORT_DEFAULT,
	};
	r = power_parse_address(params->address ? params->address : "", ipmi->host, &ipmi->port, err);
	if (r == 0 && !params->credentials)
		r = err_set(err, -EINVAL, "controller '%s' needs credentials: name a file with 'user:password'", shown(params->address));
	if (r < 0) {
		ipmi_close(&ipmi->base);
		return r;
	}
	*ret_driver = &ipmi->base;
	return 0;
}

/* What ipmitool says besides its last line, which is not always the reason. */
struct complaint { bool is_refused; };

static void on_line(void *data, const char *line)
{
	static const char *const refusals[] = { "HMAC is invalid", "unauthorized name", "nsufficient privilege" };
	struct complaint *complaint = data;

	for (size_t i = 0; i < ARRAY_COUNT(refusals); i++)
		if (strstr(line, refusals[i]))
			complaint->is_refused = true;
}

static int explain(const struct ipmi *ipmi, const struct power_credentials *credentials, const struct complaint *complaint, int r, struct err *err)
{
	if (r == -ENOENT)
		return r;
	if (complaint->is_refused)
		return err_set(err, -EACCES, "controller '%s' refuses user '%s': change the credentials, or give the user the privilege 'administrator'",
			       shown(ipmi->address), shown(credentials->user));
	if (r == -ETIMEDOUT || strstr(err->msg, "Unable to establish"))
		return err_set(err, -EHOSTUNREACH, "controller '%s' does not answer to IPMI over LAN", shown(ipmi->address));
	return err_prefix(err, "controller '%s'", shown(ipmi->address));
}

static int run_ipmitool(struct ipmi *ipmi, const char *verb, struct str *output, struct err *err)
{
	struct power_credentials credentials;
	char port[8], password[sizeof(credentials.password) + sizeof("IPMI_PASSWORD=")];
	const char *const env[] = { password, NULL };
	const char *const argv[] = {
		/* -v: else a refusal reads as silence. */
		"ipmitool", "-v", "-I", "lanplus", "-H", ipmi->host, "-p", port, "-U", credentials.user, "-E", "-N", "1", "-R", "3",
		"chassis", "power", verb, NULL,
	};
	struct complaint complaint = { 0 };
	const struct spawn_io io = {
		.output = output, .output_max = OUTPUT_BYTES, .timeout_ms = REQUEST_MS, .on_line = on_line, .data = &complaint,
	};
	int r = power_read_credentials(ipmi->credentials, &credentials, err);

	if (r < 0)
		return r;
	snprintf(port, sizeof(port), "%u", ipmi->port);
	snprintf(password, sizeof(password), "IPMI_PASSWORD=%s", credentials.password);
	r = spawn_run(&(struct spawn_params){ .argv = argv, .env = env }, &io, err);
	if (r < 0)
		r = explain(ipmi, &credentials, &complaint, r, err);
	explicit_bzero(password, sizeof(password));
	explicit_bzero(&credentials, sizeof(credentials));
	return r;
}

/* In a line of its own; more than one would contradict each other. */
static int parse_state(const struct ipmi *ipmi, const char *output, enum power_state *ret_state, struct err *err)
{
	static const char words[] = "Chassis Power is ";
	const char *found = strstr(output, words), *value = found ? found + strlen(words) : "";

	if (!found || (found != output && found[-1] != '\n') || strstr(value, words) ||
	    !(text_starts_with(value, "off\n") || text_starts_with(value, "on\n")))
		return err_set(err, -EPROTO, "controller '%s': ipmitool says '%s' of its power", shown(ipmi->address), shown(output));
	*ret_state = text_starts_with(value, "off\n") ? POWER_OFF : POWER_ON;
	return 0;
}

static int ipmi_status(struct power_driver *driver, enum power_state *ret_state, struct err *err)
{
	struct ipmi *ipmi = ipmi_of(driver);
	auto_str struct str output = { 0 };
	int r = run_ipmitool(ipmi, "status", &output, err);

	if (r < 0)
		return r;
	return parse_state(ipmi, str_text(&output), ret_state, err);
}

static int change(struct power_driver *driver, enum power_state wanted, struct err *err)
{
	auto_str struct str output = { 0 };

	return run_ipmitool(ipmi_of(driver), wanted == POWER_OFF ? "off" : "on", &output, err);
}

static int ipmi_off(struct power_driver *driver, struct err *err)
{
	return power_switch(driver, POWER_OFF, change, err);
}

static int ipmi_on(struct power_driver *driver, struct err *err)
{
	return power_switch(driver, POWER_ON, change, err);
}

const struct power_ops power_ipmi = {
	.name = "ipmi",
	.open = ipmi_open,
	.close = ipmi_close,
	.status = ipmi_status,
	.off = ipmi_off,
	.on = ipmi_on,
};
