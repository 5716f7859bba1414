#include "model/node.h"

const char *const node_state_names[] = { "joining", "ready", "unreachable", "fenced", "draining", "gone", NULL };

#define TO(state) (1u << NODE_##state)
static const unsigned moves[NODE_STATE_COUNT] = {
	[NODE_JOINING] = TO(READY) | TO(UNREACHABLE) | TO(GONE),
	[NODE_READY] = TO(UNREACHABLE) | TO(DRAINING) | TO(GONE),
	[NODE_DRAINING] = TO(READY) | TO(UNREACHABLE) | TO(GONE),
	[NODE_UNREACHABLE] = TO(READY) | TO(DRAINING) | TO(FENCED) | TO(GONE),
	[NODE_FENCED] = TO(READY) | TO(DRAINING) | TO(GONE),
	[NODE_GONE] = 0,
};

bool node_may_move(enum node_state from, enum node_state to)
{
	return moves[from] & (1u << to);
}

FIELD_TABLE(node_member_table, node_member, "What a node is to the others.",
	FIELD(ENUM, node_member, state, .choices = node_state_names, .doc = "joining, ready, unreachable, fenced, draining or gone."),
	FIELD(INT, node_member, epoch, .flags = FIELD_OMIT_EMPTY, .doc = "Raised each time it is fenced."),
	FIELD(TIME, node_member, since, .flags = FIELD_OMIT_EMPTY, .doc = "Since when."),
	FIELD(STRING, node_member, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why."),
);

FIELD_TABLE(node_alive_table, node_alive, "A node that is alive.",
	FIELD(STRING, node_alive, boot_id, .flags = FIELD_OMIT_EMPTY, .doc = "This boot of the host."),
	FIELD(INT, node_alive, epoch, .flags = FIELD_OMIT_EMPTY, .doc = "The epoch it knows of."),
);

static const char *const power_names[] = { "none", "redfish", "ipmi", "sim", NULL };

FIELD_TABLE(node_power_table, node_power, "How a host that is lost is switched off.",
	FIELD(ENUM, node_power, driver, .choices = power_names, .doc = "none, redfish or ipmi; sim switches only simulated hosts."),
	FIELD(STRING, node_power, address, .flags = FIELD_OMIT_EMPTY, .max = 255,
	      .doc = "Of its controller: https://HOST for redfish, HOST for ipmi."),
	FIELD(STRING, node_power, credentials, .flags = FIELD_OMIT_EMPTY, .max = 4096,
	      .doc = "File with USER:PASSWORD, the same path on every host, which only root may read."),
	FIELD(STRING, node_power, ca, .flags = FIELD_OMIT_EMPTY, .max = 4096, .doc = "redfish: file with the CA of the controller's certificate."),
	FIELD(STRING, node_power, system, .flags = FIELD_OMIT_EMPTY, .max = 255, .doc = "redfish: path of the system; the only one there is when not given."),
);

FIELD_TABLE(node_spec_table, node_spec, "What a node should do.",
	FIELD(BOOL, node_spec, cordoned, .flags = FIELD_OMIT_EMPTY, .doc = "It takes no new instances."),
	FIELD(BOOL, node_spec, draining, .flags = FIELD_OMIT_EMPTY, .doc = "All its instances are to go to other nodes."),
	FIELD(OBJECT, node_spec, power, .table = &node_power_table, .flags = FIELD_OMIT_EMPTY, .doc = "How it is switched off when it is lost."),
);

FIELD_TABLE(node_status_table, node_status, "What a node is.",
	FIELD(ENUM, node_status, state, .choices = node_state_names, .fallback = "ready",
	      .doc = "joining, ready, unreachable, fenced (none of its instances with ha: restart runs), draining or gone."),
	FIELD(TIME, node_status, since, .flags = FIELD_OMIT_EMPTY, .doc = "Since when it is in that state."),
	FIELD(STRING, node_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why."),
	FIELD(BOOL, node_status, is_leader, .flags = FIELD_OMIT_EMPTY, .doc = "It places instances and looks after nodes that are lost."),
	FIELD(STRING, node_status, address, .flags = FIELD_OMIT_EMPTY, .doc = "Where its API answers other nodes."),
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
	FIELD(INT, node_status, cpus_promised, .doc = "CPUs that what runs there may use, all together."),
	FIELD(SIZE, node_status, memory_promised, .unit = "bytes", .doc = "Memory that what runs there may use, all together."),
);
