/*
 * Redfish (DMTF DSP0266): the system is looked for in /redfish/v1/Systems, its PowerState is read, and its action
 * ComputerSystem.Reset is asked for ForceOff or On. A controller that has accepted may take seconds, so its state is
 * read until it is what it should be.
 */
#include "port/power.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/power/redfish/answer.h"
#include "driver/power/redfish/request.h"

#define SCHEME "https://"

struct redfish {
	struct power_driver base;
	char *address, *credentials, *ca_file, *system;
};

static struct redfish *redfish_of(struct power_driver *driver)
{
	return container_of(driver, struct redfish, base);
}

static void redfish_close(struct power_driver *driver)
{
	struct redfish *redfish;

	if (!driver)
		return;
	redfish = redfish_of(driver);
	free(redfish->address);
	free(redfish->credentials);
	free(redfish->ca_file);
	free(redfish->system);
	free(redfish);
}

static int check(const struct power_params *params, struct err *err)
{
	char host[POWER_ADDRESS_LENGTH + 1];
	uint16_t port;

	if (!params->address || !text_starts_with(params->address, SCHEME))
		return err_set(err, -EINVAL, "address '%s' of a Redfish controller: give 'https://host[:port]'", shown(params->address ? params->address : ""));
	if (!params->credentials)
		return err_set(err, -EINVAL, "controller '%s' needs credentials: name a file with 'user:password'", shown(params->address));
	if (params->system && !redfish_is_path(params->system))
		return err_set(err, -EINVAL, "system '%s': give a path as '/redfish/v1/Systems/1'", shown(params->system));
	return power_parse_address(params->address + strlen(SCHEME), host, &port, err);
}

static int redfish_open(const struct power_params *params, struct power_driver **ret_driver, struct err *err)
{
	struct redfish *redfish;
	int r = check(params, err);

	if (r < 0)
		return r;
	redfish = alloc(sizeof(*redfish));
	*redfish = (struct redfish){
		.base = { &power_redfish, params->limit_ms ? params->limit_ms : POWER_LIMIT_DEFAULT_MS },
		.address = text_copy(params->address), .credentials = text_copy(params->credentials), .ca_file = text_copy(params->ca_file),
		.system = text_copy(params->system),
	};
	*ret_driver = &redfish->base;
	return 0;
}

static int request(const struct redfish *redfish, const char *path, const char *body, struct str *answer, struct err *err)
{
	struct power_credentials credentials;
	int r = power_read_credentials(redfish->credentials, &credentials, err);

	if (r == 0)
		r = redfish_request(&(struct redfish_request){ redfish->address, redfish->ca_file, path, &credentials, body }, answer, err);
	explicit_bzero(&credentials, sizeof(credentials));
	return r;
}

/* Once it has been found it stays: a controller does not rename its host. */
static int find_system(struct redfish *redfish, struct err *err)
{
	char path[REDFISH_PATH_LENGTH + 1];
	auto_str struct str answer = { 0 };
	int r;

	if (redfish->system)
		return 0;
	r = request(redfish, "/redfish/v1/Systems", NULL, &answer, err);
	if (r == 0)
		r = redfish_parse_systems(str_text(&answer), answer.size, path, err);
	if (r == 0)
		redfish->system = text_copy(path);
	return r;
}

static int read_system(struct redfish *redfish, struct redfish_system *ret_system, struct err *err)
{
	auto_str struct str answer = { 0 };
	int r = find_system(redfish, err);

	if (r == 0)
		r = request(redfish, redfish->system, NULL, &answer, err);
	return r < 0 ? r : redfish_parse_system(str_text(&answer), answer.size, ret_system, err);
}

static int redfish_status(struct power_driver *driver, enum power_state *ret_state, struct err *err)
{
	struct redfish_system system;
	int r = read_system(redfish_of(driver), &system, err);

	if (r == 0)
		*ret_state = system.state;
	return r;
}

static int change(struct power_driver *driver, enum power_state wanted, struct err *err)
{
	struct redfish *redfish = redfish_of(driver);
	auto_str struct str answer = { 0 };
	struct redfish_system system;
	int r = read_system(redfish, &system, err);

	if (r < 0)
		return r;
	if (!(wanted == POWER_OFF ? system.can_force_off : system.can_turn_on))
		return err_set(err, -EOPNOTSUPP, "controller '%s' cannot turn its host %s by force: use another way", shown(redfish->address),
			       power_state_name(wanted));
	return request(redfish, system.reset, wanted == POWER_OFF ? "{\"ResetType\":\"ForceOff\"}" : "{\"ResetType\":\"On\"}", &answer, err);
}

static int redfish_off(struct power_driver *driver, struct err *err)
{
	return power_switch(driver, POWER_OFF, change, err);
}

static int redfish_on(struct power_driver *driver, struct err *err)
{
	return power_switch(driver, POWER_ON, change, err);
}

const struct power_ops power_redfish = {
	.name = "redfish",
	.open = redfish_open,
	.close = redfish_close,
	.status = redfish_status,
	.off = redfish_off,
	.on = redfish_on,
};
