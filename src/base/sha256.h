/*
 * sha256.h - SHA-256 (FIPS 180-4), streaming, by OpenSSL.
 *
 * Errors:  -errno from read(2), -ECANCELED; OpenSSL itself does not fail here.
 * Threads: one at a time per struct.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { SHA256_TEXT_SIZE = 65 };		/* 64 lower-case hex digits and a zero. */

struct sha256 { void *context; };

void sha256_init(struct sha256 *sha256);
void sha256_update(struct sha256 *sha256, const void *bytes, size_t size);
void sha256_finish(struct sha256 *sha256, char text[SHA256_TEXT_SIZE]);	/* At most once. */
void sha256_done(struct sha256 *sha256);	/* Needed with and without finish. */
#define auto_sha256 __attribute__((cleanup(sha256_done)))

/* From the file's beginning to its end; the position does not matter and does not change. */
int sha256_file(int fd, const bool *is_cancelled, char text[SHA256_TEXT_SIZE], struct err *err);

/* Whether 'text' is 64 hex digits. */
bool sha256_is_text(const char *text);

#endif
