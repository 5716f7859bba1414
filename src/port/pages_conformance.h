/*
 * pages_conformance.h - what every pages driver must do, as a program. The definition of the port.
 *
 * Each driver's test calls it with the parameters of two nodes that can reach each other, and of a third one that has another key.
 * What takes time is waited for, within a limit.
 *
 * Errors:  -EPROTO, saying which step did what instead of what.
 */
#ifndef PORT_PAGES_CONFORMANCE_H
#define PORT_PAGES_CONFORMANCE_H

#include "port/pages.h"

struct pages_conformance {
	const struct pages_ops *ops;
	struct pages_params nodes[2], stranger;		/* 'own' is filled in here. */
	struct pages_peer peers[3];			/* All three, as they are reached. */
	uint64_t (*now_ns)(void *data);			/* What stamps are made with. */
	void (*wait_ms)(void *data, unsigned ms);	/* Lets time pass. */
	void *data;
};

int pages_conformance(const struct pages_conformance *conformance, struct err *err);

#endif
