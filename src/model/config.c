#include "model/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static int listen_check(const void *value, struct err *err)
{
	const char *colon = strrchr(value, ':');
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;

	if (!colon || colon == value || end == colon + 1 || *end || port < 1 || port > 65535)
		return err_set(err, -EINVAL, "'%s' is not ADDRESS:PORT: use one like 127.0.0.1:8443", shown((const char *)value));
	return 0;
}

FIELD_TABLE(config_api_table, config_api, "The API.",
	FIELD(STRING, config_api, listen, .flags = FIELD_OMIT_EMPTY, .max = 255, .check = listen_check,
	      .doc = "ADDRESS:PORT for TLS with client certificates beside the unix socket; null: off."),
);

FIELD_TABLE(config_console_table, config_console, "Consoles.",
	FIELD(SIZE, config_console, log_size, .fallback = "1MiB", .min = 4096, .max = 1 << 30, .unit = "bytes",
	      .doc = "Console history kept per virtual machine; the log of a container is begun anew at 1MiB."),
);

FIELD_TABLE(config_table, config, "Settings of the daemon.",
	FIELD(OBJECT, config, api, .table = &config_api_table, .doc = "The API."),
	FIELD(OBJECT, config, console, .table = &config_console_table, .doc = "Consoles."),
);
