#include "base/sha256.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 256 << 10, DIGEST_BYTES = 32 };

/* What can fail below is memory, or OpenSSL without its default provider. */
static void must(int success)
{
	if (success != 1)
		abort();
}

void sha256_init(struct sha256 *sha256)
{
	sha256->context = EVP_MD_CTX_new();
	must(sha256->context != NULL);
	must(EVP_DigestInit_ex(sha256->context, EVP_sha256(), NULL));
}

void sha256_update(struct sha256 *sha256, const void *bytes, size_t size)
{
	must(EVP_DigestUpdate(sha256->context, bytes, size));
}

void sha256_finish(struct sha256 *sha256, char text[SHA256_TEXT_SIZE])
{
	unsigned char digest[DIGEST_BYTES];

	must(EVP_DigestFinal_ex(sha256->context, digest, NULL));
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

void sha256_done(struct sha256 *sha256)
{
	EVP_MD_CTX_free(sha256->context);
	sha256->context = NULL;
}

int sha256_file(int fd, const bool *is_cancelled, char text[SHA256_TEXT_SIZE], struct err *err)
{
	auto_sha256 struct sha256 sha256 = { 0 };
	auto_free char *chunk = alloc(CHUNK_BYTES);
	off_t offset = 0;
	ssize_t n;

	sha256_init(&sha256);
	/* Advice only. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while ((n = pread(fd, chunk, CHUNK_BYTES, offset)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read at byte %lld: %m", (long long)offset);
		if (is_cancelled && __atomic_load_n(is_cancelled, __ATOMIC_RELAXED))
			return err_set(err, -ECANCELED, "checksum was cancelled");
		sha256_update(&sha256, chunk, (size_t)n);
		offset += n;
	}
	sha256_finish(&sha256, text);
	return 0;
}

bool sha256_is_text(const char *text)
{
	size_t length = 0;

	while (length < 2 * DIGEST_BYTES && isxdigit((unsigned char)text[length]))
		length++;
	return length == 2 * DIGEST_BYTES && text[length] == '\0';
}
