/*
 * answer.h - what a controller's Redfish service says (DMTF DSP0266, schema ComputerSystem), which is not to be trusted: it is
 * another computer's, and often an old one.
 *
 * Errors:  -EPROTO what is missing or wrong, -EOPNOTSUPP the system has no such reset.
 * Threads: any.
 */
#ifndef DRIVER_POWER_REDFISH_ANSWER_H
#define DRIVER_POWER_REDFISH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "port/power.h"

enum { REDFISH_PATH_LENGTH = 255, REDFISH_ANSWER_BYTES = 256 << 10 };

/* "/redfish/v1/...": one that can stand in a URL as it is. */
bool redfish_is_path(const char *path);

/* Of the collection of systems: the path of the only one there is. -EPROTO names them when there are several. */
int redfish_parse_systems(const char *text, size_t size, char ret_path[REDFISH_PATH_LENGTH + 1], struct err *err);

struct redfish_system {
	enum power_state state;
	char reset[REDFISH_PATH_LENGTH + 1];	/* Where a reset is asked for. */
	bool can_force_off, can_turn_on;	/* Also when the service does not say what it can. */
};
int redfish_parse_system(const char *text, size_t size, struct redfish_system *ret_system, struct err *err);

/* Its own words of an error, or "" : for a message, in which it is shown()'s to clean. */
void redfish_parse_error(const char *text, size_t size, char ret_message[128]);

#endif
