#include "model/cluster.h"

#include "base/limits.h"

FIELD_TABLE(cluster_settings_table, cluster_settings, "What a host keeps of its cluster.",
	FIELD(STRING, cluster_settings, uid, .doc = "Of the cluster."),
	FIELD(STRING, cluster_settings, name, .flags = FIELD_OMIT_EMPTY, .doc = "Name of this host; unset: that of the system."),
	FIELD(STRING, cluster_settings, address, .doc = "ADDRESS:PORT of this host's API."),
	FIELD(STRING, cluster_settings, prefix, .doc = "What all keys in etcd begin with."),
	FIELD(STRINGS, cluster_settings, endpoints, .max = LIMIT_ETCD_ENDPOINTS, .doc = "Where etcd is."),
	FIELD(BOOL, cluster_settings, external, .flags = FIELD_OMIT_EMPTY, .doc = "The etcd is run by somebody else."),
	FIELD(BOOL, cluster_settings, member, .flags = FIELD_OMIT_EMPTY, .doc = "This host runs a member of etcd."),
	FIELD(STRING, cluster_settings, etcd_ca, .flags = FIELD_OMIT_EMPTY, .doc = "PEM file: the CA of an external etcd."),
	FIELD(STRING, cluster_settings, etcd_certificate, .flags = FIELD_OMIT_EMPTY, .doc = "PEM file: our certificate there."),
	FIELD(STRING, cluster_settings, etcd_key, .flags = FIELD_OMIT_EMPTY, .doc = "PEM file: its key."),
);

static const char *const states[] = { "single", "moving", "ready", NULL };
static const char *const member_states[] = { "serves", "follows", "silent", NULL };

FIELD_TABLE(cluster_member_table, cluster_member, "A member of the etcd that the hosts of a cluster share.",
	FIELD(STRING, cluster_member, node, .doc = "Name of the host that runs it."),
	FIELD(STRING, cluster_member, endpoint, .flags = FIELD_OMIT_EMPTY, .doc = "Where it answers."),
	FIELD(ENUM, cluster_member, state, .choices = member_states, .doc = "Does it answer? One that follows has no vote yet."),
);

FIELD_TABLE(cluster_status_table, cluster_status, "A cluster: hosts that share one store.",
	FIELD(ENUM, cluster_status, state, .choices = states, .doc = "Is this host by itself, on its way, or in a cluster?"),
	FIELD(STRING, cluster_status, uid, .flags = FIELD_OMIT_EMPTY, .doc = "Of the cluster."),
	FIELD(STRING, cluster_status, node, .doc = "Name of this host."),
	FIELD(STRING, cluster_status, address, .flags = FIELD_OMIT_EMPTY, .doc = "Where the API of this host answers."),
	FIELD(INT, cluster_status, nodes, .doc = "How many hosts there are."),
	FIELD(BOOL, cluster_status, external, .flags = FIELD_OMIT_EMPTY, .doc = "The etcd is run by somebody else."),
	FIELD(LIST, cluster_status, members, .flags = FIELD_OMIT_EMPTY, .table = &cluster_member_table, .doc = "Of the etcd that the hosts run."),
	FIELD(STRINGS, cluster_status, endpoints, .flags = FIELD_OMIT_EMPTY, .doc = "Where etcd is."),
	FIELD(STRING, cluster_status, step, .flags = FIELD_OMIT_EMPTY, .doc = "What is being done, while it is on its way."),
	FIELD(STRING, cluster_status, error, .flags = FIELD_OMIT_EMPTY, .doc = "Why it has not come there last time."),
);

FIELD_TABLE(cluster_token_table, cluster_token, "A token with which one host may join, once.",
	FIELD(STRING, cluster_token, id, .doc = "Names it; no secret."),
	FIELD(STRING, cluster_token, token, .flags = FIELD_OMIT_EMPTY, .doc = "For 'strata cluster join'; only said when it is made."),
	FIELD(TIME, cluster_token, created_at, .doc = "When it was made."),
	FIELD(TIME, cluster_token, expires_at, .doc = "When it ends."),
);
