/*
 * pages.h - the pages port: how a host reads the telemetry pages (page.h) of others.
 *
 * Life cycle: open() with the own page; set_peers() whenever the cluster changes; publish() after each page_write() to the own
 * page; read() whenever somebody wants to know. A driver has threads of its own for what must wait; no operation waits for a peer,
 * but read() of "rdma", which waits PAGES_READ_LIMIT_MS at most.
 *
 * A page is old when its sample is, not when it came: read() tells the age of the sample. As clocks of hosts differ, a driver
 * keeps for each peer the least difference between arrival and stamp that it saw of late (struct pages_clock): that is the clocks'
 * difference and the quickest transit, so what came late, or was held back, counts as old.
 *
 * Errors:  open(): -EINVAL a parameter, -ENODEV no such device here, -EADDRINUSE, -EPERM; read(): -ENOENT nothing came from that node.
 * Memory:  arguments are borrowed, the own page until close().
 * Threads: any, at once.
 */
#ifndef PORT_PAGES_H
#define PORT_PAGES_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "port/page.h"

enum {
	PAGES_PORT = 7474,			/* UDP, and the service of RDMA: the default. */
	PAGES_KEY_BYTES = 32,
	PAGES_PEERS_MAX = 1024,
	PAGES_READ_LIMIT_MS = 5,
};

/* Large enough for both, and no larger: peers are copied by the thousand. */
union pages_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

struct pages_peer {
	uint8_t node[PAGE_UID_BYTES];
	union pages_address address;		/* With the port. Driver "udp": AF_UNSPEC (0) where the group reaches it. */
};

struct pages_params {
	const struct page *own;			/* Shared memory (page_shared_create()). */
	uint8_t node[PAGE_UID_BYTES];		/* Own uid. */
	union pages_address bind;		/* Where to listen; the address may be 0.0.0.0 or ::. */
	/* Driver "udp": where datagrams go as well as to the peers, and are heard; family AF_UNSPEC (0): nowhere. IPv4 or IPv6 as 'bind'. */
	union pages_address group;
	unsigned group_interface;		/* Index of the interface for the group; 0: the kernel chooses. */
	uint8_t key[PAGES_KEY_BYTES];		/* The cluster's: who has it not is neither heard nor answered. */
	void *world;				/* Driver "sim": struct sim_pages *. */
};

/* Since open(). What is refused is dropped without an answer. */
struct pages_counts {
	uint64_t sent, received;		/* Datagrams; of "rdma" connections made and pages read. */
	uint64_t send_failures;
	uint64_t malformed, unauthentic, replayed;	/* Refused. */
};

struct pages_ops;
struct pages_driver { const struct pages_ops *ops; };

enum pages_part { PAGES_HOST, PAGES_ALL };

struct pages_ops {
	const char *name;
	int (*open)(const struct pages_params *params, struct pages_driver **ret_driver, struct err *err);
	void (*close)(struct pages_driver *driver);		/* Null is fine. */
	/*
	 * Replaces the list; a peer that stays is not disturbed. The own node in it is passed over. Pages of nodes
	 * that are not in it are not there. -E2BIG beyond PAGES_PEERS_MAX, -EINVAL an address.
	 */
	int (*set_peers)(struct pages_driver *driver, const struct pages_peer *peers, size_t count, struct err *err);
	/* The own page has changed. Fails only if nothing at all could be sent: nobody need stop for that. */
	int (*publish)(struct pages_driver *driver, struct err *err);
	/*
	 * The newest page of a node and the age of its sample, however old. PAGES_HOST: only 'ret_page->host' is written. The table
	 * of instances may be of an earlier sample than the host's part.
	 */
	int (*read)(struct pages_driver *driver, const uint8_t node[PAGE_UID_BYTES], enum pages_part part, struct page *ret_page,
		    uint64_t *ret_age_ms, struct err *err);
	void (*counts)(struct pages_driver *driver, struct pages_counts *ret_counts);
};

extern const struct pages_ops pages_udp;
extern const struct pages_ops pages_rdma;	/* -ENODEV, with the reason, where the host cannot. */
extern const struct pages_ops pages_sim;

/* "10.0.0.1:7474", "[fd00::1]:7474"; without a port PAGES_PORT. -EINVAL. */
int pages_address_parse(const char *text, union pages_address *ret_address, struct err *err);
socklen_t pages_address_size(const union pages_address *address);

/*
 * ---- For drivers ----
 */

/* -ENOENT: the answer of read() where nothing came. */
int pages_unknown(const uint8_t node[PAGE_UID_BYTES], struct err *err);
int pages_check_count(size_t count, struct err *err);	/* Of peers: -E2BIG. */
int pages_check_params(const struct pages_params *params, struct err *err);

/* What was seen of a peer's clock: { 0 } is nothing. Times are CLOCK_BOOTTIME, of two hosts. */
struct pages_clock {
	int64_t least_ns, previous_least_ns;	/* Of (arrival - stamp), in this window and in the one before. */
	uint64_t window_begin_ns;
	bool has_least, has_previous;
};
/* A stamp of the peer was seen 'now'. */
void pages_clock_note(struct pages_clock *clock, uint64_t now_ns, uint64_t stamp_ns);
uint64_t pages_clock_age_ns(const struct pages_clock *clock, uint64_t now_ns, uint64_t stamp_ns);

uint64_t pages_now_ns(void);			/* CLOCK_BOOTTIME */

/* Is 'host' later than 'old', as far as the same boot's stamp or, after another boot, the wall clock says? */
bool pages_is_later(const struct page_host *host, const struct page_host *old);

enum { PAGES_MAC_BYTES = 32 };
/* HMAC-SHA-256 (RFC 2104). */
void pages_mac(const uint8_t key[PAGES_KEY_BYTES], const void *bytes, size_t size, uint8_t ret_mac[PAGES_MAC_BYTES]);
bool pages_mac_is(const uint8_t key[PAGES_KEY_BYTES], const void *bytes, size_t size, const uint8_t mac[PAGES_MAC_BYTES]);

#endif
