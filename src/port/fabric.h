/*
 * fabric.h - the fabric port: networks of this host and the nics of its instances.
 *
 * A driver makes networks and nics exist (bridge, ovs, ...).  What they are - names,
 * addresses, policies - is decided above and handed down as a whole; every "up" brings the
 * world to what it is given, whatever was there before, so that repeating it after a crash
 * or with changed values is right.
 *
 * Errors:  -ENOENT, -EBUSY (an address or port of the host is in use; the message says by what), -EPERM,
 *          -EOPNOTSUPP with the remedy.
 * Memory:  arguments are borrowed; 'ret_x' passes to the caller.
 * Threads: blocking, call from a worker; the driver serialises by itself.
 */
#ifndef PORT_FABRIC_H
#define PORT_FABRIC_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/vec.h"

struct fabric_params {
	const char *node_tag;		/* 4 lower-case hex digits, unique per daemon on this host: part of
					 * every interface, table and cgroup name. */
	const char *directory;		/* For dnsmasq's files and pids. */
	const char *cgroup;		/* Helpers (dnsmasq) run in this cgroup; null: ours. */
	void *world;			/* Driver "sim": struct sim_fabric *. */
	struct fault *fault;		/* Driver "sim". */
};

struct fabric_network {
	const char *uid;
	const char *name;		/* For people; DNS zone is "<name>.internal" unless 'domain' is set. */
	const char *domain;
	unsigned index;			/* Small number unique on this node: for the interface's name. */
	struct in_addr ipv4;		/* The host's address in it = gateway. 0.0.0.0: no IPv4. */
	unsigned ipv4_prefix;
	struct in6_addr ipv6;		/* :: none. */
	unsigned ipv6_prefix;
	bool has_nat;			/* Masquerade towards the outside. */
	bool has_dhcp;			/* DHCP, router advertisements and DNS on it. */
	unsigned mtu;			/* 0: 1500. */
};

enum fabric_protocol { FABRIC_TCP, FABRIC_UDP };

/* What is at the instance's end of a nic: a tap, which a machine opens; or a veth pair, whose inner end moves into the
 * network namespace of a container (nic_enter). */
enum fabric_nic_kind { FABRIC_TAP, FABRIC_VETH };

struct fabric_publish {
	enum fabric_protocol protocol;
	struct in6_addr host_address;	/* v4-mapped or v6; :: is every address of the host. */
	uint16_t host_port, guest_port;
};

enum { FABRIC_NIC_NUMBER_MAX = 9999999 };

struct fabric_nic {
	enum fabric_nic_kind kind;
	const char *instance;		/* uid */
	const char *hostname;		/* DNS name in the network. */
	const char *network;		/* uid; must be up. */
	unsigned index;			/* Nic number within the instance. */
	unsigned number;		/* Unique, up to FABRIC_NIC_NUMBER_MAX: for the interface's name. */
	uint8_t mac[6];
	struct in_addr ipv4;		/* 0: none. Given by DHCP, and the only source the guest may use. */
	struct in6_addr ipv6;
	const struct fabric_publish *publish;
	size_t publish_count;
};

struct fabric_name { char *uid; unsigned index; };	/* A network (index unused) or a nic. */
struct fabric_inventory {
	VEC(struct fabric_name) networks, nics;
};
void fabric_inventory_done(struct fabric_inventory *inventory);

struct fabric_ops;
struct fabric_driver { const struct fabric_ops *ops; };

struct fabric_ops {
	const char *name;
	int (*open)(const struct fabric_params *params, struct fabric_driver **ret_driver, struct err *err);
	void (*close)(struct fabric_driver *driver);	/* Leaves the world as it is. */
	int (*network_up)(struct fabric_driver *driver, const struct fabric_network *network, struct err *err);
	int (*network_down)(struct fabric_driver *driver, const char *uid, struct err *err);	/* Absent is fine. */
	/* 'ret_ifname': the tap to hand to the machine, or the host's end of the veth pair, which may come into being only at nic_enter. */
	int (*nic_up)(struct fabric_driver *driver, const struct fabric_nic *nic, char ret_ifname[IFNAMSIZ], struct err *err);
	/*
	 * FABRIC_VETH, after nic_up: the inner end moves into the network namespace of process 'pid' and becomes
	 * "eth<index>" there, up, with the nic's MAC, addresses (as permanent ones), default routes over the network's
	 * gateways and its mtu; loopback is brought up too. Repeatable: there already is fine. -EINVAL for a tap,
	 * -ENOENT before nic_up, -ESRCH when the process has ended.
	 */
	int (*nic_enter)(struct fabric_driver *driver, const struct fabric_nic *nic, pid_t pid, struct err *err);
	int (*nic_down)(struct fabric_driver *driver, const char *instance, unsigned index, struct err *err);	/* Absent is fine. */
	/* What exists in the world under this daemon's tag, whoever made it. */
	int (*inventory)(struct fabric_driver *driver, struct fabric_inventory *ret_inventory, struct err *err);
	/* Is this IPv4 subnet free on the host (no address or route overlaps)? 0, or -EBUSY with what uses it. */
	int (*check_subnet)(struct fabric_driver *driver, struct in_addr address, unsigned prefix, struct err *err);
	/* Can this host do it? For `strata doctor`: 0, or what is missing and the remedy. */
	int (*probe)(struct fabric_driver *driver, struct err *err);
	/* Takes down everything with this daemon's tag (uninstall, demo-stop, tests). */
	int (*clear)(struct fabric_driver *driver, struct err *err);
};

extern const struct fabric_ops fabric_bridge;
extern const struct fabric_ops fabric_sim;

/*
 * ---- For drivers ----
 *
 * What every driver would otherwise repeat. A driver calls the checks first: what passes them may
 * become part of a file name, a configuration line or a rule.
 */
int fabric_check_network(const struct fabric_network *network, struct err *err);
int fabric_check_nic(const struct fabric_nic *nic, struct err *err);

/* Copies that own everything they point to. */
struct fabric_network *fabric_network_copy(const struct fabric_network *network);
void fabric_network_free(struct fabric_network *network);	/* Null is fine. */
struct fabric_nic *fabric_nic_copy(const struct fabric_nic *nic);
void fabric_nic_free(struct fabric_nic *nic);			/* Null is fine. */

/* "<instance>:<index>": names a nic in maps. */
enum { FABRIC_UID_LENGTH = 63, FABRIC_KEY_SIZE = FABRIC_UID_LENGTH + 12 };
const char *fabric_nic_key(const char *instance, unsigned index, char buffer[FABRIC_KEY_SIZE]);

/* The DNS zone of the network. */
enum { FABRIC_DOMAIN_SIZE = 256 };
const char *fabric_domain(const struct fabric_network *network, char buffer[FABRIC_DOMAIN_SIZE]);

const char *fabric_protocol_name(enum fabric_protocol protocol);	/* "tcp" */
bool fabric_address_is_set(const struct in6_addr *address);		/* Not "::". */
/* Would both want the same packets? */
bool fabric_publish_overlaps(const struct fabric_publish *a, const struct fabric_publish *b);
/* Do two IPv4 subnets share an address? */
bool fabric_subnets_overlap(struct in_addr a, unsigned a_prefix, struct in_addr b, unsigned b_prefix);

#endif
