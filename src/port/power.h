/*
 * power.h - the power port: the power of another host, switched by the controller on its board (BMC).
 *
 * Who takes over the instances of a host that does not answer wants to know that it is off: 'off' returns 0 only
 * when the controller has confirmed it. Any failure means: not known. A controller is opened, asked and closed; nothing
 * is kept but what params say.
 *
 * Errors:  -EINVAL a param, -EACCES the controller refuses the credentials (or their file is open to others), -EHOSTUNREACH no
 *          answer, -EPROTO an answer that is not understood, -EOPNOTSUPP it cannot do that, -ETIMEDOUT it has accepted but the
 *          host is not off (on) within the limit, -ENOENT a program is missing, else -EIO.
 * Memory:  'ret_x' passes to the caller on success; the texts of params are copied.
 * Threads: each driver by one thread at a time. Every operation blocks, 'off' and 'on' up to the limit: call from a worker.
 */
#ifndef PORT_POWER_H
#define PORT_POWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fault.h"

enum { POWER_LIMIT_DEFAULT_MS = 60000, POWER_ADDRESS_LENGTH = 255, POWER_CREDENTIAL_LENGTH = 127 };

enum power_state { POWER_OFF, POWER_ON, POWER_CHANGING /* On its way, or a state without a name here: not off. */ };
const char *power_state_name(enum power_state state);	/* "off", ... for messages. */

struct power_params {
	const char *address;		/* Driver "redfish": "https://host[:port]", "ipmi": "host[:port]" (name, IPv4, or [IPv6]). */
	const char *credentials;	/* Path of a file "user:password", which only its owner may read. Read at each use. */
	const char *ca_file;		/* "redfish": PEM that the controller's certificate is checked with, readable by all; null: the host's. */
	const char *system;		/* "redfish": path of the system, "/redfish/v1/Systems/1"; null: the only one there is. */
	uint32_t limit_ms;		/* For 'off' and 'on'; 0: POWER_LIMIT_DEFAULT_MS. */
	void *world;			/* Driver "sim": struct sim_power *, outlives the driver. */
	struct fault *fault;		/* Driver "sim"; may be null. */
};

struct power_ops;
struct power_driver { const struct power_ops *ops; uint32_t limit_ms; };	/* Embedded first in the driver's own struct. */

struct power_ops {
	const char *name;
	/* Asks nobody yet. */
	int (*open)(const struct power_params *params, struct power_driver **ret_driver, struct err *err);
	void (*close)(struct power_driver *driver);		/* Null is fine. */
	int (*status)(struct power_driver *driver, enum power_state *ret_state, struct err *err);
	int (*off)(struct power_driver *driver, struct err *err);	/* At once, without asking the system. Off already is fine. */
	int (*on)(struct power_driver *driver, struct err *err);	/* On already is fine. */
};

extern const struct power_ops power_redfish;
extern const struct power_ops power_ipmi;
extern const struct power_ops power_sim;

/* ---- For drivers ---- */

struct power_credentials { char user[POWER_CREDENTIAL_LENGTH + 1], password[POWER_CREDENTIAL_LENGTH + 1]; };
int power_read_credentials(const char *path, struct power_credentials *ret_credentials, struct err *err);

/* "host[:port]" as above; 'ret_port' is not written without one. */
int power_parse_address(const char *address, char ret_host[POWER_ADDRESS_LENGTH + 1], uint16_t *ret_port, struct err *err);

/*
 * Switches with 'change' and asks until it is so or the limit has passed. Every try to ask may fail meanwhile:
 * controllers fall silent when power changes.
 */
int power_switch(struct power_driver *driver, enum power_state wanted, int (*change)(struct power_driver *driver, enum power_state wanted,
		 struct err *err), struct err *err);

#endif
