#include "3-scheduling/policy.h"

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	(void)typical;
	ret_choice->cost = 0;
	ret_choice->devices = policy_tightest_devices(cluster, request, node);
}

const struct policy policy_first_fit = {
	.name = "first-fit",
	.summary = "the first node that fits",
	.rate = rate,
};
