#include "3-scheduling/fit.h"

uint32_t fit_devices(const struct cluster_gpus *gpus, uint32_t gpu_count, int32_t milli)
{
	uint32_t devices = 0;

	for (uint32_t i = 0; i < gpu_count; i++)
		devices |= (uint32_t)(gpus->free_milli[i] >= milli) << i;
	return devices;
}

static bool is_model_accepted(const struct request *request, const struct cluster_shape *shape)
{
	return !request->gpu_models || (request->gpu_models >> shape->gpu_model & 1);
}

bool fit_node(const struct cluster *cluster, const struct request *request, uint32_t node)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);

	if (!shape->is_present || shape->is_cordoned)
		return false;
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (request->need[d] > cluster_free_amount(cluster, d, node))
			return false;
	if (!request->gpu_count)
		return true;
	return is_model_accepted(request, shape) &&
	       __builtin_popcount(fit_devices(cluster_gpus(cluster, node), shape->gpu_count, request->gpu_milli)) >= request->gpu_count;
}

static void explain_gpus(const struct cluster *cluster, const struct request *request, uint32_t node, struct str *text)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);
	const struct cluster_gpus *gpus = cluster_gpus(cluster, node);
	int32_t largest = 0;

	if (!is_model_accepted(request, shape)) {
		str_printf(text, "%sits GPUs are %s, which the request does not accept", text->size ? "; " : "",
			   shape->gpu_count ? cluster->models[shape->gpu_model] : "none");
		return;
	}
	int able = __builtin_popcount(fit_devices(gpus, shape->gpu_count, request->gpu_milli));

	if (able >= request->gpu_count)
		return;
	for (uint32_t i = 0; i < shape->gpu_count; i++)
		largest = gpus->free_milli[i] > largest ? gpus->free_milli[i] : largest;
	str_append(text, text->size ? "; " : "");
	if (request_is_share(request))
		str_printf(text, "needs %g of a GPU, the most free of its %u has %g", request->gpu_milli / 1000.0, shape->gpu_count, largest / 1000.0);
	else
		str_printf(text, "needs %d whole GPU%s, %d of its %u %s free", request->gpu_count, request->gpu_count == 1 ? "" : "s", able,
			   shape->gpu_count, able == 1 ? "is" : "are");
}

void fit_explain_amount(const struct cluster *cluster, uint32_t d, int32_t need, int32_t asked, uint32_t node, struct str *text)
{
	char wanted[UNITS_TEXT_SIZE], had[UNITS_TEXT_SIZE], other[UNITS_TEXT_SIZE];
	int32_t reserved = cluster_reserved(cluster, d, node);

	str_printf(text, "needs %s of %s", cluster_amount(cluster, d, need, wanted), cluster->dimensions[d].name);
	if (asked != need)
		str_printf(text, " (for %s, overcommitted)", cluster_amount(cluster, d, asked, wanted));
	str_printf(text, ", has %s free %s %s%s",
		   cluster_amount(cluster, d, cluster_free_amount(cluster, d, node), had), reserved ? "after" : "of",
		   cluster_amount(cluster, d, reserved ? reserved : cluster_total(cluster, d, node), other), reserved ? " reserved" : "");
}

void fit_explain(const struct cluster *cluster, const struct request *request, const struct request *asked, uint32_t node, struct str *text)
{
	struct str why = { 0 };

	if (!cluster_shape(cluster, node)->is_present) {
		str_append(text, "does not exist any more");
		return;
	}
	if (cluster_shape(cluster, node)->is_cordoned)
		str_append(&why, "is cordoned");
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		if (request->need[d] <= cluster_free_amount(cluster, d, node))
			continue;
		str_append(&why, why.size ? "; " : "");
		fit_explain_amount(cluster, d, request->need[d], asked->need[d], node, &why);
	}
	if (request->gpu_count)
		explain_gpus(cluster, request, node, &why);
	str_append(text, str_text(&why));
	str_done(&why);
}
