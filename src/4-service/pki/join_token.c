#include "4-service/pki/join_token.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"

enum { VERSION = 1, CHECKSUM_BYTES = 4, DIGEST_BYTES = 32, ID_BYTES = 8, SECRET_BYTES = 16, TIME_BYTES = 8, ADDRESS_LENGTH_MAX = 255 };
enum { HEAD_BYTES = 1 + CHECKSUM_BYTES, FIXED_BYTES = HEAD_BYTES + DIGEST_BYTES + ID_BYTES + SECRET_BYTES + TIME_BYTES + 1 };

static void to_hex(const unsigned char *bytes, size_t count, char *text)
{
	for (size_t i = 0; i < count; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

static void from_hex(const char *text, size_t count, unsigned char *bytes)
{
	for (size_t i = 0; i < count; i++)
		sscanf(text + 2 * i, "%2hhx", &bytes[i]);
}

/* "host:port", "[::1]:port": printable, so that it can stand in a message. */
static int check_address(const char *address, struct err *err)
{
	const char *colon = strrchr(address, ':');
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
	long port = digits && digits <= 5 && !colon[1 + digits] ? strtol(colon + 1, NULL, 10) : 0;

	for (const char *c = address; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr(".-:[]", *c))
			port = 0;
	if (port < 1 || port > 65535 || colon == address || strlen(address) > ADDRESS_LENGTH_MAX)
		return err_set(err, -EINVAL, "address '%s' is not of the form HOST:PORT", shown(address));
	return 0;
}

int join_token_make(const char *const *addresses, size_t count, const char *ca_fingerprint, int64_t expires_at_s,
		    struct join_token *ret_token, struct err *err)
{
	unsigned char id[ID_BYTES], secret[SECRET_BYTES];
	struct join_token token = { .expires_at_s = expires_at_s };
	int r;

	if (count < 1 || count > JOIN_TOKEN_ADDRESSES_MAX)
		return err_set(err, -EINVAL, "a join token has between 1 and %d addresses, not %zu", JOIN_TOKEN_ADDRESSES_MAX, count);
	if (!sha256_is_text(ca_fingerprint))
		return err_set(err, -EINVAL, "'%s' is not the SHA-256 of a certificate", shown(ca_fingerprint));
	for (size_t i = 0; i < count; i++)
		if ((r = check_address(addresses[i], err)) < 0)
			return r;
	if (RAND_bytes(id, sizeof(id)) != 1 || RAND_bytes(secret, sizeof(secret)) != 1)
		return err_set(err, -EIO, "OpenSSL cannot draw a secret");
	to_hex(id, sizeof(id), token.id);
	to_hex(secret, sizeof(secret), token.secret);
	OPENSSL_cleanse(secret, sizeof(secret));
	strcpy(token.ca_fingerprint, ca_fingerprint);
	for (; token.address_count < count; token.address_count++)
		token.addresses[token.address_count] = text_copy(addresses[token.address_count]);
	*ret_token = token;
	return 0;
}

/* Base64 with the other two characters, without padding. */
static void encode(const unsigned char *bytes, size_t size, struct str *out)
{
	size_t begin = out->size;

	base64_encode(bytes, size, out);
	while (out->size > begin && out->data[out->size - 1] == '=')
		out->data[--out->size] = '\0';
	for (char *c = out->data + begin; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
}

static int decode(const char *text, size_t length, struct str *out)
{
	auto_str struct str plain = { 0 };
	struct err ignored;

	str_append_bytes(&plain, text, length);
	for (char *c = plain.data; *c; c++)
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c == '+' || *c == '/' || *c == '=' ? '?' : *c;
	while (plain.size % 4)
		str_append_char(&plain, '=');
	return base64_decode(plain.data, out, &ignored);
}

static void get_checksum(const unsigned char *bytes, size_t size, unsigned char checksum[CHECKSUM_BYTES])
{
	auto_sha256 struct sha256 sha256 = { 0 };
	char text[SHA256_TEXT_SIZE];

	sha256_init(&sha256);
	sha256_update(&sha256, bytes, 1);
	sha256_update(&sha256, bytes + HEAD_BYTES, size - HEAD_BYTES);
	sha256_finish(&sha256, text);
	from_hex(text, CHECKSUM_BYTES, checksum);
}

void join_token_write(const struct join_token *token, struct str *out)
{
	unsigned char bytes[FIXED_BYTES + JOIN_TOKEN_ADDRESSES_MAX * (1 + ADDRESS_LENGTH_MAX)] = { VERSION };
	unsigned char *at = bytes + HEAD_BYTES;

	from_hex(token->ca_fingerprint, DIGEST_BYTES, at);
	at += DIGEST_BYTES;
	from_hex(token->id, ID_BYTES, at);
	at += ID_BYTES;
	from_hex(token->secret, SECRET_BYTES, at);
	at += SECRET_BYTES;
	for (int i = TIME_BYTES; i--; )
		*at++ = (unsigned char)((uint64_t)token->expires_at_s >> 8 * i);
	*at++ = (unsigned char)token->address_count;
	for (size_t i = 0; i < token->address_count; i++) {
		size_t length = strlen(token->addresses[i]);

		*at++ = (unsigned char)length;
		memcpy(at, token->addresses[i], length);
		at += length;
	}
	get_checksum(bytes, (size_t)(at - bytes), bytes + 1);
	encode(bytes, (size_t)(at - bytes), out);
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

static int damaged(struct err *err)
{
	return err_set(err, -EINVAL, "the join token is damaged: copy it whole");
}

/* Lengths are checked although the checksum is right: anybody can make one. */
static int read_addresses(const unsigned char *at, const unsigned char *end, struct join_token *token, struct err *err)
{
	size_t count = *at++;

	if (count < 1 || count > JOIN_TOKEN_ADDRESSES_MAX)
		return damaged(err);
	while (token->address_count < count) {
		size_t length = at < end ? *at++ : 0;
		char *address;

		if (!length || length > (size_t)(end - at) || memchr(at, '\0', length))
			return damaged(err);
		address = token->addresses[token->address_count++] = text_copy_length((const char *)at, length);
		if (check_address(address, err) < 0)
			return err_prefix(err, "join token");
		at += length;
	}
	return at == end ? 0 : damaged(err);
}

static int read_bytes(const unsigned char *bytes, size_t size, struct join_token *token, struct err *err)
{
	const unsigned char *at = bytes + HEAD_BYTES;
	unsigned char checksum[CHECKSUM_BYTES];
	uint64_t seconds = 0;

	if (size <= HEAD_BYTES)
		return damaged(err);
	get_checksum(bytes, size, checksum);
	if (memcmp(checksum, bytes + 1, CHECKSUM_BYTES) != 0)
		return damaged(err);
	if (bytes[0] != VERSION)
		return err_set(err, -EINVAL, "the join token is of another version of Strata (%d): update this host", bytes[0]);
	if (size <= FIXED_BYTES)
		return damaged(err);
	to_hex(at, DIGEST_BYTES, token->ca_fingerprint);
	at += DIGEST_BYTES;
	to_hex(at, ID_BYTES, token->id);
	at += ID_BYTES;
	to_hex(at, SECRET_BYTES, token->secret);
	at += SECRET_BYTES;
	for (int i = 0; i < TIME_BYTES; i++)
		seconds = seconds << 8 | *at++;
	if (seconds > INT64_MAX)
		return damaged(err);
	token->expires_at_s = (int64_t)seconds;
	return read_addresses(at, bytes + size, token, err);
}

int join_token_parse(const char *text, struct join_token *ret_token, struct err *err)
{
	struct join_token token = { 0 };
	struct str bytes = { 0 };
	size_t length;
	int r;

	text += strspn(text, " \t\r\n");
	length = strcspn(text, " \t\r\n");
	if (!length || text[length + strspn(text + length, " \t\r\n")])
		return err_set(err, -EINVAL, "the join token is not one word: copy it whole");
	if (length > JOIN_TOKEN_LENGTH_MAX || decode(text, length, &bytes) < 0) {
		str_done(&bytes);
		return damaged(err);
	}
	r = read_bytes((const unsigned char *)str_text(&bytes), bytes.size, &token, err);
	if (bytes.data)
		OPENSSL_cleanse(bytes.data, bytes.capacity);
	str_done(&bytes);
	if (r < 0)
		join_token_done(&token);
	else
		*ret_token = token;
	return r;
}

void join_token_done(struct join_token *token)
{
	for (size_t i = 0; i < token->address_count; i++)
		free(token->addresses[i]);
	OPENSSL_cleanse(token, sizeof(*token));
}

void join_token_hash(const char *secret, char text[SHA256_TEXT_SIZE])
{
	auto_sha256 struct sha256 sha256 = { 0 };

	sha256_init(&sha256);
	sha256_update(&sha256, secret, strlen(secret));
	sha256_finish(&sha256, text);
}

bool join_token_fits(const char *secret, const char *hash)
{
	char text[SHA256_TEXT_SIZE];

	join_token_hash(secret, text);
	return sha256_is_text(hash) && CRYPTO_memcmp(text, hash, SHA256_TEXT_SIZE - 1) == 0;
}
