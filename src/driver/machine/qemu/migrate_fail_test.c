/* What a live migration that does not come to its end leaves: a guest that runs on as if nothing had been. */
#include "driver/machine/qemu/migrate_testbed.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* What is refused */

static void wrong_certificates_are_refused(void **state)
{
	struct bench *bench = *state;
	struct host *to = &bench->hosts[1];

	boot_with_pattern(bench, "16 20000");
	bench->migration.tls = bench->place->other_tls;
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	expect_untouched(bench);
	/* The same without a disk, where the stream of memory meets it first. */
	bench->listen.copied = bench->migration.copied = NULL;
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	expect_untouched(bench);
	bench->migration.tls = bench->place->tls;
	bench->migration.server = "node-c";
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	bench->listen.copied = bench->migration.copied = bench->copied;
	make_disk(to);
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	expect_untouched(bench);
}

/* Who has a certificate of the CA, but is not the source. */
static void wrong_peer_is_refused(void **state)
{
	struct bench *bench = *state;
	struct err failure = { 0 };

	boot_with_pattern(bench, "16 20000");
	bench->listen.peer = "CN=node-x";
	wait_at(bench, &bench->hosts[1]);
	assert_true(move(bench, &bench->hosts[0], &failure) < 0);
	expect_untouched(bench);
	bench->listen.copied = bench->migration.copied = NULL;
	make_disk(&bench->hosts[1]);
	wait_at(bench, &bench->hosts[1]);
	assert_true(move(bench, &bench->hosts[0], &failure) < 0);
	expect_untouched(bench);
	bench->migration.tls = NULL;
	wait_at(bench, &bench->hosts[1]);
	assert_true(move(bench, &bench->hosts[0], &failure) < 0);
	expect_untouched(bench);
}

static int kill_destination(struct bench *bench)
{
	return kill(status_of(&bench->hosts[1]).pid, SIGKILL);
}

static int cancel(struct bench *bench)
{
	bench->is_cancelled = true;
	return 0;
}

static int cut_link(struct bench *bench)
{
	(void)bench;
	set_flags("lo", IFF_UP, false);
	return 0;
}

/* Slow enough for something to happen in the middle of both phases. */
static void fail_in_the_middle(struct bench *bench, int (*act)(struct bench *bench), int code)
{
	static const enum machine_migration_phase phases[] = { MACHINE_MIGRATION_DISKS, MACHINE_MIGRATION_MEMORY };

	boot_with_pattern(bench, "64 20000 /data/records");
	free(guest_says(&bench->hosts[0], "dd if=/dev/urandom of=/data/bulk bs=1M count=24 2>/dev/null; sync"));
	for (size_t i = 0; i < ARRAY_COUNT(phases); i++) {
		struct err failure = { 0 };
		int r;

		make_disk(&bench->hosts[1]);
		bench->migration.bytes_per_s = 8 * MIB;
		bench->act = act;
		bench->act_in = phases[i];
		wait_at(bench, &bench->hosts[1]);
		watch_host(&bench->hosts[1]);
		r = move(bench, &bench->hosts[0], &failure);
		set_flags("lo", IFF_UP, true);
		print_message("%s\n", failure.msg);
		assert_null(bench->act);
		assert_int_equal(r, code);
		bench->is_cancelled = false;
		expect_untouched(bench);
		if (act == kill_destination || (act == cancel && phases[i] == MACHINE_MIGRATION_MEMORY))
			wait_for(&bench->hosts[1], &bench->hosts[1].has_ended, "who waited for the rest has not ended");
	}
	/* And then it goes through. */
	bench->migration.bytes_per_s = 0;
	make_disk(&bench->hosts[1]);
	wait_at(bench, &bench->hosts[1]);
	ok(move(bench, &bench->hosts[0], err));
	ok(machine_qemu.resume(bench->hosts[1].driver, UID, err));
	expect_counting(&bench->hosts[1], last_count(&bench->hosts[0]));
}

static void destination_dies(void **state)
{
	fail_in_the_middle(*state, kill_destination, -EIO);
}

static void person_cancels(void **state)
{
	fail_in_the_middle(*state, cancel, -ECANCELED);
}

static void link_is_cut(void **state)
{
	fail_in_the_middle(*state, cut_link, -EIO);
}

/* The daemon is killed in the middle of both phases; the next one finds a guest that runs, and what is left going. */
static void daemon_of_source_dies(void **state)
{
	static const enum machine_migration_phase phases[] = { MACHINE_MIGRATION_DISKS, MACHINE_MIGRATION_MEMORY };
	struct bench *bench = *state;

	boot_with_pattern(bench, "64 20000 /data/records");
	free(guest_says(&bench->hosts[0], "dd if=/dev/urandom of=/data/bulk bs=1M count=24 2>/dev/null; sync"));
	bench->migration.bytes_per_s = 8 * MIB;
	for (size_t i = 0; i < ARRAY_COUNT(phases); i++) {
		pid_t child;
		int status;

		make_disk(&bench->hosts[1]);
		wait_at(bench, &bench->hosts[1]);
		bench->act_in = phases[i];
		child = fork();
		if (child == 0) {
			bench->act = (int (*)(struct bench *))(void *)abort;
			move(bench, &bench->hosts[0], &(struct err){ 0 });
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		next_daemon(&bench->hosts[0]);
		ok(machine_qemu.migrate_cancel(bench->hosts[0].driver, UID, err));
		expect_untouched(bench);
	}
}

static void snapshots_stay_behind(void **state)
{
	struct bench *bench = *state;

	boot_with_pattern(bench, "1 20000");
	ok(machine_qemu.snapshot_create(bench->hosts[0].driver, UID, "one", false, err));
	wait_at(bench, &bench->hosts[1]);
	expect_failure(bench, -EOPNOTSUPP, "disk 'root' has snapshots");
	expect_untouched(bench);
	ok(machine_qemu.snapshot_remove(bench->hosts[0].driver, UID, "one", err));
	ok(move(bench, &bench->hosts[0], err));
}

static void added_memory_is_refused(void **state)
{
	struct bench *bench = *state;
	struct host *from = &bench->hosts[0];

	from->config.type = MACHINE_Q35;
	from->config.max_memory_bytes = 512 * MIB;
	boot_with_pattern(bench, "1 20000");
	ok(machine_qemu.resize(from->driver, UID, 0, 384 * MIB, err));
	expect_failure(bench, -EOPNOTSUPP, "memory was added");
	expect_untouched(bench);
}

/* Too much for the link */

static int give_to_destination(void *data, struct err *err)
{
	struct bench *bench = data;

	while (!status_of(&bench->hosts[1]).has_arrived)
		;
	return machine_qemu.resume(bench->hosts[1].driver, UID, err);
}

static int keep_it(void *data, struct err *err)
{
	(void)data;
	return err_set(err, -EBUSY, "the change of hands was refused");
}

static void endless_move_is_given_up(void **state)
{
	struct bench *bench = *state;

	boot_with_pattern(bench, "96 0");
	bench->listen.copied = bench->migration.copied = NULL;
	bench->migration.bytes_per_s = 4 * MIB;
	bench->migration.downtime_ms = 1;
	wait_at(bench, &bench->hosts[1]);
	expect_failure(bench, -EAGAIN, "faster");
	expect_untouched(bench);
}

/* The user of machines may not open /dev/userfaultfd unless the host's administrator wants it: here one that all may open. */
static void open_userfaultfd(const struct place *place)
{
	auto_free char *path = text_format("%s/userfaultfd", place->directory);
	struct stat st;

	if (stat("/dev/userfaultfd", &st) < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return;
	if (mknod(path, S_IFCHR | 0600, st.st_rdev) == 0 && chmod(path, 0666) == 0 && mount(path, "/dev/userfaultfd", NULL, MS_BIND, NULL) < 0)
		print_message("mount over /dev/userfaultfd: %s\n", strerror(errno));
}

static int die(void *data, struct err *err)
{
	(void)data;
	(void)err;
	abort();
}

/* Nothing was stored: the next daemon may take the guest back. */
static void daemon_dies_before_handing_over(struct bench *bench)
{
	pid_t child;
	int status;

	make_disk(&bench->hosts[1]);
	bench->migration.hand_over = die;
	wait_at(bench, &bench->hosts[1]);
	child = fork();
	if (child == 0) {
		move(bench, &bench->hosts[0], &(struct err){ 0 });
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	next_daemon(&bench->hosts[0]);
	assert_true(status_of(&bench->hosts[0]).is_postcopy);
	assert_int_equal(status_of(&bench->hosts[0]).state, MACHINE_PAUSED);
	ok(machine_qemu.migrate_cancel(bench->hosts[0].driver, UID, err));
	expect_untouched(bench);
}

static void postcopy_ends_it(void **state)
{
	struct bench *bench = *state;
	struct err refusal = { 0 };

	open_userfaultfd(bench->place);
	boot_with_pattern(bench, "64 0 /data/records");
	bench->migration.bytes_per_s = 16 * MIB;
	bench->migration.downtime_ms = 1;
	bench->listen.has_postcopy = true;
	if (machine_qemu.migrate_in(bench->hosts[1].driver, &bench->hosts[1].config, &bench->listen, &bench->migration.ports, &refusal) < 0) {
		assert_int_equal(refusal.code, -EOPNOTSUPP);
		print_message("%s\n", refusal.msg);
		skip();
	}
	bench->migration.hand_over = keep_it;
	expect_failure(bench, -EBUSY, "the change of hands was refused");
	expect_untouched(bench);
	daemon_dies_before_handing_over(bench);

	make_disk(&bench->hosts[1]);
	bench->migration.hand_over = give_to_destination;
	wait_at(bench, &bench->hosts[1]);
	ok(move(bench, &bench->hosts[0], err));
	assert_true(bench->result.was_postcopy);
	assert_true(status_of(&bench->hosts[0]).is_moved_out);
	expect_counting(&bench->hosts[1], last_count(&bench->hosts[0]));
	print_message("post-copy: downtime %llu ms, total %llu ms\n", (unsigned long long)bench->result.downtime_ms,
		      (unsigned long long)bench->result.total_ms);
}

static int run_cases(struct place *place)
{
	const struct CMUnitTest cases[] = {
		CASE(wrong_certificates_are_refused), CASE(wrong_peer_is_refused), CASE(destination_dies), CASE(person_cancels),
		CASE(link_is_cut), CASE(daemon_of_source_dies), CASE(snapshots_stay_behind), CASE(added_memory_is_refused),
		CASE(endless_move_is_given_up), CASE(postcopy_ends_it),
	};

	return cmocka_run_group_tests_name("migrate fail", cases, NULL, NULL);
}

int main(void)
{
	return run_where_possible(run_cases);
}
