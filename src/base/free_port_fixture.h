/*
 * free_port_fixture.h - for tests that start something on loopback and must say its port beforehand.
 *
 * Threads: from any.
 */
#ifndef FREE_PORT_FIXTURE_H
#define FREE_PORT_FIXTURE_H

#include <stdint.h>

/* A TCP port of 127.0.0.1 that nobody listens on now; nothing keeps it for the caller. */
uint16_t free_port(void);

#endif
