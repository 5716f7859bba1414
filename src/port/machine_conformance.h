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

/* What machines of this kind do not have; the driver then refuses with words (-EOPNOTSUPP). */
struct machine_lacks {
	bool disks;			/* To plug while it runs. */
	bool snapshots;
	bool migration;			/* Live. */
	bool agent_wait;		/* exec works from the first moment: nothing to wait for. */
};

struct machine_conformance {
	const struct machine_ops *ops;
	struct machine_params params;
	struct machine_config config;	/* A guest with a writable root disk that boots to a guest agent. */
	struct machine_disk extra_disk;	/* To plug; its files exist. */
	struct machine_params peer_params;	/* Another host ... */
	struct machine_config peer_config;	/* ... and the same machine there, with disks of its own. */
	const char *const *copied;	/* Those of them whose content comes with a live migration; null-terminated. */
	enum loop_clock clock;		/* VIRTUAL for simulated machines. */
	unsigned boot_timeout_s;	/* How long the agent may take to appear. */
	struct machine_lacks lacks;
	bool runs_programs;		/* exec really runs them ("sh", "cat", "sleep"); else it echoes. */
};

int machine_conformance(const struct machine_conformance *conformance);

#endif
