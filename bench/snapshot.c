/* Snapshots and clones of 2 GiB in a btrfs pool, against `btrfs subvolume snapshot` as a whole process. */
#include <stdio.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "base/str.h"
#include "lib/node.h"
#include "lib/pool.h"

enum { ROUNDS = 20, QUICK_ROUNDS = 5 };

#define VOLUME_BYTES (UINT64_C(2) << 30)
#define QUICK_DATA_BYTES (UINT64_C(64) << 20)	/* The rest is a hole. */
#define POOL_BYTES (UINT64_C(12) << 30)

struct times { struct samples floor, tree_snapshot, tree_restore, tree_clone, block_snapshot, block_clone; };

static void times_done(struct times *times)
{
	samples_done(&times->floor);
	samples_done(&times->tree_snapshot);
	samples_done(&times->tree_restore);
	samples_done(&times->tree_clone);
	samples_done(&times->block_snapshot);
	samples_done(&times->block_clone);
}
#define auto_times __attribute__((cleanup(times_done)))

/* The time of one operation. */
#define TIMED(samples, call) ({ \
	double begin_ms_ = now_ms(); \
	int result_ = (call); \
	samples_add((samples), now_ms() - begin_ms_); \
	result_; })

static int measure_round(struct volume_driver *driver, const char *tree, int round, struct times *times, struct err *err)
{
	auto_free char *floor = text_format("%s/../../floor%d", tree, round), *name = text_format("s%d", round),
		       *tree_copy = text_format("t%d", round), *block_copy = text_format("b%d", round);
	const struct volume_ops *ops = driver->ops;
	double ms = 0;
	int r = run_program((const char *[]){ "btrfs", "-q", "subvolume", "snapshot", tree, floor, NULL }, &ms, err);

	if (r < 0)
		return r;
	samples_add(&times->floor, ms);
	if ((r = TIMED(&times->tree_snapshot, ops->snapshot_create(driver, "tree", name, err))) < 0 ||
	    (r = TIMED(&times->tree_clone, ops->clone(driver, tree_copy, "tree", NULL, NULL, err))) < 0 ||
	    (r = TIMED(&times->tree_restore, ops->snapshot_restore(driver, "tree", name, err))) < 0 ||
	    (r = TIMED(&times->block_clone, ops->clone(driver, block_copy, "block", NULL, NULL, err))) < 0 ||
	    (r = TIMED(&times->block_snapshot, ops->snapshot_create(driver, block_copy, name, err))) < 0)
		return r;
	return 0;
}

static void print(const char *promise, struct samples *measured, struct times *times)
{
	double ms = samples_median(measured), floor_ms = samples_median(&times->floor);

	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.1f ms", ms),
		.floor = cell("`btrfs subvolume snapshot` %.1f ms", floor_ms),
		.comparison = cell("%+.1f ms", ms - floor_ms),
		.target = "≤ 10 ms more",
	});
}

static int measure_in(const struct bench *bench, struct volume_driver *driver, struct err *err)
{
	uint64_t data_bytes = bench->is_quick ? QUICK_DATA_BYTES : VOLUME_BYTES;
	auto_info struct volume_info info = { 0 };
	auto_times struct times times = { 0 };
	auto_free char *file = NULL;
	int r;

	if ((r = driver->ops->create(driver, "tree", VOLUME_TREE, NULL, 2 * VOLUME_BYTES, err)) < 0 ||
	    (r = driver->ops->info(driver, "tree", &info, err)) < 0)
		return r;
	file = text_format("%s/file", info.tree);
	if ((r = pool_write_random(file, data_bytes, VOLUME_BYTES, err)) < 0 ||
	    (r = pool_import_random(bench, driver, "block", data_bytes, VOLUME_BYTES, err)) < 0)
		return r;
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++)
		r = measure_round(driver, info.tree, i, &times, err);
	if (r < 0)
		return r;
	print("snapshot of a 2 GiB tree in a btrfs pool", &times.tree_snapshot, &times);
	print("restore of a 2 GiB tree to a snapshot", &times.tree_restore, &times);
	print("clone of a 2 GiB tree", &times.tree_clone, &times);
	print("clone of a 2 GiB disk in a btrfs pool", &times.block_clone, &times);
	print("snapshot of a 2 GiB disk that is not in use (by `qemu-img`)", &times.block_snapshot, &times);
	return 0;
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_free char *directory = text_format("%s/pool", bench->folder), *source = text_format("%s/pool.img", bench->folder);
	const struct volume_params params = { .directory = directory, .source = source, .size_bytes = POOL_BYTES };
	struct volume_driver *driver;
	int r = volume_btrfs.open(&params, &driver, err);

	if (r < 0)
		return r;
	r = measure_in(bench, driver, err);
	volume_btrfs.close(driver);
	umount2(directory, MNT_DETACH);		/* Else the folder could not be cleared away. */
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}
