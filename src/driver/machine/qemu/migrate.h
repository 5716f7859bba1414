/*
 * migrate.h - what the files of live migration share.
 *
 *	migrate_in.c		the destination: a machine that waits, and the moment it is let run
 *	migrate_out.c		the source: the operation from its checks to its end
 *	migrate_stream.c	the source's stream of memory, watched until it ends
 *	migrate_disks.c		the source's copies of disks, by mirror jobs over NBD
 *	migrate_tls.c		certificates into QEMU
 *	migrate_socket.c	connections made in our name and handed to QEMU
 *	migrate_reply.c		what QEMU says about it, as values
 *
 * Threads: any; blocking, for workers.
 */
#ifndef DRIVER_MACHINE_QEMU_MIGRATE_H
#define DRIVER_MACHINE_QEMU_MIGRATE_H

#include "driver/machine/qemu/qemu.h"

enum {
	MIGRATE_QEMU_MAJOR = 10,	/* 7.2 corrupted guest memory without KVM. */
	MIGRATE_TICK_MS = 100,		/* Progress, cancellation. */
	MIGRATE_STALL_MS = 20000,	/* Nothing went through for so long: given up. */
	MIGRATE_CONNECT_MS = 5000,
	MIGRATE_TCP_TIMEOUT_MS = 10000,	/* What was sent and is not acknowledged by then breaks the connection. */
	MIGRATE_CONVERGE_MS = 30000,	/* The rest has not become smaller for so long: it never will. */
	MIGRATE_DOWNTIME_MS = 300,
	MIGRATE_END_MS = 30000,		/* A stream that is to end has sent nothing more for so long. */
};

/* Names of ours inside QEMU. */
#define MIGRATE_TLS "migrate-tls"
#define MIGRATE_PEER "migrate-peer"
#define MIGRATE_SOCKET "migrate-memory"

/* One command with the usual time for it, however long the connection has been used. 'ret_reply' may be null. */
int migrate_call(struct qmp *qmp, const char *command, const char *arguments, struct json **ret_reply, struct err *err);
/* -EOPNOTSUPP: QEMU is too old. */
int migrate_check_version(struct qmp *qmp, struct err *err);

/* migrate_reply.c: 'reply' is a whole message. */

enum migrate_status {
	MIGRATE_NONE,			/* Not begun, or ended without success: what went wrong is in 'reason'. */
	MIGRATE_GOING,
	MIGRATE_PRE_SWITCHOVER,		/* The guest is stopped; QEMU waits for us. */
	MIGRATE_POSTCOPY,
	MIGRATE_POSTCOPY_PAUSED,	/* The link broke in the middle of post-copy. */
	MIGRATE_COMPLETED,
};

struct migrate_state {
	enum migrate_status status;
	char reason[160];
	uint64_t sent, remaining, total, dirty_bytes_per_s, downtime_ms;
	unsigned pass;
};
void migrate_state_read(const struct json *reply, struct migrate_state *state);	/* query-migrate */
uint16_t migrate_port_read(const struct json *reply);		/* query-migrate at the destination; 0: it does not listen. */

/* Why it failed, in QEMU's words ("": it has none), as our error: -EACCES a certificate, else -EIO. */
int migrate_failure(const char *words, struct err *err);

enum migrate_job {
	MIGRATE_JOB_GONE, MIGRATE_JOB_COPYING, MIGRATE_JOB_READY,
	MIGRATE_JOB_STUCK,		/* The destination's disk cannot be written: it waits for us. */
	MIGRATE_JOB_ENDED,
};
/* query-block-jobs: the job 'id'. 'reason' (of 160): why it failed, "" when it did not. */
enum migrate_job migrate_job_read(const struct json *reply, const char *id, uint64_t *done, uint64_t *total, char reason[static 160]);

/* migrate_socket.c: an fd, or -errno. Addresses are numeric. */

int migrate_connect(const char *address, uint16_t port, struct err *err);
/* Bound to a port of the range that is free, not yet listening. */
int migrate_bind(const char *address, uint16_t first, uint16_t last, uint16_t *ret_port, struct err *err);
/* QEMU knows it by 'name' afterwards. */
int migrate_hand_socket(struct qmp *qmp, int fd, const char *name, struct err *err);

/* migrate_tls.c: the object MIGRATE_TLS in QEMU, from the certificates in 'folder'. */

int migrate_add_tls(const struct qemu *qemu, struct qmp *qmp, int run_dir, const char *folder, bool is_server, struct err *err);

/* migrate_disks.c */

/* -EOPNOTSUPP: a disk has what would not be copied. */
int migrate_check_disks(struct qmp *qmp, const char *const *copied, struct err *err);
int migrate_start_disk(struct qmp *qmp, const char *disk, const struct machine_migration *migration, struct err *err);
/* What all of them have copied. 1: all are equal to their originals and are kept so; 0: not yet. */
int migrate_look_at_disks(struct qmp *qmp, const char *const *copied, uint64_t *ret_done, uint64_t *ret_total, struct err *err);
/* The guest is stopped and all are equal: they end. */
int migrate_finish_disks(struct qmp *qmp, const char *const *copied, struct err *err);
/* Breaks the connections of all copies there are, whoever began them, so that they hold up nobody. Returns how many there are, or -errno. */
int migrate_cut_disks(struct qmp *qmp, struct err *err);
/* Ends them, and what belongs to them. The guest stands still: a mirror that ends beneath a write of the guest damages QEMU's memory (10.0.2). */
int migrate_drop_disks(struct qmp *qmp, struct err *err);

/* migrate_stream.c */

struct migrate_stream {
	struct qmp *qmp;
	const struct machine_migration *migration;
	struct migrate_state state;	/* As last looked at. */
	int64_t moved_at, shrunk_at;	/* When something went through, when the rest became smaller (monotonic ms). */
	uint64_t sent, least;		/* Then. */
	bool has_switched;		/* The guest is stopped and the copies of disks have ended. */
	bool has_handed_over;
};
bool migrate_is_cancelled(const struct machine_migration *migration);
/* Until all is at the destination. */
int migrate_run_stream(struct migrate_stream *stream, struct err *err);

#endif
