#include "model/node.h"

FIELD_TABLE(node_spec_table, node_spec, "What a node should do.",
	FIELD(BOOL, node_spec, cordoned, .flags = FIELD_OMIT_EMPTY, .doc = "It takes no new instances."),
);

FIELD_TABLE(node_status_table, node_status, "What a node is.",
	FIELD(STRING, node_status, hostname, .doc = "Name of the host."),
	FIELD(STRING, node_status, os, .doc = "Operating system."),
	FIELD(STRING, node_status, kernel, .doc = "Release of its kernel."),
	FIELD(STRING, node_status, architecture, .doc = "Machine architecture."),
	FIELD(STRING, node_status, cpu_model, .doc = "Model of its CPUs."),
	FIELD(STRING, node_status, version, .doc = "Version of Strata."),
	FIELD(INT, node_status, cpus, .doc = "CPUs it may use."),
	FIELD(SIZE, node_status, memory, .unit = "bytes", .doc = "Memory."),
	FIELD(SIZE, node_status, memory_free, .unit = "bytes", .doc = "Memory available at the start of the daemon."),
	FIELD(SIZE, node_status, disk, .unit = "bytes", .doc = "Size of the file system of the state folder."),
	FIELD(SIZE, node_status, disk_free, .unit = "bytes", .doc = "Free there at the start of the daemon."),
	FIELD(STRING, node_status, accelerator, .flags = FIELD_OMIT_EMPTY, .doc = "kvm, or tcg (emulation, slow)."),
	FIELD(STRING, node_status, accelerator_reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why it is not kvm."),
	FIELD(STRING, node_status, machine_driver, .flags = FIELD_OMIT_EMPTY, .doc = "What runs machines."),
	FIELD(STRING, node_status, machine_version, .flags = FIELD_OMIT_EMPTY, .doc = "Its version."),
	FIELD(STRING, node_status, container_version, .flags = FIELD_OMIT_EMPTY, .doc = "What runs containers, and its version."),
	FIELD(STRINGS, node_status, machine_types, .flags = FIELD_OMIT_EMPTY, .doc = "Machine types it offers."),
	FIELD(STRINGS, node_status, warnings, .flags = FIELD_OMIT_EMPTY, .doc = "What to know about this host."),
	FIELD(STRING, node_status, boot_id, .flags = FIELD_OMIT_EMPTY, .doc = "This boot of the host."),
	FIELD(STRING, node_status, tag, .doc = "Part of every interface, table and cgroup name of this daemon."),
	FIELD(TIME, node_status, started_at, .doc = "When the daemon started."),
);
