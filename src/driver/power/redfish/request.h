/*
 * request.h - one HTTPS request to a controller, made by curl as a process without privileges: what it parses is another's.
 *
 * URL, user and password reach it through its stdin, never its arguments. No redirects, no proxies.
 */
#ifndef DRIVER_POWER_REDFISH_REQUEST_H
#define DRIVER_POWER_REDFISH_REQUEST_H

#include "base/str.h"
#include "port/power.h"

struct redfish_request {
	const char *address, *ca_file, *path;
	const struct power_credentials *credentials;
	const char *body;		/* JSON to POST; null: GET. */
};

/* 'answer' is the body of an answer with status 2xx. Other statuses are errors: -EACCES, -ENOENT, -EIO. */
int redfish_request(const struct redfish_request *request, struct str *answer, struct err *err);

#endif
