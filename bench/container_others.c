/*
 * The whole process `strata run --container` to the container's first instruction, against what other engines on this host take for the
 * same image, limits, a nic and a bind mount, in alternation. Whoever is not installed has a row that says so.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "base/vec.h"
#include "lib/container.h"

enum { ROUNDS = 15, QUICK_ROUNDS = 3, SETTLE_MS = 100 };

/* One without a daemon (podman) keeps everything in our folder. */
struct engine { const char *name; bool has_daemon; };
static const struct engine engines[] = { { "podman", false }, { "docker", true }, { "incus", true } };

struct place {
	struct node *node;
	struct signals signals;
	char *tar, *data;		/* The image as one file; the folder of podman. */
};

static void settle(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = SETTLE_MS * 1000000L }, NULL);
}

static int call(struct place *place, const struct engine *engine, const char *const *arguments, struct err *err)
{
	auto_free char *storage = text_format("%s/storage", place->data), *state = text_format("%s/run", place->data);
	auto_free char *tmp = text_format("%s/tmp", place->data), *networks = text_format("%s/networks", place->data);
	const char *const own[] = { "--root", storage, "--runroot", state, "--tmpdir", tmp, "--network-config-dir", networks,
				    "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "crun" };
	VEC(const char *) argv = { 0 };
	int r;

	*vec_push(&argv) = engine->name;
	for (size_t i = 0; !engine->has_daemon && i < ARRAY_COUNT(own); i++)
		*vec_push(&argv) = own[i];
	for (; *arguments; arguments++)
		*vec_push(&argv) = *arguments;
	*vec_push(&argv) = NULL;
	r = run_program(argv.items, NULL, err);
	vec_done(&argv);
	return r;
}

static int run_other(struct place *place, const struct engine *engine, double *ret_ms, struct err *err)
{
	auto_free char *memory = text_format("%dm", CONTAINER_MEMORY_MIB), *pids = text_format("%d", CONTAINER_PIDS);
	auto_free char *mount = text_format("%s:/signal", place->signals.folder);
	double start;
	int r;

	settle();
	start = now_ms();
	r = call(place, engine, cli("run", "-d", "--name", "one", "--memory", memory, "--cpus", "1", "--pids-limit", pids,
				    "--volume", mount, "strata-bench", "sh", "-c", CONTAINER_SCRIPT), err);
	if (r == 0)
		r = signals_wait(&place->signals, 1, err);
	*ret_ms = now_ms() - start;
	return r < 0 ? r : call(place, engine, cli("rm", "--force", "one"), err);
}

static int run_strata(struct place *place, double *ret_ms, struct err *err)
{
	double start;
	int r;

	settle();
	start = now_ms();
	r = container_run_cli(place->node, &place->signals, "one", NULL, err);
	if (r == 0)
		r = signals_wait(&place->signals, 1, err);
	*ret_ms = now_ms() - start;
	return r < 0 ? r : node_cli(place->node, cli("rm", "--force", "one"), NULL, err);
}

static void print(const struct engine *engine, struct samples *ours, struct samples *theirs)
{
	double strata = samples_median(ours), other = samples_median(theirs);

	row_print(&(struct row){
		.promise = cell("`strata run --container` to its first instruction, beside `%s run -d`", engine->name),
		.measured = cell("%.0f ms", strata),
		.floor = cell("%s %.0f ms", engine->name, other),
		.comparison = cell("%.1f times faster (n=%zu)", other / strata, ours->values.count),
		.target = "≥ 3 times faster",
	});
}

static int compare(struct place *place, const struct engine *engine, size_t rounds, struct err *err)
{
	auto_samples struct samples ours = { 0 }, theirs = { 0 };
	double strata = 0, other = 0;
	int r = call(place, engine, cli("import", place->tar, "strata-bench"), err);

	if (r == 0)
		r = run_other(place, engine, &other, err);	/* The first makes its network. */
	for (size_t i = 0; i < rounds && r == 0; i++) {
		r = run_strata(place, &strata, err);
		if (r == 0)
			r = run_other(place, engine, &other, err);
		samples_add(&ours, strata);
		samples_add(&theirs, other);
	}
	if (engine->has_daemon)
		call(place, engine, cli("rmi", "--force", "strata-bench"), &(struct err){ 0 });
	if (r == 0)
		print(engine, &ours, &theirs);
	return r;
}

/* Why it cannot be compared; null: it can. */
static const char *missing(struct place *place, const struct engine *engine)
{
	auto_free char *path = NULL;
	struct err err;

	if (spawn_find(engine->name, &path, &err) < 0)
		return "not installed";
	if (text_equal(engine->name, "incus"))
		return "installed, but it runs other images: not compared";
	if (engine->has_daemon && call(place, engine, cli("info"), &err) < 0)
		return "installed, but its daemon does not answer here";
	return NULL;
}

static void measure_engine(struct place *place, const struct engine *engine, size_t rounds)
{
	const char *reason = missing(place, engine);
	struct err err = { 0 };

	if (!reason && compare(place, engine, rounds, &err) < 0)
		reason = err.msg;
	if (reason)
		row_print(&(struct row){
			.promise = cell("`strata run --container` beside `%s run -d`", engine->name),
			.measured = "not compared", .floor = reason, .comparison = "", .target = "≥ 3 times faster",
		});
}

static int prepare(struct place *place, struct err *err)
{
	auto_free char *pattern = text_format("%s/oci/layers/*/bin", place->node->state), *layer = NULL;
	glob_t found = { 0 };
	double unused;
	int r = node_start(place->node, NULL, err);

	if (r == 0)
		r = node_cli(place->node, cli("image", "build", "--container", "busybox"), NULL, err);
	if (r == 0)
		r = run_strata(place, &unused, err);
	if (r < 0)
		return r;
	if (glob(pattern, 0, NULL, &found) == 0)
		layer = text_copy_length(found.gl_pathv[0], strlen(found.gl_pathv[0]) - strlen("/bin"));
	globfree(&found);
	return layer ? run_program((const char *[]){ "tar", "-C", layer, "-cf", place->tar, ".", NULL }, NULL, err) :
		       err_set(err, -ENOENT, "the image has no layer in '%s'", pattern);
}

static void place_done(struct place *place)
{
	auto_free char *mount = text_format("%s/storage/overlay", place->data);

	umount2(mount, MNT_DETACH);
	signals_close(&place->signals);
	free(place->tar);
	free(place->data);
}
#define auto_place __attribute__((cleanup(place_done)))

static int measure(const struct bench *bench, struct err *err)
{
	auto_node struct node node;
	auto_place struct place place = {
		.node = &node, .tar = text_format("%s/image.tar", bench->folder), .data = text_format("%s/podman", bench->folder),
	};
	int r = signals_open(&place.signals, bench, err);

	node_init(&node, bench, "node", false);
	if (r == 0)
		r = prepare(&place, err);
	for (size_t i = 0; i < ARRAY_COUNT(engines) && r == 0; i++)
		measure_engine(&place, &engines[i], bench->is_quick ? QUICK_ROUNDS : ROUNDS);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}
