#include "app/simulate/simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { NODES_MAX = 100000, INSTANCES_MAX = 1000000, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

static const char *const fault_names[SIMULATE_FAULT_COUNT] = { "crash", "power", "partition", "clock", "disk", "leader" };

/* A whole number without a sign. */
static bool read_number(const char *text, size_t length, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!length || length > 19)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	*ret_number = number;
	return true;
}

static int take_pair(const char *text, size_t length, struct simulate_options *options, struct err *err)
{
	bool is_nodes = strncmp(text, "nodes=", 6) == 0, is_instances = strncmp(text, "instances=", 10) == 0;
	size_t skip = is_nodes ? 6 : 10;
	uint32_t most = is_nodes ? NODES_MAX : INSTANCES_MAX;
	uint64_t number;

	if (!is_nodes && !is_instances)
		return err_set(err, -EINVAL, "--simulate: '%.*s' is unknown: use nodes=N,instances=M", (int)length, text);
	if (length < skip || !read_number(text + skip, length - skip, &number) || number < is_nodes || number > most)
		return err_set(err, -EINVAL, "--simulate: '%.*s': use a number from %d to %u", (int)length, text, is_nodes, most);
	*(is_nodes ? &options->nodes : &options->instances) = (uint32_t)number;
	return 0;
}

static int each_part(const char *text, struct simulate_options *options, int (*take_part)(const char *, size_t, struct simulate_options *, struct err *),
		     struct err *err)
{
	int r = 0;

	while (r == 0) {
		size_t length = strcspn(text, ",");

		r = take_part(text, length, options, err);
		if (!text[length])
			break;
		text += length + 1;
	}
	return r;
}

int simulate_parse(const char *text, struct simulate_options *options, struct err *err)
{
	int r;

	options->nodes = 0;
	options->instances = UINT32_MAX;
	r = each_part(text, options, take_pair, err);
	if (r == 0 && (!options->nodes || options->instances == UINT32_MAX))
		return err_set(err, -EINVAL, "--simulate: '%s': use nodes=N,instances=M", text);
	return r;
}

static int take_fault(const char *text, size_t length, struct simulate_options *options, struct err *err)
{
	for (unsigned i = 0; i < SIMULATE_FAULT_COUNT; i++)
		if (strlen(fault_names[i]) == length && strncmp(fault_names[i], text, length) == 0) {
			options->faults |= 1u << i;
			return 0;
		}
	return err_set(err, -EINVAL, "--faults: '%.*s' is unknown: use all, or some of crash,power,partition,clock,disk,leader", (int)length, text);
}

int simulate_parse_faults(const char *text, struct simulate_options *options, struct err *err)
{
	if (strcmp(text, "all") != 0)
		return each_part(text, options, take_fault, err);
	options->faults = (1u << SIMULATE_FAULT_COUNT) - 1;
	return 0;
}

static int parse(const char *what, const char *seed, const char *faults, struct simulate_options *options, struct err *err)
{
	int r = simulate_parse(what, options, err);

	options->seed = 1;
	if (r == 0 && seed && !read_number(seed, strlen(seed), &options->seed))
		r = err_set(err, -EINVAL, "--seed: '%s': use a number", seed);
	if (r == 0 && faults)
		r = simulate_parse_faults(faults, options, err);
	return r;
}

/* The simulated daemons log to stderr, all of them. Returns what is left to write to, or null. */
static FILE *silence_log(void)
{
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (nowhere >= 0)
		dup2(nowhere, STDERR_FILENO);
	close(nowhere);
	return kept >= 0 ? fdopen(kept, "w") : NULL;
}

/* One process that fills up once and ends: nothing is given back to the kernel, nor kept apart for small sizes, on the way. */
static void tune_heap(void)
{
	mallopt(M_MXFAST, 0);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 16 << 20);
}

/* A gigabyte of small things: with small pages a third of the time is looking them up. glibc reads this only when a program begins. */
static void use_huge_pages(char **argv)
{
	static const char name[] = "GLIBC_TUNABLES";

	if (getenv(name))
		return;
	setenv(name, "glibc.malloc.hugetlb=1", true);
	execv("/proc/self/exe", argv);
	unsetenv(name);				/* Then without. */
}

static void print_line(const struct simulate_options *options, const struct simulate_result *result)
{
	printf("nodes=%u instances=%u running=%u wall_s=%.1f rss_mib=%" PRIu64 " steps=%" PRIu64 " invariants=%s%s\n", options->nodes, options->instances,
	       result->running, result->wall_s, result->rss_mib, result->steps, result->broken[0] ? "BROKEN: " : "ok", result->broken);
}

int simulate_main(char **argv, const char *what, const char *seed, const char *faults)
{
	struct simulate_options options = { 0 };
	struct simulate_result result;
	struct err err = { 0 };
	FILE *out;
	int r = parse(what, seed, faults, &options, &err);

	if (r < 0) {
		fprintf(stderr, "stratad: %s\n", err.msg);
		return EXIT_USAGE;
	}
	use_huge_pages(argv);
	tune_heap();
	out = silence_log();
	options.progress = out && isatty(fileno(out)) ? out : NULL;
	r = simulate_run(&options, false, &result, &err);
	if (r < 0 && out)
		fprintf(out, "stratad: simulation: %s\n", err.msg);
	if (r == 0 && result.running < options.instances && out)
		fprintf(out, "%u do not run, as one of them: %s\n", options.instances - result.running, result.why_not);
	if (r == 0)
		print_line(&options, &result);
	if (out)
		fclose(out);
	return r < 0 ? err_exit_code(err.code) : result.broken[0] ? EXIT_BROKEN : 0;
}
