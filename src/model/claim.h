/*
 * claim.h - what a resource holds alone: its name, addresses, ports, numbers.
 *
 * A claim is a key in the store whose value is the holder's uid.  It is written in the
 * same transaction as the holder, guarded to be absent before, and deleted with it; so two
 * creates can never take the same name or address, whatever host they come from.
 * The claims of an object follow from the object alone.
 */
#ifndef MODEL_CLAIM_H
#define MODEL_CLAIM_H

#include "base/vec.h"
#include "model/kind.h"

struct claim {
	char *key;		/* "claim/name/instance/default/web" */
	char *what;		/* For the message when it is taken: "name 'web'" */
};

struct claims { VEC(struct claim) items; };

void claims_of(const struct kind *kind, const void *object, struct claims *ret_claims);
void claims_done(struct claims *claims);
bool claims_have(const struct claims *claims, const char *key);

#endif
