#include "4-service/busy.h"

#include "base/units.h"

static bool has_long_queue(const struct host_load *load)
{
	return load->run_queue_milli > BUSY_RUN_QUEUE_MILLI;
}

static bool has_busy_cpus(const struct host_load *load)
{
	return load->busy_permille > BUSY_CPU_PERMILLE;
}

static bool lacks_memory(const struct host_load *load)
{
	return load->memory_available_bytes < load->memory_total_bytes / 1000 * BUSY_MEMORY_PERMILLE;
}

bool busy_is(const struct host_load *load)
{
	return has_long_queue(load) || has_busy_cpus(load) || lacks_memory(load);
}

void busy_explain(const struct host_load *load, struct str *text)
{
	const char *between = "is busy, others come first (";
	char available[UNITS_TEXT_SIZE], total[UNITS_TEXT_SIZE];

	if (has_long_queue(load)) {
		str_printf(text, "%s%u.%u tasks per CPU run or wait", between, load->run_queue_milli / 1000, load->run_queue_milli / 100 % 10);
		between = ", ";
	}
	if (has_busy_cpus(load)) {
		str_printf(text, "%s%u%% of its CPUs are used", between, load->busy_permille / 10);
		between = ", ";
	}
	if (lacks_memory(load))
		str_printf(text, "%s%s of %s of memory are available", between, units_format_size(load->memory_available_bytes, available),
			   units_format_size(load->memory_total_bytes, total));
	if (busy_is(load))
		str_append(text, "); ");
}
