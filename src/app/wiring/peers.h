/*
 * peers.h - how things come from other nodes: over TLS, from their API.
 *
 * Threads: wiring_peers() in the main thread; what it gives is called from workers.
 */
#ifndef APP_WIRING_PEERS_H
#define APP_WIRING_PEERS_H

#include "2-virtualization/agent/agent.h"

/* 'certificates': folder of pki.h; borrowed, as long as the source is used. */
struct peer_source wiring_peers(const char *certificates);

#endif
