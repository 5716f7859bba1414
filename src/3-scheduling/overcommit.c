#include "3-scheduling/overcommit.h"

#include <errno.h>
#include <math.h>

int overcommit_set(struct overcommit *overcommit, uint32_t class, uint32_t dimension, int32_t permille, struct err *err)
{
	if (class >= CLASSES_MAX || dimension >= DIMENSIONS_MAX)
		return err_set(err, -EINVAL, "class %u, dimension %u: use less than %d and %d", class, dimension, CLASSES_MAX, DIMENSIONS_MAX);
	if (permille < 1000 || permille > OVERCOMMIT_MOST)
		return err_set(err, -EINVAL, "class %u: a ratio of %g: use 1 to %d", class, permille / 1000.0, OVERCOMMIT_MOST / 1000);
	overcommit->permille[class][dimension] = permille;
	return 0;
}

int overcommit_set_margin(struct overcommit *overcommit, uint32_t class, int32_t permille, struct err *err)
{
	if (class >= CLASSES_MAX || permille < 1000 || permille > OVERCOMMIT_MOST)
		return err_set(err, -EINVAL, "class %u: a margin of %g: use classes less than %d and 1 to %d", class, permille / 1000.0, CLASSES_MAX,
			       OVERCOMMIT_MOST / 1000);
	overcommit->margin_permille[class] = permille;
	return 0;
}

/* Between what was charged and what was asked for. */
static int32_t charge_use(int32_t asked, int32_t charged, uint32_t use_milli, int32_t margin_permille)
{
	double use = (double)asked * use_milli / 1000 * margin_permille / 1000;

	return use <= charged ? charged : use >= asked ? asked : (int32_t)ceil(use);
}

struct request overcommit_charge(const struct overcommit *overcommit, uint32_t class, const struct request *asked, const struct forecast *forecast)
{
	struct request charged = *asked;
	uint32_t cpu = overcommit->cpu, memory = overcommit->memory;
	int32_t margin = overcommit->margin_permille[class];

	for (int d = 0; d < DIMENSIONS_MAX; d++) {
		int64_t permille = overcommit->permille[class][d] ? overcommit->permille[class][d] : 1000;

		charged.need[d] = (int32_t)(((int64_t)asked->need[d] * 1000 + permille - 1) / permille);
	}
	if (margin && forecast && forecast->is_usage_known) {
		charged.need[cpu] = charge_use(asked->need[cpu], charged.need[cpu], forecast->cpu_p95_milli, margin);
		charged.need[memory] = charge_use(asked->need[memory], charged.need[memory], forecast->memory_p95_milli, margin);
	}
	return charged;
}
