/* An incremental backup of a 2 GiB disk of which 1% changed, against reading just what changed. Both from the disk, not from memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "driver/volume/file/qcow2_map.h"
#include "lib/node.h"
#include "lib/pool.h"

enum { ROUNDS = 15, QUICK_ROUNDS = 5, CHANGES_AT_ONCE = 100 };

#define VOLUME_BYTES (UINT64_C(2) << 30)
#define QUICK_BYTES (UINT64_C(512) << 20)

struct changed { VEC(uint64_t) offsets; };	/* Of the changed clusters, in the file. */

/* Writes to every hundredth cluster or so, somewhere. */
static int change(const char *path, uint64_t size_bytes, struct err *err)
{
	uint64_t clusters = size_bytes / QCOW2_CLUSTER, count = clusters / 100;
	struct rng rng;
	double ms;
	int r = 0;

	rng_init(&rng, 2);
	for (uint64_t done = 0; done < count && r == 0;) {
		char commands[CHANGES_AT_ONCE][40];
		const char *argv[2 * CHANGES_AT_ONCE + 6] = { "qemu-io", "-f", "qcow2" };
		size_t argc = 3;

		for (int i = 0; i < CHANGES_AT_ONCE && done < count; i++, done++) {
			snprintf(commands[i], sizeof(commands[i]), "write -P 7 %lluk 64k", (unsigned long long)(rng_below(&rng, clusters) * 64));
			argv[argc++] = "-c";
			argv[argc++] = commands[i];
		}
		argv[argc++] = path;
		r = run_program(argv, &ms, err);
	}
	return r;
}

static int find_changed(int fd, uint64_t size_bytes, struct changed *changed, struct err *err)
{
	auto_qcow2_map struct qcow2_map before = { 0 }, after = { 0 };
	int r;

	if ((r = qcow2_map_open(fd, "before", &before, err)) < 0 || (r = qcow2_map_open(fd, "after", &after, err)) < 0)
		return r;
	for (uint64_t i = 0; i < size_bytes / QCOW2_CLUSTER; i++) {
		enum qcow2_cluster_kind kind;
		uint64_t was, is;

		if ((r = qcow2_map_find(&before, i, &kind, &was, err)) < 0 || (r = qcow2_map_find(&after, i, &kind, &is, err)) < 0)
			return r;
		if (was != is)
			*vec_push(&changed->offsets) = is;
	}
	return 0;
}

static void forget(int fd)
{
	fdatasync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int read_changed(int fd, const struct changed *changed, double *ret_ms, struct err *err)
{
	auto_free char *buffer = alloc(QCOW2_CLUSTER);
	double begin_ms = now_ms();

	for (size_t i = 0; i < changed->offsets.count; i++)
		if (pread(fd, buffer, QCOW2_CLUSTER, (off_t)changed->offsets.items[i]) < 0)
			return err_set(err, -errno, "read: %m");
	*ret_ms = now_ms() - begin_ms;
	return 0;
}

static int measure_rounds(const struct bench *bench, struct volume_driver *driver, int fd, const struct changed *changed, bool is_cold,
			  struct err *err)
{
	struct samples floor = { 0 }, sends = { 0 };
	auto_close int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
	double ms = 0, begin_ms;
	int r = 0;

	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++) {
		if (is_cold)
			forget(fd);
		if ((r = read_changed(fd, changed, &ms, err)) < 0)
			break;
		samples_add(&floor, ms);
		if (is_cold)
			forget(fd);
		begin_ms = now_ms();
		r = driver->ops->send(driver, "disk", "after", "before", sink, NULL, err);
		samples_add(&sends, now_ms() - begin_ms);
	}
	if (r == 0)
		row_print(&(struct row){
			.promise = cell("incremental backup of a %s disk, 1%% changed, %s", bench->is_quick ? "512 MiB" : "2 GiB",
					is_cold ? "from the disk" : "from the page cache"),
			.measured = cell("%.1f ms", samples_median(&sends)),
			.floor = cell("reading the %zu changed clusters %.1f ms", changed->offsets.count, samples_median(&floor)),
			.comparison = cell("%.2f ×", samples_median(&sends) / samples_median(&floor)),
			.target = "≤ 1.5 ×",
		});
	samples_done(&floor);
	samples_done(&sends);
	return r;
}

static int measure_in(const struct bench *bench, struct volume_driver *driver, struct err *err)
{
	uint64_t size_bytes = bench->is_quick ? QUICK_BYTES : VOLUME_BYTES;
	auto_info struct volume_info info = { 0 };
	struct changed changed = { 0 };
	auto_close int fd = -1;
	int r;

	if ((r = pool_import_random(bench, driver, "disk", size_bytes, size_bytes, err)) < 0 ||
	    (r = driver->ops->info(driver, "disk", &info, err)) < 0 ||
	    (r = driver->ops->snapshot_create(driver, "disk", "before", err)) < 0 ||
	    (r = change(info.layers.items[0].path, size_bytes, err)) < 0 ||
	    (r = driver->ops->snapshot_create(driver, "disk", "after", err)) < 0)
		return r;
	fd = open(info.layers.items[0].path, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? err_set(err, -errno, "open the disk: %m") : find_changed(fd, size_bytes, &changed, err);
	if (r == 0 && (r = measure_rounds(bench, driver, fd, &changed, true, err)) == 0)
		r = measure_rounds(bench, driver, fd, &changed, false, err);
	vec_done(&changed.offsets);
	return r;
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_free char *directory = text_format("%s/volumes", bench->folder);
	const struct volume_params params = { .directory = directory };
	struct volume_driver *driver;
	int r = volume_file.open(&params, &driver, err);

	if (r < 0)
		return r;
	r = measure_in(bench, driver, err);
	volume_file.close(driver);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}
