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

FIELD_TABLE(config_ratio_table, config_ratio, "How often what a host has may be promised to what runs.",
	FIELD(INT, config_ratio, cpus, .fallback = "1000", .min = 1, .max = 1000,
	      .doc = "How many CPUs may be promised for each CPU of the host: 1000 is as good as no limit, 1 is strict."),
	FIELD(INT, config_ratio, memory, .fallback = "1000", .min = 1, .max = 1000,
	      .doc = "How often the host's memory may be promised: 1000 is as good as no limit, 1 is strict."),
);

FIELD_TABLE(config_overcommit_table, config_overcommit, "How much more may be promised to what runs than there is.",
	FIELD(OBJECT, config_overcommit, vm, .table = &config_ratio_table, .doc = "Virtual machines."),
	FIELD(OBJECT, config_overcommit, container, .table = &config_ratio_table, .doc = "Containers, whose memory is a limit that few use up."),
);

FIELD_TABLE(config_reserved_table, config_reserved, "What of the host no instance is promised.",
	FIELD(INT, config_reserved, cpus, .fallback = "0", .max = 4096, .doc = "CPUs kept for the host itself."),
	FIELD(SIZE, config_reserved, memory, .fallback = "0", .max = 1ll << 50, .unit = "bytes", .doc = "Memory kept for the host itself."),
);

FIELD_TABLE(config_telemetry_table, config_telemetry, "How the hosts of a cluster tell each other their load.",
	FIELD(BOOL, config_telemetry, rdma, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Hosts read each other's load by RDMA: all of them or none. Those without a device use UDP, as all do without this."),
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
	FIELD(OBJECT, config, overcommit, .table = &config_overcommit_table, .doc = "How much more may be promised than there is."),
	FIELD(OBJECT, config, reserved, .table = &config_reserved_table, .doc = "What of the host no instance is promised."),
	FIELD(OBJECT, config, telemetry, .table = &config_telemetry_table, .doc = "How hosts tell each other their load."),
	FIELD(ENUM, config, store, .choices = stores, .fallback = "sqlite",
	      .doc = "Where objects are kept: in a file of this host, or in an etcd. Only in the file of --config."),
	FIELD(OBJECT, config, etcd, .table = &config_etcd_table, .doc = "Where etcd is, with 'store: etcd'. Only in the file of --config."),
);
