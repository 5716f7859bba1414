/*
 * Theory of operation.
 *
 * The program forks once, in new namespaces. The child is the first process of the process
 * namespace and measures; when it ends, the kernel kills every other process there. The
 * parent stays outside, waits (or kills the child when it is told to end itself), and clears away
 * what namespaces do not: the folder, the cgroups of the daemons whose state is in it, and those named after it.
 */
#include "bench.h"

#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { NODE_FILE_BYTES = 4096, TREE_FDS = 16 };

/* Figures */

double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void samples_add(struct samples *samples, double value)
{
	*vec_push(&samples->values) = value;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

double samples_rank(struct samples *samples, double rank)
{
	size_t last = samples->values.count - 1;

	qsort(samples->values.items, samples->values.count, sizeof(double), compare);
	return samples->values.items[(size_t)(rank * (double)last + 0.5)];
}

double samples_median(struct samples *samples)
{
	size_t count = samples->values.count;
	double upper = samples_rank(samples, 0.5);

	return count % 2 ? upper : (samples->values.items[count / 2 - 1] + samples->values.items[count / 2]) / 2;
}

void samples_done(struct samples *samples)
{
	vec_done(&samples->values);
}

void row_print(const struct row *row)
{
	printf("| %s | %s | %s | %s | %s |\n", row->promise, row->measured, row->floor, row->comparison, row->target);
	fflush(stdout);
}

const char *cell_format(char *buffer, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(buffer, size, format, args);
	va_end(args);
	return buffer;
}

/* The place */

static int raise_loopback(struct err *err)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return err_set(err, -errno, "raise loopback: %m");
	return 0;
}

/* /proc must be that of the new process namespace, and nobody else's. */
static int furnish(struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("proc", "/proc", "proc", 0, NULL) < 0)
		return err_set(err, -errno, "mount /proc: %m");
	return raise_loopback(err);
}

static int measure_inside(const struct bench *bench, bench_fn *measure)
{
	struct err err = { 0 };
	int r = furnish(&err);

	if (r == 0)
		r = measure(bench, &err);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, err.msg);
	return r < 0;
}

static int remove_folder(const char *path, const struct stat *stat, int type, struct FTW *where)
{
	(void)stat, (void)where;
	if (type == FTW_DP)
		rmdir(path);
	return 0;
}

/* Of both versions: at the root of the hierarchies, or of the one where it is mounted alone. */
static void remove_cgroups(const char *name)
{
	auto_free char *one = text_format("/sys/fs/cgroup/%s", name), *many = text_format("/sys/fs/cgroup/*/%s", name);
	glob_t found = { 0 };

	nftw(one, remove_folder, TREE_FDS, FTW_DEPTH | FTW_PHYS);
	if (glob(many, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			nftw(found.gl_pathv[i], remove_folder, TREE_FDS, FTW_DEPTH | FTW_PHYS);
	globfree(&found);
}

/* 'path' is a daemon's <state>/node: "<uid> <tag>". */
static void remove_cgroups_of(const char *path)
{
	auto_str struct str text = { 0 };
	auto_free char *name = NULL;
	char tag[64];
	struct err err;

	if (file_read_all(path, NODE_FILE_BYTES, &text, &err) < 0 || sscanf(str_text(&text), "%*s %63[a-z0-9]", tag) != 1)
		return;
	name = text_format("strata-%s", tag);
	remove_cgroups(name);
}

static void clear_away(const struct bench *bench)
{
	auto_free char *pattern = text_format("%s/*/node", bench->folder);
	glob_t found = { 0 };
	struct err err;

	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			remove_cgroups_of(found.gl_pathv[i]);
	globfree(&found);
	/* Those that a benchmark made itself. */
	remove_cgroups(strrchr(bench->folder, '/') + 1);
	if (file_remove_tree(bench->folder, &err) < 0)
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, err.msg);
}

/* Until the child has ended; whoever ends us ends it first. */
static int wait_for(pid_t child, const sigset_t *signals)
{
	int status = 0, signal;

	while (waitpid(child, &status, WNOHANG) != child) {
		sigwait(signals, &signal);
		if (signal != SIGCHLD)
			kill(child, SIGKILL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int run(const struct bench *bench, bench_fn *measure, struct err *err)
{
	sigset_t signals, before;
	pid_t child;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &before);
	if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID) < 0)
		return err_set(err, -errno, "make namespaces (needs root): %m");
	child = fork();
	if (child < 0)
		return err_set(err, -errno, "fork: %m");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		exit(measure_inside(bench, measure));
	}
	return wait_for(child, &signals);
}

static int choose_folder(struct bench *bench, struct err *err)
{
	const char *parent = getenv("TMPDIR");

	/* Not /tmp, which may be memory. */
	bench->folder = text_format("%s/strata-bench-XXXXXX", parent ? parent : "/var/tmp");
	if (!mkdtemp(bench->folder))
		return err_set(err, -errno, "make '%s': %m", bench->folder);
	return 0;
}

static int find_programs(struct bench *bench, const char *program, struct err *err)
{
	const char *named = getenv("STRATA_BUILD");
	const char *slash = strrchr(program, '/');
	auto_free char *guess = text_format("%.*s/..", slash ? (int)(slash - program) : 1, slash ? program : ".");
	auto_free char *daemon = NULL;

	bench->programs = realpath(named ? named : guess, NULL);
	daemon = text_format("%s/stratad", bench->programs ? bench->programs : "");
	if (access(daemon, X_OK) < 0)
		return err_set(err, -errno, "no stratad in '%s': run 'make', or name the folder in STRATA_BUILD",
			       named ? named : guess);
	return 0;
}

int bench_main(const char *program, bench_fn *measure)
{
	const char *quick = getenv("QUICK");
	struct bench bench = { .is_quick = quick && *quick && !text_equal(quick, "0") };
	struct err err = { 0 };
	int r = find_programs(&bench, program, &err);

	if (r == 0)
		r = choose_folder(&bench, &err);
	if (r == 0) {
		r = run(&bench, measure, &err);
		clear_away(&bench);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, err.msg);
	free(bench.programs);
	free(bench.folder);
	return r != 0;
}
