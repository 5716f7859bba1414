/*
 * fit.h - does a request fit a node, and if not, why not?
 *
 * Pure; the same rules that cluster_bind() checks, without the choice of devices.
 */
#ifndef SCHEDULING_FIT_H
#define SCHEDULING_FIT_H

#include "3-scheduling/cluster.h"
#include "base/str.h"

bool fit_node(const struct cluster *cluster, const struct request *request, uint32_t node);
/*
 * Appends "needs 8GiB of memory, has 5325MiB free after 1GiB reserved", or nothing when it fits. Where less is charged than
 * was 'asked' for, it says so; 'asked' may be the request itself.
 */
void fit_explain(const struct cluster *cluster, const struct request *request, const struct request *asked, uint32_t node, struct str *text);
/* The same of one dimension. */
void fit_explain_amount(const struct cluster *cluster, uint32_t dimension, int32_t need, int32_t asked, uint32_t node, struct str *text);

/* GPUs with at least that much free, as bits. */
uint32_t fit_devices(const struct cluster_gpus *gpus, uint32_t gpu_count, int32_t milli);

#endif
