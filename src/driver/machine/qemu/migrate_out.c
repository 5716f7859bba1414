/*
 * The source of a live migration. Everything happens on a monitor of its own, since it lasts; other operations go on beside it.
 *
 * Whatever fails before the guest was handed over, abandon() brings back what was: no stream, no copies, the guest running.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/migrate.h"

enum { POLL_MS = 5 };

int migrate_call(struct qmp *qmp, const char *command, const char *arguments, struct json **ret_reply, struct err *err)
{
	qmp->deadline = deadline_in(QMP_TIMEOUT_MS);
	return qmp_call(qmp, command, arguments, ret_reply, err);
}

int migrate_check_version(struct qmp *qmp, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = migrate_call(qmp, "query-version", NULL, &reply, err);
	int64_t major = json_int(json_path(reply, "return.qemu.major"), 0);

	if (r == 0 && major < MIGRATE_QEMU_MAJOR)
		return err_set(err, -EOPNOTSUPP, "it runs under QEMU %lld, which may corrupt the guest's memory in live migration: "
			       "install qemu-system-x86 %d and start it again", (long long)major, MIGRATE_QEMU_MAJOR);
	return r;
}

/* Checks */

static int read_status(struct qmp *qmp, char word[static 32], struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = migrate_call(qmp, "query-status", NULL, &reply, err);

	if (r == 0)
		snprintf(word, 32, "%s", json_string(json_path(reply, "return.status"), ""));
	return r;
}

static int check_running(struct qmp *qmp, struct err *err)
{
	char word[32];
	int r = read_status(qmp, word, err);

	if (r == 0 && !text_equal(word, "running"))
		return err_set(err, -EBUSY, "it does not run ('%s'): resume it, or move it while it is stopped", shown(word));
	return r;
}

/* The destination is started with the memory of the beginning, where a DIMM has no place. */
static int check_memory(struct qmp *qmp, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = migrate_call(qmp, "query-memory-devices", NULL, &reply, err);

	if (r == 0 && json_count(json_get(reply, "return")))
		return err_set(err, -EOPNOTSUPP, "memory was added while it ran: start it again, or move it while it is stopped");
	return r;
}

static int check(struct qmp *qmp, const struct machine_migration *migration, struct err *err)
{
	int r = migrate_check_version(qmp, err);

	if (r == 0 && migration->tls && !migration->server)
		return err_set(err, -EINVAL, "the name in the destination's certificate is needed");
	if (r == 0)
		r = check_running(qmp, err);
	if (r == 0)
		r = check_memory(qmp, err);
	return r < 0 ? r : migrate_check_disks(qmp, migration->copied, err);
}

static int open_monitor(const struct qemu *qemu, const char *uid, int run_dir, struct qmp *qmp, struct err *err)
{
	*qmp = (struct qmp){ .fd = -1 };
	if (run_dir < 0)
		return run_dir;
	if (!run_folder_is_marked(run_dir, "migration"))
		return err_set(err, -EOPNOTSUPP, "it was started by an older version: start it again");
	return qemu_connect_to(qemu, uid, RUN_MIGRATION, QMP_TIMEOUT_MS, qmp, err);
}

/* Back to what was */

static int read_state(struct qmp *qmp, struct migrate_state *state, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = migrate_call(qmp, "query-migrate", NULL, &reply, err);

	if (r == 0)
		migrate_state_read(reply, state);
	return r;
}

static bool has_ended(const struct migrate_state *state)
{
	return state->status == MIGRATE_NONE || state->status == MIGRATE_COMPLETED;
}

/* QEMU takes no post-copy back before all of it has arrived: then it is quick. */
static int cancel_stream(struct qmp *qmp, const struct migrate_state *state, struct err *err)
{
	if (state->status == MIGRATE_POSTCOPY_PAUSED)
		return err_set(err, -EOWNERDEAD, "the link broke in the middle of post-copy");
	if (state->status == MIGRATE_POSTCOPY)
		return migrate_call(qmp, "migrate-set-parameters", "{\"max-postcopy-bandwidth\":0}", NULL, err);
	return migrate_call(qmp, "migrate_cancel", NULL, NULL, err);
}

static int end_stream(struct qmp *qmp, struct err *err)
{
	struct deadline deadline = deadline_in(MIGRATE_END_MS);
	enum migrate_status tried = MIGRATE_NONE;
	struct migrate_state state;
	uint64_t sent = 0;
	int r = read_state(qmp, &state, err);

	while (r == 0 && !has_ended(&state)) {
		if (state.status != tried)
			r = cancel_stream(qmp, &state, err);
		tried = state.status;
		if (state.sent != sent)
			deadline = deadline_in(MIGRATE_END_MS);
		sent = state.sent;
		if (deadline_left_ms(deadline) == 0)
			return err_set(err, -ETIMEDOUT, "the stream of memory does not end");
		poll(NULL, 0, POLL_MS);
		if (r == 0)
			r = read_state(qmp, &state, err);
	}
	return r;
}

static void drop_tls(struct qmp *qmp)
{
	struct err ignored;

	migrate_call(qmp, "migrate-set-parameters", "{\"tls-creds\":\"\",\"tls-hostname\":\"\"}", NULL, &ignored);
	migrate_call(qmp, "object-del", "{\"id\":\"" MIGRATE_TLS "\"}", NULL, &ignored);
}

/* QEMU leaves "finish-migrate" a moment after the stream's state says how it ended. */
static int wait_for_status(struct qmp *qmp, char word[static 32], struct err *err)
{
	struct deadline deadline = deadline_in(QMP_TIMEOUT_MS);
	int r = read_status(qmp, word, err);

	while (r == 0 && text_equal(word, "finish-migrate") && deadline_left_ms(deadline)) {
		poll(NULL, 0, POLL_MS);
		r = read_status(qmp, word, err);
	}
	return r;
}

static int drop_disks(struct qmp *qmp, struct err *err)
{
	char word[32];
	int r = wait_for_status(qmp, word, err), continued = 0;
	bool is_running = r == 0 && text_equal(word, "running");

	if (is_running)
		r = migrate_call(qmp, "stop", NULL, NULL, err);
	if (r == 0)
		r = migrate_drop_disks(qmp, err);
	if (is_running)
		continued = migrate_call(qmp, "cont", NULL, NULL, err);
	return r < 0 ? r : continued;
}

/* Connections of copies first: they may hold up the guest. */
static int clean(struct qmp *qmp, struct err *err)
{
	int copies = migrate_cut_disks(qmp, err), r = end_stream(qmp, err), dropped = copies > 0 ? drop_disks(qmp, err) : copies;

	drop_tls(qmp);
	return r < 0 ? r : dropped;
}

/* The destination has not been stored as the one to go on: whatever has arrived there, the guest is here. */
static int abandon(struct qmp *qmp, struct err *err)
{
	char word[32];
	int cleaned = clean(qmp, err), r = cleaned == -EOWNERDEAD ? cleaned : wait_for_status(qmp, word, err);

	if (r == 0 && (text_equal(word, "postmigrate") || text_equal(word, "finish-migrate")))
		r = migrate_call(qmp, "cont", NULL, NULL, err);
	return r < 0 ? r : cleaned;
}

/* The operation */

static int copy_disks(struct qmp *qmp, const struct machine_migration *migration, uint64_t *ret_bytes, struct err *err)
{
	int64_t moved_at = clock_monotonic_ms(), now;
	uint64_t done = 0, total = 0, last = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && migration->copied && migration->copied[i]; i++)
		r = migrate_start_disk(qmp, migration->copied[i], migration, err);
	while (r == 0) {
		r = migrate_look_at_disks(qmp, migration->copied, &done, &total, err);
		now = clock_monotonic_ms();
		moved_at = done != last ? now : moved_at;
		last = done;
		if (r != 0)
			break;
		if (migration->report)
			migration->report(migration->data, &(struct machine_migration_progress){
				.phase = MACHINE_MIGRATION_DISKS, .done_bytes = done, .total_bytes = total,
			});
		if (migrate_is_cancelled(migration))
			return err_set(err, -ECANCELED, "cancelled");
		if (now - moved_at >= MIGRATE_STALL_MS)
			return err_set(err, -ETIMEDOUT, "nothing of a disk has gone through to the destination for %d s", MIGRATE_STALL_MS / 1000);
		r = qmp_wait_event(qmp, MIGRATE_TICK_MS, err);
	}
	*ret_bytes = done;
	return r < 0 ? r : 0;
}

static int run(const struct qemu *qemu, struct qmp *qmp, int run_dir, struct migrate_stream *stream, uint64_t *ret_disk_bytes, struct err *err)
{
	const struct machine_migration *migration = stream->migration;
	struct err end = { 0 };
	char word[32];
	int r = migration->tls ? migrate_add_tls(qemu, qmp, run_dir, migration->tls, false, err) : 0;

	if (r == 0)
		r = copy_disks(qmp, migration, ret_disk_bytes, err);
	if (r == 0)
		r = migrate_run_stream(stream, err);
	if (r == 0)
		r = wait_for_status(qmp, word, err);
	if (r == 0)
		drop_tls(qmp);
	else if (stream->has_handed_over)
		err->code = -EOWNERDEAD;
	else if (abandon(qmp, &end) == -EOWNERDEAD)
		*err = end;
	return r == 0 ? 0 : err->code == -EOWNERDEAD ? err_prefix(err, "the guest is lost") : r;
}

int qemu_migrate_out(struct machine_driver *driver, const char *uid, const struct machine_migration *migration,
		     struct machine_migration_result *ret_result, struct err *err)
{
	struct qemu *qemu = qemu_of(driver);
	int64_t begun_at = clock_monotonic_ms();
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, err);
	auto_qmp struct qmp qmp;
	struct migrate_stream stream = { .qmp = &qmp, .migration = migration };
	uint64_t disk_bytes = 0;
	int r = open_monitor(qemu, uid, run_dir, &qmp, err);

	if (r == 0)
		r = clean(&qmp, err);
	if (r == 0)
		r = check(&qmp, migration, err);
	if (r == 0)
		r = run(qemu, &qmp, run_dir, &stream, &disk_bytes, err);
	if (r < 0)
		return err_prefix(err, "move machine '%s'", shown(uid));
	*ret_result = (struct machine_migration_result){
		.downtime_ms = stream.state.downtime_ms, .total_ms = (uint64_t)(clock_monotonic_ms() - begun_at),
		.memory_bytes = stream.state.sent, .disk_bytes = disk_bytes, .passes = stream.state.pass,
		.was_postcopy = stream.has_handed_over,
	};
	return 0;
}

int qemu_migrate_cancel(struct machine_driver *driver, const char *uid, struct err *err)
{
	struct qemu *qemu = qemu_of(driver);
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, err);
	auto_qmp struct qmp qmp;
	struct migrate_state state;
	int r = open_monitor(qemu, uid, run_dir, &qmp, err);

	if (r == -EOPNOTSUPP)
		return 0;		/* Too old to have begun one. */
	if (r == 0)
		r = read_state(&qmp, &state, err);
	if (r < 0)
		return r;
	/* What has arrived may have been handed over. */
	return state.status == MIGRATE_COMPLETED ? clean(&qmp, err) : abandon(&qmp, err);
}
