#include <errno.h>

#include "app/sched/csv.h"
#include "app/sched/sched.h"

int sched_machine_read(const struct csv *csv, const int *columns, int64_t after_s, struct sched_machine *ret_machine, struct err *err)
{
	int64_t cpu_m, memory_milli, at_s, lives_s;
	int r = csv_milli(csv, columns[0], INT32_MAX, &cpu_m, err);

	r = r ? r : csv_milli(csv, columns[1], 1000000000, &memory_milli, err);
	r = r ? r : csv_integer(csv, columns[2], 0, INT32_MAX, &at_s, err);
	r = r ? r : csv_integer(csv, columns[3], 0, INT32_MAX, &lives_s, err);
	if (r < 0)
		return r;
	if (at_s < after_s)
		return err_set(err, -EINVAL, "%s:%llu: arrives before the machine above it: sort by 'at'", csv->path,
			       (unsigned long long)csv->line_number);
	*ret_machine = (struct sched_machine){ .cpu_m = (int32_t)cpu_m, .memory_mib = (int32_t)((memory_milli * 1024 + 999) / 1000),
					       .arrives_s = at_s, .lives_s = lives_s };
	return 0;
}
