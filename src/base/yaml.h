/*
 * yaml.h - YAML manifests become JSON values (libyaml; scalars by the JSON schema of YAML 1.2).
 *
 * Several documents ("---") in one file become several values; empty ones are left
 * out. Scalars without quotes are null (null, ~, nothing), booleans (true and false only),
 * numbers where JSON has them so, else strings: "no", 0x10, 010 and 10:30 are text here,
 * for versions of YAML disagree about them. Refused with line and column: duplicate keys,
 * keys that are not scalars, anchors and aliases (the billion laughs), tags, nesting beyond
 * LIMIT_YAML_DEPTH, numbers that fit no type, text that is not UTF-8.
 *
 * Errors:  -EINVAL: "line 4, column 3: key 'cpus' appears twice: remove one";
 *          -EFBIG beyond LIMIT_MANIFEST_BYTES.
 * Memory:  documents are freed with yaml_documents_done(); nothing to free after a failure.
 * Threads: any.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"

struct yaml_documents {
	VEC(struct json *) values;	/* Owned. */
};

int yaml_parse(const char *text, size_t size, struct yaml_documents *ret_documents, struct err *err);
void yaml_documents_done(struct yaml_documents *documents);
#define auto_yaml __attribute__((cleanup(yaml_documents_done)))

/* The other way: one document in block style, strings quoted where any YAML would read them otherwise. */
void yaml_write(const struct json *value, struct str *out);

#endif
