/*
 * limits.h - every limit by name: what comes from outside meets its limit
 * here before it meets memory.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
	LIMIT_NAME_LENGTH = 63,			/* RFC 1123 label. */
	LIMIT_IMAGE_NAME_LENGTH = 255,		/* "registry/path/name:tag" */
	LIMIT_LABELS = 64,			/* Labels per object. */
	LIMIT_LABEL_LENGTH = 253,		/* Key or value. */
	LIMIT_BODY_BYTES = 1 << 20,		/* JSON request body. */
	LIMIT_MANIFEST_BYTES = 4 << 20,		/* One YAML file. */
	LIMIT_JSON_DEPTH = 32,
	LIMIT_YAML_DEPTH = 32,
	LIMIT_TEXT_BYTES = 64 << 10,		/* Any string field without a limit of its own. */
	LIMIT_LIST_ITEMS = 1024,		/* Elements of any list field. */
	LIMIT_URL_BYTES = 2048,
	LIMIT_INSTANCES_PER_NODE = 10000,
	LIMIT_DISKS_PER_INSTANCE = 16,
	LIMIT_MOUNTS_PER_INSTANCE = 32,
	LIMIT_NICS_PER_INSTANCE = 8,
	LIMIT_PUBLISHED_PORTS = 64,		/* Per instance. */
	LIMIT_SNAPSHOTS_PER_INSTANCE = 256,
	LIMIT_QMP_MESSAGE_BYTES = 4 << 20,
	LIMIT_AGENT_MESSAGE_BYTES = 64 << 20,	/* The guest agent sends 16 MiB of output as base64. */
	LIMIT_CONSOLE_LOG_BYTES = 1 << 20,	/* Kept per instance. */
	LIMIT_CONSOLE_WATCHERS = 64,		/* Per instance. */
	LIMIT_EXEC_SESSIONS = 256,		/* Per node; with attached clients and health checks. */
	LIMIT_WORKERS = 16,			/* Threads for lifecycle steps. */
	LIMIT_QUEUED_REQUESTS = 4096,
	LIMIT_CONNECTIONS = 1024,
	LIMIT_FORWARDS = 256,			/* Requests of a listener being sent on to other nodes. */
	LIMIT_STRANGERS = 64,			/* Connections by TLS without a certificate. */
	LIMIT_JOINS_PER_MINUTE = 60,
	LIMIT_JOIN_BYTES = 32 << 10,		/* Body of a request to join. */
	LIMIT_STORE_BATCH = 256,		/* Transactions in one commit. */
	LIMIT_ETCD_ENDPOINTS = 16,
	LIMIT_ETCD_MESSAGE_BYTES = 16 << 20,	/* One answer, or one message of a watch. */
	LIMIT_EVENTS_KEPT = 10000,
	LIMIT_OCI_MANIFEST_BYTES = 4 << 20,	/* Manifest or index of a container image. */
	LIMIT_OCI_CONFIG_BYTES = 8 << 20,	/* Its configuration. */
	LIMIT_OCI_ENV_BYTES = 256 << 10,	/* All variables together: more fits no program's start. */
	LIMIT_OCI_SETTINGS_BYTES = 512 << 10,	/* What of a configuration is kept with the image. */
	LIMIT_OCI_LAYERS = 127,			/* Per image. */
	LIMIT_LAYER_ENTRIES = 2000000,		/* Per layer. */
	LIMIT_LAYER_NAME_BYTES = 256 << 20,	/* All names of a layer together. */
	LIMIT_LAYER_DEVICES = 512,		/* Device nodes per layer. */
	LIMIT_LAYER_XATTR_BYTES = 64 << 10,	/* One extended attribute. */
	LIMIT_PULL_STALL_MS = 60000,		/* A registry that sends nothing for so long is given up. */
};

#define LIMIT_LAYER_BYTES (1ull << 36)		/* 64 GiB: a layer unpacked, or a blob. */
#define LIMIT_SPARSE_BYTES (4ull << 30)		/* Apparent size of one sparse file in a layer: copying it up fills the holes. */

#endif
