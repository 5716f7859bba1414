/* A disk from a 2 GiB image: `strata create` and `strata clone` as whole processes, against qemu-img and cp --reflink. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/rng.h"
#include "lib/node.h"

enum { ROUNDS = 20, QUICK_ROUNDS = 5, BLOCK_BYTES = 1 << 20 };

#define IMAGE_BYTES (UINT64_C(2) << 30)
#define QUICK_DATA_BYTES (UINT64_C(64) << 20)	/* The rest is a hole. */

static int write_image(const struct bench *bench, const char *path, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	auto_free uint64_t *block = alloc(BLOCK_BYTES);
	uint64_t data_bytes = bench->is_quick ? QUICK_DATA_BYTES : IMAGE_BYTES;
	struct rng rng;
	int r = 0;

	if (fd < 0 || ftruncate(fd, (off_t)IMAGE_BYTES) < 0)
		return err_set(err, -errno, "make '%s': %m", path);
	rng_init(&rng, 1);
	for (uint64_t at = 0; at < data_bytes && r == 0; at += BLOCK_BYTES) {
		for (size_t i = 0; i < BLOCK_BYTES / sizeof(*block); i++)
			block[i] = rng_next(&rng);
		r = file_write_at(fd, block, BLOCK_BYTES, at, err);
	}
	return r;
}

/* The image as the daemon keeps it: the only disk there is. */
static int find_base(const struct node *node, char **ret_path, struct err *err)
{
	auto_free char *pattern = text_format("%s/volumes/*.qcow2", node->state);
	glob_t found = { 0 };

	if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1)
		*ret_path = text_copy(found.gl_pathv[0]);
	globfree(&found);
	return *ret_path ? 0 : err_set(err, -ENOENT, "no disk of the image in %s/volumes", node->state);
}

struct clones { struct samples create, clone, overlay, reflink; };

static void clones_done(struct clones *clones)
{
	samples_done(&clones->create);
	samples_done(&clones->clone);
	samples_done(&clones->overlay);
	samples_done(&clones->reflink);
}
#define auto_clones __attribute__((cleanup(clones_done)))

static int measure_floors(const struct bench *bench, const char *base, int round, struct clones *clones, struct err *err)
{
	auto_free char *overlay = text_format("%s/overlay%d.qcow2", bench->folder, round),
		       *copy = text_format("%s/copy%d.qcow2", bench->folder, round);
	struct err unsupported;
	double ms = 0;
	int r = run_program((const char *[]){ "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay, NULL },
			    &ms, err);

	if (r < 0)
		return r;
	samples_add(&clones->overlay, ms);
	/* Not every file system can. */
	if (run_program((const char *[]){ "cp", "--reflink=always", base, copy, NULL }, &ms, &unsupported) == 0)
		samples_add(&clones->reflink, ms);
	return 0;
}

static int measure_round(struct node *node, const char *base, int round, struct clones *clones, struct err *err)
{
	auto_free char *name = text_format("c%d", round), *copy = text_format("d%d", round);
	double create_ms = 0, clone_ms = 0;
	int r = measure_floors(node->bench, base, round, clones, err);

	if (r == 0)
		r = node_cli(node, cli("create", "big", name, "--network", "none"), &create_ms, err);
	if (r == 0)
		r = node_cli(node, cli("clone", name, copy), &clone_ms, err);
	if (r < 0)
		return r;
	samples_add(&clones->create, create_ms);
	samples_add(&clones->clone, clone_ms);
	return 0;
}

static void print(const char *promise, struct samples *measured, struct clones *clones)
{
	double ms = samples_median(measured), floor_ms = samples_median(&clones->overlay);
	const char *reflink = clones->reflink.values.count ? cell("%.1f ms", samples_median(&clones->reflink)) :
							     "not on this file system";

	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.1f ms", ms),
		.floor = cell("`qemu-img create -b` %.1f ms; `cp --reflink` %s", floor_ms, reflink),
		.comparison = cell("%+.1f ms", ms - floor_ms),
		.target = "≤ 30 ms",
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_free char *image = text_format("%s/big.raw", bench->folder), *base = NULL;
	auto_clones struct clones clones = { 0 };
	auto_node struct node node;
	int r;

	node_init(&node, bench, "node", false);
	r = write_image(bench, image, err);
	if (r == 0)
		r = node_start(&node, NULL, err);
	if (r == 0)
		r = node_cli(&node, cli("image", "import", "big", image), NULL, err);
	if (r == 0)
		r = find_base(&node, &base, err);
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++)
		r = measure_round(&node, base, i, &clones, err);
	if (r < 0)
		return r;
	print("copy-on-write disk from a 2 GiB image, `strata create` as a whole process", &clones.create, &clones);
	print("copy-on-write copy of a 2 GiB instance, `strata clone` as a whole process", &clones.clone, &clones);
	return 0;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}
