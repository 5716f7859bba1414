#include "3-scheduling/overcommit.h"

#include <errno.h>

int overcommit_set(struct overcommit *overcommit, uint32_t class, uint32_t dimension, int32_t permille, struct err *err)
{
	if (class >= CLASSES_MAX || dimension >= DIMENSIONS_MAX)
		return err_set(err, -EINVAL, "class %u, dimension %u: use less than %d and %d", class, dimension, CLASSES_MAX, DIMENSIONS_MAX);
	if (permille < 1000 || permille > OVERCOMMIT_MOST)
		return err_set(err, -EINVAL, "class %u: a ratio of %g: use 1 to %d", class, permille / 1000.0, OVERCOMMIT_MOST / 1000);
	overcommit->permille[class][dimension] = permille;
	return 0;
}

struct request overcommit_charge(const struct overcommit *overcommit, uint32_t class, const struct request *asked)
{
	struct request charged = *asked;

	for (int d = 0; d < DIMENSIONS_MAX; d++) {
		int64_t permille = overcommit->permille[class][d] ? overcommit->permille[class][d] : 1000;

		charged.need[d] = (int32_t)(((int64_t)asked->need[d] * 1000 + permille - 1) / permille);
	}
	return charged;
}
