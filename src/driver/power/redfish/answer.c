#include "driver/power/redfish/answer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

bool redfish_is_path(const char *path)
{
	if (!path || strlen(path) > REDFISH_PATH_LENGTH || !text_starts_with(path, "/redfish/v1/") || strstr(path, ".."))
		return false;
	for (const char *c = path; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("/-._~:@=", *c))
			return false;
	return true;
}

static int parse(const char *text, size_t size, struct json **ret_json, struct err *err)
{
	if (size > REDFISH_ANSWER_BYTES)
		return err_set(err, -EPROTO, "the controller's answer has %zu bytes: at most %d are read", size, REDFISH_ANSWER_BYTES);
	if (json_parse(text, size, ret_json, err) < 0) {
		err->code = -EPROTO;
		return err_prefix(err, "the controller's answer");
	}
	return 0;
}

int redfish_parse_systems(const char *text, size_t size, char ret_path[REDFISH_PATH_LENGTH + 1], struct err *err)
{
	auto_json struct json *answer = NULL;
	const struct json *members;
	const char *path;
	int r = parse(text, size, &answer, err);

	if (r < 0)
		return r;
	members = json_get(answer, "Members");
	path = json_string(json_get(json_at(members, 0), "@odata.id"), NULL);
	if (!redfish_is_path(path))
		return err_set(err, -EPROTO, "the controller lists no system in 'Members': name one, as '/redfish/v1/Systems/1'");
	if (json_count(members) != 1)
		return err_set(err, -EPROTO, "the controller has %zu systems: name the host's, as '%s'", json_count(members), shown(path));
	strcpy(ret_path, path);
	return 0;
}

static enum power_state state_of(const char *name)
{
	return text_equal(name, "Off") ? POWER_OFF : text_equal(name, "On") ? POWER_ON : POWER_CHANGING;
}

static bool is_allowed(const struct json *reset, const char *type)
{
	const struct json *values = json_get(reset, "ResetType@Redfish.AllowableValues");

	if (json_type(values) != JSON_ARRAY)
		return true;
	for (size_t i = 0; i < json_count(values); i++)
		if (text_equal(json_string(json_at(values, i), ""), type))
			return true;
	return false;
}

int redfish_parse_system(const char *text, size_t size, struct redfish_system *ret_system, struct err *err)
{
	struct redfish_system system = { 0 };
	auto_json struct json *answer = NULL;
	const char *state, *target;
	const struct json *reset;
	int r = parse(text, size, &answer, err);

	if (r < 0)
		return r;
	state = json_string(json_get(answer, "PowerState"), NULL);
	if (!state)
		return err_set(err, -EPROTO, "the controller does not say the 'PowerState' of its system: is it the right one?");
	reset = json_get(json_get(answer, "Actions"), "#ComputerSystem.Reset");
	target = json_string(json_get(reset, "target"), NULL);
	if (!redfish_is_path(target))
		return err_set(err, -EPROTO, "the controller offers no '#ComputerSystem.Reset': is it the right system?");
	system.state = state_of(state);
	strcpy(system.reset, target);
	system.can_force_off = is_allowed(reset, "ForceOff");
	system.can_turn_on = is_allowed(reset, "On");
	*ret_system = system;
	return 0;
}

void redfish_parse_error(const char *text, size_t size, char ret_message[128])
{
	auto_json struct json *answer = NULL;
	struct err ignored;

	ret_message[0] = '\0';
	if (parse(text, size, &answer, &ignored) == 0)
		snprintf(ret_message, 128, "%s", json_string(json_path(answer, "error.message"), ""));
}
