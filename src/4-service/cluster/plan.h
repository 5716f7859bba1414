/*
 * plan.h - which hosts run a member of etcd: one of one or two hosts, three of three and more.
 *
 * Never two: with two the loss of either stops all, which is worse than one. Who is a member stays one while its host is there.
 *
 * Memory: the plan's uids are its own.
 * Threads: any.
 */
#ifndef SERVICE_CLUSTER_PLAN_H
#define SERVICE_CLUSTER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

struct plan { VEC(char *) uids; };
struct plan_host { const char *uid; int64_t created_at; bool is_up; };

void plan_make(const struct plan_host *hosts, size_t count, const struct plan *present, struct plan *ret_plan);
bool plan_has(const struct plan *plan, const char *uid);
bool plan_equal(const struct plan *a, const struct plan *b);	/* In any order. */
void plan_add(struct plan *plan, const char *uid);
void plan_done(struct plan *plan);

#endif
