#include "base/fault.h"

#include <errno.h>

int fault_step(struct fault *fault, const char *what, struct err *err)
{
	if (!fault)
		return 0;
	if (fault->has_crashed)
		return err_set(err, -ESHUTDOWN, "%s: the simulated host is down", what);
	fault->step++;
	if (fault->crash_at && fault->step >= fault->crash_at) {
		fault->has_crashed = true;
		return err_set(err, -ESHUTDOWN, "%s: the simulated host went down", what);
	}
	if (fault->fail_permille && rng_below(&fault->rng, 1000) < fault->fail_permille)
		return err_set(err, -EIO, "%s: simulated failure", what);
	return 0;
}
