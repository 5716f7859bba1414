/*
 * node.h - the noun "node": a host. People write spec and labels; its own daemon writes status.
 */
#ifndef MODEL_NODE_H
#define MODEL_NODE_H

#include "model/meta.h"

struct node_spec { bool cordoned; /* No new instances. */ };

struct node_status {
	char *hostname, *os, *kernel, *architecture, *cpu_model, *version /* of Strata */;
	int64_t cpus;
	uint64_t memory, memory_free, disk, disk_free;
	char *accelerator, *accelerator_reason;	/* "kvm" or "tcg", and why not kvm. */
	char *machine_driver, *machine_version, *container_version;
	struct field_list machine_types;	/* char * */
	struct field_list warnings;		/* char * */
	char *boot_id;
	char *tag;			/* Part of every interface, table and cgroup name of this daemon. */
	int64_t started_at;		/* The daemon. */
	int64_t cpus_promised;		/* To what runs there; from the ledger of placement.h, never stored. */
	uint64_t memory_promised;
};

struct node {
	struct meta meta;
	struct node_spec spec;
	struct node_status status;
};

extern const struct field_table node_spec_table, node_status_table;

#endif
