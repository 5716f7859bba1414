/*
 * yaml.h - YAML manifests become JSON values (YAML 1.1 core schema, libyaml).
 *
 * Several documents ("---") in one file become several values. Scalars without quotes
 * are null, booleans (true/false only), integers or floats where they look so,
 * else strings. Refused with line and column: duplicate keys, keys that are not
 * scalars, anchors and aliases (the billion laughs), tags, nesting beyond
 * LIMIT_YAML_DEPTH, files beyond LIMIT_MANIFEST_BYTES, text that is not UTF-8.
 *
 * Threads: any.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/err.h"
#include "base/json.h"
#include "base/vec.h"

struct yaml_documents {
	VEC(struct json *) values;	/* Owned. */
};

int yaml_parse(const char *text, size_t size, struct yaml_documents *ret_documents, struct err *err);
void yaml_documents_done(struct yaml_documents *documents);

/* The other way: block style, strings quoted where they would be read otherwise. */
void yaml_write(const struct json *value, struct str *out);

#endif
