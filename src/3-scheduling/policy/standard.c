#include "3-scheduling/policy.h"

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	policy_fragmentation.rate(cluster, typical, request, node, ret_choice);
}

const struct policy policy_default = { .name = "default", .summary = "x", .is_using_mix = true, .rate = rate };
