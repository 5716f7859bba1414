/* Streams of the "file" driver beyond the conformance suite: what strangers send, what changes cost, chains of changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/spawn.h"
#include "base/str.h"
#include "driver/volume/file/tree_fixture.h"
#include "driver/volume/file/tree_stream.h"
#include "port/volume.h"

enum { MIB = 1 << 20, KIB = 1 << 10 };

struct fixture {
	char folder[32];
	char *place, *stream;
	struct volume_driver *driver;
	int fd;				/* Of the stream. */
};

static int set_up(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));
	struct volume_params params = { 0 };
	struct err err;

	strcpy(fixture->folder, "/tmp/strata-stream-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->place = text_format("%s/volumes", fixture->folder);
	fixture->stream = text_format("%s/stream", fixture->folder);
	fixture->fd = open(fixture->stream, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	params.directory = fixture->place;
	assert_int_equal(volume_file.open(&params, &fixture->driver, &err), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	volume_file.close(fixture->driver);
	close(fixture->fd);
	assert_int_equal(file_remove_tree(fixture->folder, &err), 0);
	free(fixture->place);
	free(fixture->stream);
	free(fixture);
	return 0;
}

static void rewind_stream(struct fixture *fixture, bool is_emptied)
{
	assert_int_equal(lseek(fixture->fd, 0, SEEK_SET), 0);
	if (is_emptied)
		assert_int_equal(ftruncate(fixture->fd, 0), 0);
}

static void send_snapshot(struct fixture *fixture, const char *volume, const char *snapshot, const char *base)
{
	struct err err;

	rewind_stream(fixture, true);
	if (volume_file.send(fixture->driver, volume, snapshot, base, fixture->fd, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static void receive(struct fixture *fixture, const char *volume)
{
	struct err err;

	rewind_stream(fixture, false);
	if (volume_file.receive(fixture->driver, volume, fixture->fd, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

/* What a stranger may try */

struct record { enum frames_type type; mode_t mode; const char *path, *target; };

static void put(struct frames_writer *writer, const struct record *record)
{
	unsigned char entry[TREE_ENTRY_BYTES] = { 0 };
	auto_str struct str names = { 0 };
	struct err err;

	if (record->type == FRAMES_REMOVE) {
		assert_int_equal(frames_put(writer, FRAMES_REMOVE, record->path, strlen(record->path), NULL, 0, &err), 0);
		return;
	}
	frames_pack32(entry, record->mode);
	str_append_bytes(&names, record->path, strlen(record->path) + 1);
	str_append_bytes(&names, record->target, strlen(record->target) + 1);
	assert_int_equal(frames_put(writer, FRAMES_ENTRY, entry, sizeof(entry), names.data, names.size, &err), 0);
	assert_int_equal(frames_put(writer, FRAMES_DONE, NULL, 0, NULL, 0, &err), 0);
}

static void write_stream(struct fixture *fixture, const struct record *records, size_t count)
{
	const struct frames_header header = { .kind = "files", .snapshot = "s" };
	auto_frames_writer struct frames_writer writer = { 0 };
	struct err err;

	rewind_stream(fixture, true);
	assert_int_equal(frames_begin(&writer, fixture->fd, &header, NULL, &err), 0);
	for (size_t i = 0; i < count && records[i].path; i++)
		put(&writer, &records[i]);
	assert_int_equal(frames_end(&writer, &err), 0);
}

static void test_nothing_outside(void **state)
{
	static const struct record attempts[][3] = {
		{ { FRAMES_ENTRY, S_IFREG | 0644, "../outside", "" } },
		{ { FRAMES_ENTRY, S_IFREG | 0644, "/tmp/outside", "" } },
		{ { FRAMES_ENTRY, S_IFDIR | 0755, "a", "" }, { FRAMES_ENTRY, S_IFREG | 0644, "a/../../outside", "" } },
		{ { FRAMES_ENTRY, S_IFLNK | 0777, "a", ".." }, { FRAMES_ENTRY, S_IFREG | 0644, "a/outside", "" } },
		{ { FRAMES_ENTRY, S_IFLNK | 0777, "a", "/etc" }, { FRAMES_ENTRY, 0, "b", "a/passwd" } },
		{ { FRAMES_ENTRY, 0, "b", "../../../stream" } },
		{ { FRAMES_ENTRY, 0, "b", "/etc/passwd" } },
		{ { FRAMES_REMOVE, 0, "../../../stream", "" } },
		{ { FRAMES_REMOVE, 0, "..", "" } },
		{ { FRAMES_REMOVE, 0, ".", "" } },
		{ { FRAMES_ENTRY, S_IFREG | 0644, "", "" } },
		{ { FRAMES_ENTRY, S_IFREG | 0644, "a/", "" } },
		{ { FRAMES_ENTRY, S_IFDIR | 0755, "a", "" }, { FRAMES_ENTRY, S_IFREG | 0644, "a", "" } },
	};
	struct fixture *fixture = *state;
	struct volume_info info;
	struct volume_names names;
	struct err err;

	for (size_t i = 0; i < ARRAY_COUNT(attempts); i++) {
		write_stream(fixture, attempts[i], ARRAY_COUNT(attempts[i]));
		rewind_stream(fixture, false);
		if (volume_file.receive(fixture->driver, "t", fixture->fd, NULL, &err) != -EINVAL)
			fail_msg("attempt %zu was not refused", i);
		assert_int_equal(volume_file.info(fixture->driver, "t", &info, &err), -ENOENT);
	}
	assert_int_equal(volume_file.list(fixture->driver, &names, &err), 0);
	assert_int_equal(names.items.count, 0);
	volume_names_done(&names);
	assert_int_equal(access(fixture->stream, F_OK), 0);
	assert_int_equal(rmdir(fixture->place), 0);		/* Nothing half received is left. */
	assert_int_equal(mkdir(fixture->place, 0711), 0);
}

/* Only what changed travels: a file that was touched without being changed does not. */
static void test_changes_are_small(void **state)
{
	struct fixture *fixture = *state;
	auto_info struct volume_info info = { 0 };
	auto_free char *big = NULL, *small = NULL, *bytes = alloc(8 * MIB);
	struct stat st;
	struct err err;

	assert_int_equal(volume_file.create(fixture->driver, "t", VOLUME_TREE, NULL, 0, &err), 0);
	assert_int_equal(volume_file.info(fixture->driver, "t", &info, &err), 0);
	big = text_format("%s/big", info.tree);
	small = text_format("%s/small", info.tree);
	memset(bytes, 'b', 8 * MIB);
	assert_int_equal(file_write_atomic(big, bytes, 8 * MIB, 0600, &err), 0);
	assert_int_equal(volume_file.snapshot_create(fixture->driver, "t", "s1", &err), 0);
	send_snapshot(fixture, "t", "s1", NULL);
	receive(fixture, "u");
	assert_int_equal(file_write_atomic(small, "small", 5, 0600, &err), 0);
	assert_int_equal(chmod(big, 0640), 0);
	assert_int_equal(volume_file.snapshot_create(fixture->driver, "t", "s2", &err), 0);
	send_snapshot(fixture, "t", "s2", "s1");
	assert_int_equal(fstat(fixture->fd, &st), 0);
	assert_true(st.st_size < 4 * KIB);
	receive(fixture, "u");
	volume_info_done(&info);
	assert_int_equal(volume_file.info(fixture->driver, "u", &info, &err), 0);
	auto_free char *received = text_format("%s/big", info.tree);
	assert_int_equal(stat(received, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_size, 8 * MIB);
}

/* Disks */

static void run(const char *const *argv)
{
	const struct spawn_params params = { .argv = argv };
	const struct spawn_io io = { .timeout_ms = 60000 };
	struct err err;

	if (spawn_run(&params, &io, &err) < 0)
		fail_msg("%s", err.msg);
}

static char *path_of(struct fixture *fixture, const char *volume)
{
	return text_format("%s/%s.qcow2", fixture->place, volume);
}

/* Data, zeros and holes at random: what a guest's file system does. */
static void write_at_random(struct fixture *fixture, const char *volume, struct rng *rng, uint64_t size_bytes)
{
	static const char *const verbs[] = { "write -P 17", "write -P 99", "write -z", "write -z -u", "discard" };
	auto_free char *path = path_of(fixture, volume);

	for (int i = 0; i < 12; i++) {
		uint64_t offset = rng_below(rng, size_bytes / KIB) * KIB, length = (1 + rng_below(rng, 200)) * KIB;
		auto_free char *command = NULL;

		length = offset + length > size_bytes ? size_bytes - offset : length;
		command = text_format("%s %llu %llu", verbs[rng_below(rng, ARRAY_COUNT(verbs))], (unsigned long long)offset,
				      (unsigned long long)length);
		run((const char *const[]){ "qemu-io", "-d", "unmap", "-f", "qcow2", "-c", command, path, NULL });
	}
}

static void expect_same(struct fixture *fixture, const char *volume, const char *snapshot, const char *copy)
{
	auto_free char *then = path_of(fixture, "then"), *received = path_of(fixture, copy);
	struct err err;

	assert_int_equal(volume_file.clone(fixture->driver, "then", volume, snapshot, NULL, &err), 0);
	run((const char *const[]){ "qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", then, received, NULL });
	assert_int_equal(volume_file.remove(fixture->driver, "then", &err), 0);
	run((const char *const[]){ "qemu-img", "check", "-q", "-f", "qcow2", received, NULL });
}

/* A child of an image, snapshot after snapshot: the copy that gets only the changes is always the same disk. */
static void test_chain_of_changes(void **state)
{
	const uint64_t size_bytes = 20 * MIB + 3 * KIB;
	struct fixture *fixture = *state;
	struct rng rng;
	struct err err;

	rng_init(&rng, 42);
	assert_int_equal(volume_file.create(fixture->driver, "image", VOLUME_BLOCK, NULL, 10 * MIB, &err), 0);
	write_at_random(fixture, "image", &rng, 10 * MIB);
	assert_int_equal(volume_file.create(fixture->driver, "a", VOLUME_BLOCK, "image", size_bytes, &err), 0);
	for (int i = 0; i < 5; i++) {
		auto_free char *snapshot = text_format("s%d", i), *base = text_format("s%d", i - 1);

		write_at_random(fixture, "a", &rng, size_bytes);
		/* Once the disk goes back in time before it goes on. */
		if (i == 3)
			assert_int_equal(volume_file.snapshot_restore(fixture->driver, "a", "s0", &err), 0);
		assert_int_equal(volume_file.snapshot_create(fixture->driver, "a", snapshot, &err), 0);
		send_snapshot(fixture, "a", snapshot, i ? base : NULL);
		receive(fixture, "b");
		expect_same(fixture, "a", snapshot, "b");
	}
	/* And the copy's snapshots can be sent as well. */
	send_snapshot(fixture, "b", "s4", "s1");
	assert_int_equal(volume_file.snapshot_remove(fixture->driver, "b", "s4", &err), 0);
	receive(fixture, "b");
	expect_same(fixture, "a", "s4", "b");
}

/* A running machine's disk can be sent, not received into. */
static void test_in_use(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = path_of(fixture, "a");
	auto_close int fd = -1;
	struct flock writes = { .l_type = F_RDLCK, .l_start = 101, .l_len = 1 }, unshared = { .l_type = F_RDLCK, .l_start = 201, .l_len = 1 };
	struct err err;

	assert_int_equal(volume_file.create(fixture->driver, "a", VOLUME_BLOCK, NULL, MIB, &err), 0);
	assert_int_equal(volume_file.snapshot_create(fixture->driver, "a", "s1", &err), 0);
	assert_int_equal(volume_file.snapshot_create(fixture->driver, "a", "s2", &err), 0);
	/* The locks of QEMU (raw_check_perm). */
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &writes), 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &unshared), 0);
	send_snapshot(fixture, "a", "s2", "s1");
	assert_int_equal(volume_file.clone(fixture->driver, "b", "a", "s1", NULL, &err), 0);
	rewind_stream(fixture, false);
	auto_free char *other = text_format("%s/other", fixture->folder);
	struct volume_params params = { .directory = other };
	struct volume_driver *driver;
	assert_int_equal(volume_file.open(&params, &driver, &err), 0);
	assert_int_equal(volume_file.receive(driver, "a", fixture->fd, NULL, &err), -ENOENT);
	volume_file.close(driver);
	assert_int_equal(volume_file.snapshot_remove(fixture->driver, "a", "s2", &err), -EBUSY);
	close(take_fd(fd));
	assert_int_equal(volume_file.snapshot_remove(fixture->driver, "a", "s2", &err), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &writes), 0);
	rewind_stream(fixture, false);
	assert_int_equal(volume_file.receive(fixture->driver, "a", fixture->fd, NULL, &err), -EBUSY);
	close(take_fd(fd));
	receive(fixture, "a");
}

/* The daemon is killed at any moment */

enum { KILLS = 40, KILL_AFTER_MAX_US = 60000 };

/* Brings the tree "t" to its two snapshots in turn, makes and removes copies, until it is killed. */
static void work_until_killed(const struct fixture *fixture)
{
	struct volume_params params = { .directory = fixture->place };
	struct volume_driver *driver;
	struct err err;

	if (volume_file.open(&params, &driver, &err) < 0)
		_exit(1);
	for (int i = 0;; i++) {
		const char *snapshot = i % 2 ? "s1" : "s2";

		volume_file.snapshot_restore(driver, "t", snapshot, &err);
		volume_file.clone(driver, "copy", "t", snapshot, NULL, &err);
		volume_file.snapshot_create(driver, "t", "s3", &err);
		volume_file.snapshot_remove(driver, "t", "s3", &err);
		volume_file.remove(driver, "copy", &err);
		volume_file.snapshot_remove(driver, "u", "s2", &err);
		if (lseek(fixture->fd, 0, SEEK_SET) == 0)
			volume_file.receive(driver, "u", fixture->fd, NULL, &err);
	}
}

static void kill_after(const struct fixture *fixture, uint64_t us)
{
	struct timespec pause = { .tv_nsec = (long)us * 1000 };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		work_until_killed(fixture);
	nanosleep(&pause, NULL);		/* No event to wait for: any moment will do. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void expect_one_of_two(struct fixture *fixture, const char *volume)
{
	struct err first, second;

	if (tree_fixture_check(NULL, fixture->driver, volume, 1, &first) < 0 &&
	    tree_fixture_check(NULL, fixture->driver, volume, 2, &second) < 0)
		fail_msg("neither: %s; nor: %s", first.msg, second.msg);
}

static void expect_no_leftovers(const struct fixture *fixture)
{
	auto_close int fd = open(fixture->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct volume_names names = { 0 };
	struct err err;

	assert_int_equal(place_names(fd, &names, &err), 0);
	for (size_t i = 0; i < names.items.count; i++)
		assert_null(strstr(names.items.items[i], ".tmp-"));
	volume_names_done(&names);
}

static void test_killed_at_any_moment(void **state)
{
	struct fixture *fixture = *state;
	struct volume_names names;
	struct rng rng;
	struct err err;

	assert_int_equal(volume_file.create(fixture->driver, "t", VOLUME_TREE, NULL, 0, &err), 0);
	assert_int_equal(tree_fixture_write(NULL, fixture->driver, "t", 1, &err), 0);
	assert_int_equal(volume_file.snapshot_create(fixture->driver, "t", "s1", &err), 0);
	send_snapshot(fixture, "t", "s1", NULL);
	receive(fixture, "u");
	assert_int_equal(tree_fixture_write(NULL, fixture->driver, "t", 2, &err), 0);
	assert_int_equal(volume_file.snapshot_create(fixture->driver, "t", "s2", &err), 0);
	send_snapshot(fixture, "t", "s2", "s1");
	rng_init(&rng, 7);
	for (int i = 0; i < KILLS; i++) {
		kill_after(fixture, rng_below(&rng, KILL_AFTER_MAX_US));
		assert_int_equal(volume_file.list(fixture->driver, &names, &err), 0);
		for (size_t j = 0; j < names.items.count; j++)
			expect_one_of_two(fixture, names.items.items[j]);
		assert_true(names.items.count >= 2);
		volume_names_done(&names);
		expect_no_leftovers(fixture);
	}
	/* And what had begun can be brought to its end. */
	receive(fixture, "u");
	assert_int_equal(tree_fixture_check(NULL, fixture->driver, "u", 2, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_outside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes_are_small, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chain_of_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed_at_any_moment, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
