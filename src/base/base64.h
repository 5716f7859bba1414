/*
 * base64.h - RFC 4648 section 4, strictly: padding is required, line breaks are refused.
 *
 * Threads: any.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/err.h"
#include "base/str.h"

void base64_encode(const void *bytes, size_t size, struct str *out);		/* Appends. */
int base64_decode(const char *text, struct str *out, struct err *err);	/* Appends; -EPROTO. */

#endif
