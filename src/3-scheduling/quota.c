#include "3-scheduling/quota.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

int quotas_add(struct quotas *quotas, const char *name, uint32_t *ret_project, struct err *err)
{
	if (!name[0] || strlen(name) >= CLUSTER_NAME_SIZE)
		return err_set(err, -EINVAL, "project '%s': the name should have 1 to %d bytes", shown(name), CLUSTER_NAME_SIZE - 1);
	if (quotas->count == PROJECTS_MAX)
		return err_set(err, -ENOSPC, "project '%s' is one more than %d", shown(name), PROJECTS_MAX);
	if (quotas->count == quotas->capacity) {
		quotas->capacity = quotas->capacity ? 2 * quotas->capacity : 16;
		quotas->projects = alloc_array(quotas->projects, quotas->capacity, sizeof(*quotas->projects));
	}
	struct quota *quota = alloc(sizeof(*quota));

	memcpy(quota->name, name, strlen(name) + 1);
	for (int d = 0; d < DIMENSIONS_MAX; d++)
		quota->limit[d] = QUOTA_NONE;
	quota->gpu_milli_limit = quota->instances_limit = QUOTA_NONE;
	quotas->projects[quotas->count] = quota;
	*ret_project = quotas->count++;
	return 0;
}

/* "project 'web': wants 2GiB more of memory, uses 7GiB of 8GiB: ..." */
static int refuse(const struct quota *quota, const char *what, const char *wanted, const char *used, const char *limit, struct err *err)
{
	return err_set(err, -EDQUOT, "project '%s': needs %s of %s, uses %s of the %s it may have: remove some, or raise its quota", quota->name,
		       wanted, what, used, limit);
}

static int refuse_number(const struct quota *quota, const char *what, double wanted, double used, double limit, struct err *err)
{
	char texts[3][UNITS_TEXT_SIZE];

	snprintf(texts[0], UNITS_TEXT_SIZE, "%.10g", wanted);
	snprintf(texts[1], UNITS_TEXT_SIZE, "%.10g", used);
	snprintf(texts[2], UNITS_TEXT_SIZE, "%.10g", limit);
	return refuse(quota, what, texts[0], texts[1], texts[2], err);
}

int quotas_check(const struct quotas *quotas, uint32_t project, const struct request *asked, struct err *err)
{
	char wanted[UNITS_TEXT_SIZE], used[UNITS_TEXT_SIZE], limit[UNITS_TEXT_SIZE];

	if (project >= quotas->count)
		return err_set(err, -EINVAL, "project %u does not exist", project);
	const struct quota *quota = quotas->projects[project];

	for (uint32_t d = 0; d < quotas->cluster->dimension_count; d++)
		if (asked->need[d] > quota->limit[d] - quota->used[d])
			return refuse(quota, quotas->cluster->dimensions[d].name, cluster_amount(quotas->cluster, d, asked->need[d], wanted),
				      cluster_amount(quotas->cluster, d, quota->used[d], used),
				      cluster_amount(quotas->cluster, d, quota->limit[d], limit), err);
	if (request_gpu_milli(asked) > quota->gpu_milli_limit - quota->gpu_milli_used)
		return refuse_number(quota, "GPUs", request_gpu_milli(asked) / 1000.0, (double)quota->gpu_milli_used / 1000,
				     (double)quota->gpu_milli_limit / 1000, err);
	if (1 > quota->instances_limit - quota->instances_used)
		return refuse_number(quota, "instances", 1, (double)quota->instances_used, (double)quota->instances_limit, err);
	return 0;
}

void quotas_count(struct quotas *quotas, uint32_t project, const struct request *asked, int sign)
{
	struct quota *quota = quotas->projects[project];

	for (uint32_t d = 0; d < quotas->cluster->dimension_count; d++)
		quota->used[d] += (int64_t)sign * asked->need[d];
	quota->gpu_milli_used += (int64_t)sign * request_gpu_milli(asked);
	quota->instances_used += sign;
}

void quotas_done(struct quotas *quotas)
{
	for (uint32_t i = 0; i < quotas->count; i++)
		free(quotas->projects[i]);
	free(quotas->projects);
	*quotas = (struct quotas){ 0 };
}
