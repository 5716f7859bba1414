/*
 * join_token.h - what a host is given to join a cluster: whom to ask, how to know them, and a secret for once.
 *
 * One line of base64url (RFC 4648 section 5, no padding) of: version (1), checksum (the first 4 bytes of the SHA-256 of all
 * else), SHA-256 of the CA's certificate (32), id (8), secret (16), end in seconds since 1970 (8, big-endian), number of
 * addresses (1), and each with its length (1).  The checksum tells a typo from a token that is wrong.
 *
 * A cluster stores the hash of the secret only.
 *
 * Errors:  -EINVAL: the text is no token, is damaged, or of another version.
 * Memory:  the token owns its addresses; its secret is wiped by join_token_done().
 * Threads: any.
 */
#ifndef PKI_JOIN_TOKEN_H
#define PKI_JOIN_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha256.h"
#include "base/str.h"

enum {
	JOIN_TOKEN_ADDRESSES_MAX = 8,
	JOIN_TOKEN_ID_SIZE = 17,	/* 16 lower-case hex digits and a zero. */
	JOIN_TOKEN_SECRET_SIZE = 33,	/* 32 of them. */
	JOIN_TOKEN_LENGTH_MAX = 2048,	/* Of its text. */
};

struct join_token {
	char *addresses[JOIN_TOKEN_ADDRESSES_MAX];	/* "host:port", at least one. */
	size_t address_count;
	char ca_fingerprint[SHA256_TEXT_SIZE];
	char id[JOIN_TOKEN_ID_SIZE];
	char secret[JOIN_TOKEN_SECRET_SIZE];
	int64_t expires_at_s;		/* Since 1970. */
};

/* Draws id and secret. -EINVAL: no address, too many, one that is no "host:port"; a bad fingerprint. */
int join_token_make(const char *const *addresses, size_t count, const char *ca_fingerprint, int64_t expires_at_s,
		    struct join_token *ret_token, struct err *err);
void join_token_write(const struct join_token *token, struct str *out);
/* Blanks around the text do not matter. Whether it has ended is the caller's question. */
int join_token_parse(const char *text, struct join_token *ret_token, struct err *err);
void join_token_done(struct join_token *token);

void join_token_hash(const char *secret, char text[SHA256_TEXT_SIZE]);	/* What a cluster stores. */
bool join_token_fits(const char *secret, const char *hash);		/* In constant time. */

#endif
