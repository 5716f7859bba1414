#include "4-service/pki/join_token.h"

#include <errno.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"

static const char fingerprint[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char *const addresses[] = { "192.0.2.1:8443", "[2001:db8::1]:8443", "a.example:443" };

static void make(struct join_token *ret_token)
{
	struct err err;

	if (join_token_make(addresses, ARRAY_COUNT(addresses), fingerprint, 1800000000, ret_token, &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_text_and_back(void **state)
{
	struct join_token token, again;
	auto_str struct str text = { 0 }, blanks = { 0 };
	struct err err;

	(void)state;
	make(&token);
	join_token_write(&token, &text);
	assert_int_equal(strspn(text.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), text.size);
	str_printf(&blanks, "  %s\n", text.data);
	assert_int_equal(join_token_parse(blanks.data, &again, &err), 0);
	assert_string_equal(again.id, token.id);
	assert_string_equal(again.secret, token.secret);
	assert_string_equal(again.ca_fingerprint, fingerprint);
	assert_int_equal(again.expires_at_s, 1800000000);
	assert_int_equal(again.address_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(again.addresses[i], addresses[i]);
	join_token_done(&token);
	join_token_done(&again);
}

/* Each character changed, lost, doubled, swapped with the next: it is told from a wrong token. */
static void test_typos(void **state)
{
	struct join_token token, again;
	auto_str struct str text = { 0 };
	struct err err;

	(void)state;
	make(&token);
	join_token_write(&token, &text);
	for (size_t i = 0; i < text.size; i++) {
		auto_free char *changed = text_copy(text.data), *lost = text_copy(text.data), *swapped = text_copy(text.data);
		auto_free char *doubled = text_format("%.*s%c%s", (int)i, text.data, text.data[i], text.data + i);

		changed[i] = changed[i] == 'A' ? 'B' : 'A';
		memmove(lost + i, lost + i + 1, text.size - i);
		if (i + 1 < text.size) {
			swapped[i] = text.data[i + 1];
			swapped[i + 1] = text.data[i];
		}
		for (int j = 0; j < 4; j++) {
			const char *bad = (const char *[]){ changed, lost, doubled, swapped }[j];

			/* The last character may have bits that mean nothing. */
			if (strcmp(bad, text.data) == 0 || join_token_parse(bad, &again, &err) == 0) {
				assert_true(strcmp(bad, text.data) == 0 || i + 1 == text.size);
				continue;
			}
			assert_non_null(strstr(err.msg, "is damaged: copy it whole"));
		}
	}
	for (size_t i = 1; i < text.size; i++) {
		auto_free char *part = text_copy_length(text.data, i);

		assert_int_equal(join_token_parse(part, &again, &err), -EINVAL);
	}
	join_token_done(&token);
}

/* With a right checksum, made by somebody who means harm. */
static int parse_made_up(unsigned char *bytes, size_t size, struct err *err)
{
	unsigned char summed[256], digest[SHA256_DIGEST_LENGTH];
	auto_str struct str text = { 0 };
	struct join_token token;
	int r;

	summed[0] = bytes[0];
	memcpy(summed + 1, bytes + 5, size - 5);
	SHA256(summed, size - 4, digest);
	memcpy(bytes + 1, digest, 4);
	base64_encode(bytes, size, &text);
	text.data[strcspn(text.data, "=")] = '\0';
	for (char *c = text.data; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	r = join_token_parse(text.data, &token, err);
	if (r == 0)
		join_token_done(&token);
	return r;
}

static void test_made_up(void **state)
{
	unsigned char bytes[128] = { 1 };
	const size_t count_at = 5 + 32 + 8 + 16 + 8;
	struct err err;

	(void)state;
	bytes[count_at] = 1;
	bytes[count_at + 1] = 3;
	memcpy(bytes + count_at + 2, "a:1", 3);
	assert_int_equal(parse_made_up(bytes, count_at + 5, &err), 0);
	assert_int_equal(parse_made_up(bytes, count_at + 4, &err), -EINVAL);
	assert_int_equal(parse_made_up(bytes, count_at + 6, &err), -EINVAL);
	assert_int_equal(parse_made_up(bytes, count_at + 1, &err), -EINVAL);
	memcpy(bytes + count_at + 2, "a\n1", 3);
	assert_int_equal(parse_made_up(bytes, count_at + 5, &err), -EINVAL);
	memcpy(bytes + count_at + 2, "a:0", 3);
	assert_int_equal(parse_made_up(bytes, count_at + 5, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "HOST:PORT"));
	bytes[count_at] = 0;
	assert_int_equal(parse_made_up(bytes, count_at + 1, &err), -EINVAL);
	bytes[count_at] = 200;
	assert_int_equal(parse_made_up(bytes, sizeof(bytes), &err), -EINVAL);
	bytes[0] = 2;
	assert_int_equal(parse_made_up(bytes, sizeof(bytes), &err), -EINVAL);
	assert_non_null(strstr(err.msg, "update this host"));
}

static void test_what_cannot_be_made(void **state)
{
	struct join_token token;
	struct err err;

	(void)state;
	assert_int_equal(join_token_make(addresses, 0, fingerprint, 0, &token, &err), -EINVAL);
	assert_int_equal(join_token_make(addresses, JOIN_TOKEN_ADDRESSES_MAX + 1, fingerprint, 0, &token, &err), -EINVAL);
	assert_int_equal(join_token_make(addresses, 1, "abc", 0, &token, &err), -EINVAL);
	assert_int_equal(join_token_make((const char *[]){ "nowhere" }, 1, fingerprint, 0, &token, &err), -EINVAL);
	assert_int_equal(join_token_make((const char *[]){ "a:70000" }, 1, fingerprint, 0, &token, &err), -EINVAL);
	assert_int_equal(join_token_make((const char *[]){ ":80" }, 1, fingerprint, 0, &token, &err), -EINVAL);
}

static void test_secret(void **state)
{
	struct join_token token, other;
	char hash[SHA256_TEXT_SIZE];

	(void)state;
	make(&token);
	make(&other);
	assert_string_not_equal(token.secret, other.secret);
	assert_string_not_equal(token.id, other.id);
	join_token_hash(token.secret, hash);
	assert_true(join_token_fits(token.secret, hash));
	assert_false(join_token_fits(other.secret, hash));
	assert_false(join_token_fits("", hash));
	assert_false(join_token_fits(token.secret, ""));
	join_token_done(&token);
	join_token_done(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_and_back), cmocka_unit_test(test_typos), cmocka_unit_test(test_made_up),
		cmocka_unit_test(test_what_cannot_be_made), cmocka_unit_test(test_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
