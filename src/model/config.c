#include "model/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
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

FIELD_TABLE(config_etcd_table, config_etcd, "Where etcd is, with 'store: etcd'. Only in the file of --config.",
	FIELD(STRINGS, config_etcd, endpoints, .flags = FIELD_OMIT_EMPTY, .max = LIMIT_ETCD_ENDPOINTS,
	      .doc = "Members of one cluster, as https://192.0.2.1:2379: any that answers will do."),
	FIELD(STRING, config_etcd, prefix, .flags = FIELD_OMIT_EMPTY, .max = 255,
	      .doc = "What all keys begin with, as /strata/house/; unset: /strata/ and the uid of this node."),
	FIELD(STRING, config_etcd, ca, .flags = FIELD_OMIT_EMPTY, .max = 4096,
	      .doc = "PEM file of the authority that has signed etcd's certificates; unset: those that the system trusts."),
	FIELD(STRING, config_etcd, certificate, .flags = FIELD_OMIT_EMPTY, .max = 4096, .doc = "PEM file of the client certificate."),
	FIELD(STRING, config_etcd, key, .flags = FIELD_OMIT_EMPTY, .max = 4096, .doc = "PEM file of its key."),
	FIELD(DURATION, config_etcd, timeout, .fallback = "5s", .min = 100, .max = 600000, .unit = "ms",
	      .doc = "How long one member may take for one answer; after four times that a change is given up."),
);

static const char *const stores[] = { "sqlite", "etcd", NULL };

FIELD_TABLE(config_table, config, "Settings of the daemon.",
	FIELD(OBJECT, config, api, .table = &config_api_table, .doc = "The API."),
	FIELD(OBJECT, config, console, .table = &config_console_table, .doc = "Consoles."),
	FIELD(ENUM, config, store, .choices = stores, .fallback = "sqlite",
	      .doc = "Where objects are kept: in a file of this host, or in an etcd. Only in the file of --config."),
	FIELD(OBJECT, config, etcd, .table = &config_etcd_table, .doc = "Where etcd is, with 'store: etcd'. Only in the file of --config."),
);
