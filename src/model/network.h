/*
 * network.h - the noun "network".
 */
#ifndef MODEL_NETWORK_H
#define MODEL_NETWORK_H

#include "model/meta.h"

struct network_spec {
	char *ipv4;			/* "10.1.2.1/24": the gateway's address and prefix; "none"; null: a free one is chosen. */
	char *ipv6;			/* Likewise; null: a unique local prefix (RFC 4193) is chosen. */
	bool nat;
	bool dhcp;
	char *domain;			/* DNS zone; null: "<name>.internal". */
	int64_t mtu;
	int64_t index;			/* Filled in: small, unique on the node. */
};

enum network_state { NETWORK_PENDING, NETWORK_READY, NETWORK_DELETING, NETWORK_FAILED };
extern const char *const network_state_names[];

struct network_status {
	int state;
	char *reason;
};

struct network {
	struct meta meta;
	struct network_spec spec;
	struct network_status status;
};

extern const struct field_table network_spec_table, network_status_table;

#endif
