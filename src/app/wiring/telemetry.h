/*
 * telemetry.h - the daemon's part in the cluster's telemetry: samples this host, opens the transport as soon as key and address are known.
 *
 * Whatever fails here is logged; the daemon does without.
 *
 * Threads: main; the sampler has its own.
 */
#ifndef APP_WIRING_TELEMETRY_H
#define APP_WIRING_TELEMETRY_H

#include "1-hardware/telemetry/load_source.h"

struct telemetry_wiring;

/* 'cgroup': of the daemon, in version 2; instances are below it. */
int wiring_open_telemetry(const char *node_uid, const char *cgroup, struct telemetry_wiring **ret_wiring, struct err *err);
void wiring_close_telemetry(struct telemetry_wiring *wiring);		/* Null is fine. */
/* Null functions for a null wiring. */
struct load_source wiring_load_source(struct telemetry_wiring *wiring);

#endif
