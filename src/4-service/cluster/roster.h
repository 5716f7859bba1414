/*
 * roster.h - which hosts run a member of etcd: one of one or two hosts, three of three and more.
 *
 * Never two: with two the loss of either stops all, which is worse than one. Who is a member stays one while its host is there.
 *
 * Memory: the roster's uids are its own.
 * Threads: any.
 */
#ifndef SERVICE_CLUSTER_ROSTER_H
#define SERVICE_CLUSTER_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

struct roster { VEC(char *) uids; };
struct roster_host { const char *uid; int64_t created_at; bool is_up; };

void roster_make(const struct roster_host *hosts, size_t count, const struct roster *present, struct roster *ret_roster);
bool roster_has(const struct roster *roster, const char *uid);
bool roster_equal(const struct roster *a, const struct roster *b);	/* In any order. */
void roster_add(struct roster *roster, const char *uid);
void roster_done(struct roster *roster);

#endif
