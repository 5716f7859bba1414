/*
 * placing.h - what people say of where an instance may run, in the words of the scheduling floor.
 *
 * An instance belongs to the groups of its labels ("app=web", the first DEMAND_GROUPS_MAX of them), so that others may ask to run
 * beside it, or apart from it.
 *
 * Errors: -EINVAL, -ENOSPC (too many different labels), naming the field. Threads: the loop's.
 */
#ifndef SERVICE_PLACING_H
#define SERVICE_PLACING_H

#include "3-scheduling/demand.h"
#include "model/instance.h"

/* Fills in groups and constraints; appends to 'key' what is the same for equal ones only. */
int placing_fill(struct places *places, const struct instance *instance, struct demand *demand, struct str *key, struct err *err);
/* Instances are spread over those nodes that take new ones; of the first DOMAINS_MAX nodes. */
int placing_set_domain(struct places *places, uint32_t node, bool takes_new, struct err *err);
/* The node has exactly these labels. */
int placing_label_node(struct places *places, uint32_t node, const struct field_list *labels, struct err *err);

#endif
