/*
 * api.h - the door between the HTTP thread (floor 5) and the core (floor 4).
 *
 * The HTTP thread turns a request into a 'struct call' and gives it to api_call() from its own
 * thread; the core answers each exactly once by call->reply (in the core's thread; the HTTP
 * side posts it to itself).  Plain reads do not come here: they are answered from the view.
 *
 * Memory:  the call belongs to the core from api_call() until reply, which takes the reply's contents;
 *          then call_free() by the HTTP side.  fds in a reply pass to the HTTP side.
 */
#ifndef SERVICE_API_H
#define SERVICE_API_H

#include <sys/types.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "model/kind.h"

enum call_op {
	/* On a resource of 'kind', named 'name' (snapshots: 'name' is the instance or volume, 'child' the snapshot). */
	CALL_CREATE,		/* body: the object. 201 with the object. */
	CALL_UPDATE,		/* body: RFC 7396 merge patch. 200 with the object. */
	CALL_DELETE,		/* body optional: {"force": true}. 202 with the object, which goes when cleaned up. */
	CALL_RENAME,		/* {"name": "new"} */
	/* On instances. */
	CALL_START, CALL_STOP /* {"force": bool, "timeout": "30s"} */, CALL_RESTART /* same */, CALL_PAUSE, CALL_RESUME,
	CALL_CLONE,		/* {"name": "new", "snapshot": "s1" or absent} */
	CALL_EXPORT,		/* Reply: fds.output is the file. */
	CALL_RESTORE,		/* name, child */
	CALL_ATTACH,		/* {"volume": "v1", "read_only": false} */
	CALL_DETACH,		/* {"volume": "v1"} */
	CALL_CONSOLE,		/* Reply: fds.input takes keys; path is the log to follow, has_records its form. */
	CALL_LOGS,		/* Reply: path is the log to follow, has_records its form. */
	CALL_ATTACH_STREAM,	/* {"tail": bytes}; reply as of EXEC; the exit code is that of the container's first process. */
	CALL_EXEC,		/* {"argv": [...], "env": {...}, "directory": "", "terminal": bool, "rows": n, "columns": n, "stdin": bool, "user": ""};
				 * reply: fds input, output, error, resize, result. */
	CALL_FILE_READ,		/* {"path": "/etc/x"}: fds output, result. */
	CALL_FILE_WRITE,	/* {"path": "/etc/x", "mode": 420}: fds input, result. */
	CALL_COMMIT,		/* {"image": "new", "comment": "", "config": {...}}: 201 with the new image. */
	CALL_MOVE,		/* {"node": "b" or absent, "cold": bool, "postcopy": bool}, or {"cancel": true}. 202. */
	CALL_DISK,		/* Of a move, for the other node: {"disk": "root" or uid, "part": "info" or a number} or {"file": "kernel"}: fds.output. */
	CALL_PLACEMENT,		/* Reply: body [{"node": "a", "state": "here|possible|refused", "cost": 1.5, "text": "..."}] */
	/* On volumes. */
	CALL_VOLUME_CLONE,	/* {"name": "new", "snapshot": "s1" or absent} */
	CALL_VOLUME_RECEIVE,	/* {"upload": "id"}: an incremental backup. 202. */
	CALL_VOLUME_BACKUP,	/* {"snapshot": "s2", "base": "s1" or absent}: fds.output is the file. */
	CALL_VOLUME_SNAPSHOT, CALL_VOLUME_UNSNAPSHOT,	/* As CREATE and DELETE of a snapshot: name is the volume. */
	CALL_VOLUME_RESTORE,	/* name, child */
	/* On images. */
	CALL_IMAGE_TAG,		/* {"name": "new"}: 201 */
	CALL_IMAGE_PRUNE,	/* {"all": bool}: {"removed": ["name"], "bytes": n} */
	CALL_IMAGE_EXPORT,	/* Reply: fds.output is the file (qcow2; containers: an archive). */
	/* On nodes. */
	CALL_WHAT_IF_DRAIN,	/* Reply: body [{"instance": "web", "to": "b", "memory": n}], or "text" why not instead of "to". */
	CALL_NODE_LOAD,		/* Reply: body as of body_load_table. */
	CALL_NODE_POWER,	/* Reply: body as of body_power_table. */
	CALL_BACKUP,		/* Reply: fds.output is the file. */
	CALL_CONFIG,		/* Merge patch of the config. */
	CALL_CLUSTER_JOIN,	/* {"token_id", "secret", "name", "uid", "csr", "addresses": ["192.0.2.2"]} of a host that has no certificate yet:
				 * 200 {"certificate", "ca", "ca_key", ...}, PEM. */
	CALL_CLUSTER_SHOW,	/* Reply: body as of model/cluster.h. */
	CALL_CLUSTER_INIT,	/* {"address": "192.0.2.1:8443" or absent, "etcd": {"endpoints": [...], "ca", "certificate", "key"} or absent}: 202 */
	CALL_CLUSTER_ENTER,	/* {"token", "name", "address"; both may be absent}: this host joins. 202 */
	CALL_CLUSTER_LEAVE,	/* 202 */
	CALL_CLUSTER_IMPORT,	/* {"upload": id of a store}: 202 */
	CALL_CLUSTER_ACCEPT_RESTORED,
	CALL_TOKEN_CREATE,	/* {"ttl": ms or absent}: 201 with the token. */
	CALL_TOKEN_LIST,	/* Reply: body [token without its secret]. */
	CALL_TOKEN_REVOKE,	/* name: its id. */
	CALL_DOCTOR,		/* Reply: body [{"check": "kvm", "state": "ok|warning|failed", "text": "...", "remedy": "..."}] */
	CALL_OP_COUNT
};

struct call_fds {		/* -1: none. Ends of pipes/socketpairs or files; non-blocking is the receiver's business. */
	int input;			/* Write end: stdin, keys, file content. Close for end of file. */
	int output, error;		/* Read ends. */
	int resize;			/* Write end: uint16_t rows, columns per change. */
	int result;			/* Read end: one JSON line when the work has ended:
					 * {"exit_code": 0} or {"error": "...", "code": -2}; then end of file. */
};

/* Another node has to do it: the HTTP side sends the whole request there and everything back. */
struct call_forward {
	char *address;			/* "192.0.2.2:8443", "[2001:db8::2]:8443"; null: it is answered here. */
	char *uid;			/* Of the node: what its certificate must say. */
	char *name;			/* Of the node, for people. */
};

struct call_reply {
	struct err err;			/* code 0: success. */
	int http_status;		/* On success: 200, 201, 202. */
	struct str body;		/* JSON; may be empty. */
	struct call_fds fds;
	char *path;
	bool has_records;		/* The file at 'path' is a log of records (base/log_record.h), not of bytes as they came. */
	struct call_forward forward;	/* With an address nothing else counts. Not for a call that has peer.via. */
};

struct call_peer {			/* Who asks. What another node has sent on keeps who asked there. */
	uid_t uid;
	gid_t gid;
	pid_t pid;
	const char *channel;		/* "unix"; "tls": a user's certificate; "node": a host's; "join": none, TLS. */
	char *subject;			/* Common name of the certificate: the user, or the uid of the node. */
	char *via;			/* Uid of the node that has sent it on; it is not sent on again. */
};

struct call {
	enum call_op op;
	const struct kind *kind;	/* For CREATE, UPDATE, DELETE, RENAME. */
	char *name, *child;		/* From the path; null when absent. */
	struct json *body;		/* Null when there was none. */
	struct call_peer peer;
	bool is_cancelled;		/* Set by the HTTP side when the client went away. */
	unsigned tries;			/* The core's: a transaction met another one and is built anew. */
	void (*reply)(struct call *call, struct call_reply *reply);
	void *data;			/* The HTTP side's. */
};

struct call *call_new(enum call_op op);
void call_free(struct call *call);
void call_reply_done(struct call_reply *reply);		/* Closes fds that were not taken (take_fd). */

struct core;
/* Any thread. */
void api_call(struct core *core, struct call *call);

#endif
