/*
 * Theory of operation.
 *
 * QEMU sends the memory over and over, each pass what has changed since the last, until the rest fits into the allowed
 * downtime; then it stops the guest and sends rest and devices. Where disks are copied it waits in between ("pre-switchover") until
 * we have ended their copies. It says "completed" only when the destination has told that it could load everything (return-path).
 *
 * A guest that changes its memory faster than it goes over the link is slowed down by QEMU (auto-converge); when
 * that does not help either, the migration is given up, or goes on as post-copy.
 *
 * Whatever QEMU does is an event on our monitor: it only wakes us, what there is to know is asked.
 */
#include <errno.h>

#include "driver/machine/qemu/migrate.h"

enum { POSTCOPY_MS = 5000 };		/* Of not getting smaller, where post-copy is allowed. */

#define NO_LIMIT (UINT64_C(1) << 40)	/* Bytes per second. */

bool migrate_is_cancelled(const struct machine_migration *migration)
{
	return migration->is_cancelled && __atomic_load_n(migration->is_cancelled, __ATOMIC_RELAXED);
}

/* Begin */

static void write_capability(struct json_writer *writer, const char *name, bool state)
{
	json_write_object(writer, NULL);
	json_write_string(writer, "capability", name);
	json_write_bool(writer, "state", state);
	json_write_end_object(writer);
}

static int set_capabilities(struct qmp *qmp, const struct machine_migration *migration, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };
	int r;

	json_write_object(&writer, NULL);
	json_write_array(&writer, "capabilities");
	write_capability(&writer, "events", true);
	write_capability(&writer, "return-path", true);
	write_capability(&writer, "auto-converge", true);
	write_capability(&writer, "pause-before-switchover", migration->copied && migration->copied[0]);
	write_capability(&writer, "postcopy-ram", migration->hand_over != NULL);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
	r = migrate_call(qmp, "migrate-set-capabilities", arguments.data, NULL, err);
	if (r < 0 && migration->hand_over) {
		err->code = -EOPNOTSUPP;
		return err_prefix(err, "post-copy");
	}
	return r;
}

static int set_parameters(struct qmp *qmp, const struct machine_migration *migration, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };
	uint64_t bytes_per_s = migration->bytes_per_s ? migration->bytes_per_s : NO_LIMIT;

	json_write_object(&writer, NULL);
	json_write_uint(&writer, "max-bandwidth", bytes_per_s);
	json_write_uint(&writer, "max-postcopy-bandwidth", bytes_per_s);
	json_write_uint(&writer, "downtime-limit", migration->downtime_ms ? migration->downtime_ms : MIGRATE_DOWNTIME_MS);
	json_write_string(&writer, "tls-creds", migration->tls ? MIGRATE_TLS : "");
	json_write_string(&writer, "tls-hostname", migration->tls ? migration->server : "");
	json_write_end_object(&writer);
	return migrate_call(qmp, "migrate-set-parameters", arguments.data, NULL, err);
}

static int begin(struct migrate_stream *stream, struct err *err)
{
	const struct machine_migration *migration = stream->migration;
	struct qmp *qmp = stream->qmp;
	auto_close int fd = -1;
	int r = set_capabilities(qmp, migration, err);

	if (r == 0)
		r = set_parameters(qmp, migration, err);
	if (r < 0)
		return r;
	fd = migrate_connect(migration->address, migration->ports.memory, err);
	r = fd < 0 ? fd : migrate_hand_socket(qmp, fd, MIGRATE_SOCKET, err);
	if (r < 0)
		return r;
	stream->moved_at = stream->shrunk_at = clock_monotonic_ms();
	stream->least = UINT64_MAX;
	return migrate_call(qmp, "migrate", "{\"channels\":[{\"channel-type\":\"main\",\"addr\":{\"transport\":\"socket\","
					    "\"type\":\"fd\",\"str\":\"" MIGRATE_SOCKET "\"}}]}", NULL, err);
}

/* Watch */

static int look(struct migrate_stream *stream, struct err *err)
{
	auto_json struct json *reply = NULL;
	struct migrate_state *state = &stream->state;
	int64_t now = clock_monotonic_ms();
	int r = migrate_call(stream->qmp, "query-migrate", NULL, &reply, err);

	if (r < 0)
		return r;
	migrate_state_read(reply, state);
	if (state->sent != stream->sent) {
		stream->sent = state->sent;
		stream->moved_at = now;
	}
	/* A little smaller by chance is not smaller. */
	if (state->remaining < stream->least - stream->least / 16) {
		stream->least = state->remaining;
		stream->shrunk_at = now;
	}
	return 0;
}

static void report(const struct migrate_stream *stream)
{
	const struct machine_migration *migration = stream->migration;
	const struct migrate_state *state = &stream->state;
	bool is_postcopy = state->status == MIGRATE_POSTCOPY;

	if (migration->report)
		migration->report(migration->data, &(struct machine_migration_progress){
			.phase = is_postcopy ? MACHINE_MIGRATION_POSTCOPY : MACHINE_MIGRATION_MEMORY,
			.done_bytes = state->sent, .total_bytes = state->sent + state->remaining,
			.dirty_bytes_per_s = state->dirty_bytes_per_s, .pass = state->pass,
		});
}

static int give_up(const struct migrate_stream *stream, struct err *err)
{
	const struct migrate_state *state = &stream->state;

	return err_set(err, -EAGAIN, "the guest changes its memory faster (%llu MiB/s) than it can be copied: %llu MiB are always left; "
		       "allow a longer downtime, more bandwidth or post-copy, or move it while it does less",
		       (unsigned long long)state->dirty_bytes_per_s >> 20, (unsigned long long)stream->least >> 20);
}

static int check_going(struct migrate_stream *stream, struct err *err)
{
	const struct machine_migration *migration = stream->migration;
	int64_t now = clock_monotonic_ms(), rest_ms = now - stream->shrunk_at;
	uint64_t done, total;
	int r = stream->has_switched ? 0 : migrate_look_at_disks(stream->qmp, migration->copied, &done, &total, err);

	if (r < 0)
		return r;
	if (migrate_is_cancelled(migration))
		return err_set(err, -ECANCELED, "cancelled");
	if (now - stream->moved_at >= MIGRATE_STALL_MS)
		return err_set(err, -ETIMEDOUT, "nothing has gone through to the destination for %d s", MIGRATE_STALL_MS / 1000);
	if (migration->hand_over && rest_ms >= POSTCOPY_MS) {
		stream->shrunk_at = INT64_MAX;	/* Once. */
		return migrate_call(stream->qmp, "migrate-start-postcopy", NULL, NULL, err);
	}
	return rest_ms >= MIGRATE_CONVERGE_MS ? give_up(stream, err) : 0;
}

/* The guest is stopped, so every moment counts. */
static int switch_over(struct migrate_stream *stream, struct err *err)
{
	int r = migrate_finish_disks(stream->qmp, stream->migration->copied, err);

	if (r < 0)
		return r;
	stream->has_switched = true;
	return migrate_call(stream->qmp, "migrate-continue", "{\"state\":\"pre-switchover\"}", NULL, err);
}

static int hand_over(struct migrate_stream *stream, struct err *err)
{
	int r;

	if (stream->has_handed_over)
		return 0;
	r = stream->migration->hand_over(stream->migration->data, err);
	stream->has_handed_over = r == 0;
	return r;
}

static int step(struct migrate_stream *stream, struct err *err)
{
	switch (stream->state.status) {
	case MIGRATE_GOING:
		return check_going(stream, err);
	case MIGRATE_PRE_SWITCHOVER:
		return stream->has_switched ? 0 : switch_over(stream, err);
	case MIGRATE_POSTCOPY:
		return hand_over(stream, err);
	case MIGRATE_POSTCOPY_PAUSED:
		return err_set(err, -EIO, "the link broke while memory was still at the source");
	case MIGRATE_NONE:
		return migrate_failure(stream->state.reason, err);
	case MIGRATE_COMPLETED:
		break;
	}
	return 0;
}

int migrate_run_stream(struct migrate_stream *stream, struct err *err)
{
	int64_t reported_at = 0;
	int r = begin(stream, err);

	if (r == 0)
		r = look(stream, err);
	while (r == 0) {
		r = step(stream, err);
		if (r < 0 || stream->state.status == MIGRATE_COMPLETED)
			break;
		if (clock_monotonic_ms() - reported_at >= MIGRATE_TICK_MS) {
			reported_at = clock_monotonic_ms();
			report(stream);
		}
		r = qmp_wait_event(stream->qmp, MIGRATE_TICK_MS, err);
		if (r == 0)
			r = look(stream, err);
	}
	return r;
}
