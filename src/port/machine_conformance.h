/*
 * machine_conformance.h - what every driver of the machine port must do.
 *
 * A test program fills the struct and calls machine_conformance(), which runs the cases as a
 * cmocka group of its own and returns the number that failed.
 *
 * Linked into test programs only (needs cmocka).
 */
#ifndef PORT_MACHINE_CONFORMANCE_H
#define PORT_MACHINE_CONFORMANCE_H

#include "port/machine.h"

struct machine_conformance {
	const struct machine_ops *ops;
	struct machine_params params;
	struct machine_config config;	/* A guest with a writable root disk that boots to a guest agent. */
	struct machine_disk extra_disk;	/* To plug; its files exist. */
	enum loop_clock clock;		/* VIRTUAL for simulated machines. */
	unsigned boot_timeout_s;	/* How long the agent may take to appear. */
	bool runs_programs;		/* exec really runs them ("sh", "cat", "sleep"); else it echoes. */
};

int machine_conformance(const struct machine_conformance *conformance);

#endif
