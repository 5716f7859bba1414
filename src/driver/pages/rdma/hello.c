#include "driver/pages/rdma/hello.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/random.h>

/* What a MAC is of. The first byte tells question from answer, so that neither can pass for the other. */
struct signed_question { uint8_t kind; uint8_t bytes[offsetof(struct hello_question, mac)]; uint8_t to[PAGE_UID_BYTES]; };
struct signed_answer { uint8_t kind; uint8_t question[sizeof(struct hello_question)]; uint8_t bytes[offsetof(struct hello_answer, mac)]; };

static void sign_question(const uint8_t key[PAGES_KEY_BYTES], const struct hello_question *question, const uint8_t to[PAGE_UID_BYTES],
			  uint8_t ret_mac[PAGES_MAC_BYTES])
{
	struct signed_question whole = { .kind = 'q' };

	memcpy(whole.bytes, question, sizeof(whole.bytes));
	memcpy(whole.to, to, sizeof(whole.to));
	pages_mac(key, &whole, sizeof(whole), ret_mac);
}

static void sign_answer(const uint8_t key[PAGES_KEY_BYTES], const struct hello_question *question, const struct hello_answer *answer,
			uint8_t ret_mac[PAGES_MAC_BYTES])
{
	struct signed_answer whole = { .kind = 'a' };

	memcpy(whole.question, question, sizeof(whole.question));
	memcpy(whole.bytes, answer, sizeof(whole.bytes));
	pages_mac(key, &whole, sizeof(whole), ret_mac);
}

int hello_ask(const uint8_t key[PAGES_KEY_BYTES], const uint8_t from[PAGE_UID_BYTES], const uint8_t to[PAGE_UID_BYTES],
	      struct hello_question *ret_question, struct err *err)
{
	struct hello_question question = { .magic = HELLO_MAGIC, .version = PAGE_VERSION };
	uint8_t mac[PAGES_MAC_BYTES];

	if (getrandom(question.nonce, sizeof(question.nonce), 0) != sizeof(question.nonce))
		return err_set(err, -EIO, "telemetry by RDMA: no random numbers: %m");
	memcpy(question.from, from, sizeof(question.from));
	sign_question(key, &question, to, mac);
	memcpy(question.mac, mac, sizeof(question.mac));
	*ret_question = question;
	return 0;
}

int hello_check_question(const void *bytes, size_t size, const uint8_t key[PAGES_KEY_BYTES], const uint8_t to[PAGE_UID_BYTES],
			 struct hello_question *ret_question, struct err *err)
{
	struct hello_question question;
	uint8_t mac[PAGES_MAC_BYTES];

	if (size < sizeof(question))
		return err_set(err, -EBADMSG, "telemetry by RDMA: a request of %zu bytes", size);
	memcpy(&question, bytes, sizeof(question));
	if (question.magic != HELLO_MAGIC || question.version != PAGE_VERSION || question.reserved)
		return err_set(err, -EBADMSG, "telemetry by RDMA: a request of version %u, this host speaks %d: run the same strata on all hosts",
			       question.version, PAGE_VERSION);
	sign_question(key, &question, to, mac);
	if (CRYPTO_memcmp(mac, question.mac, sizeof(question.mac)) != 0)
		return err_set(err, -EACCES, "telemetry by RDMA: a request without the cluster's key, or for another host");
	*ret_question = question;
	return 0;
}

void hello_answer(const uint8_t key[PAGES_KEY_BYTES], const struct hello_question *question, struct hello_answer *answer)
{
	answer->magic = HELLO_MAGIC;
	sign_answer(key, question, answer, answer->mac);
}

int hello_check_answer(const void *bytes, size_t size, const uint8_t key[PAGES_KEY_BYTES], const struct hello_question *question,
		       struct hello_answer *ret_answer, struct err *err)
{
	struct hello_answer answer;
	uint8_t mac[PAGES_MAC_BYTES];

	if (size < sizeof(answer))
		return err_set(err, -EBADMSG, "telemetry by RDMA: an answer of %zu bytes", size);
	memcpy(&answer, bytes, sizeof(answer));
	if (answer.magic != HELLO_MAGIC)
		return err_set(err, -EBADMSG, "telemetry by RDMA: the answer is none");
	sign_answer(key, question, &answer, mac);
	if (CRYPTO_memcmp(mac, answer.mac, sizeof(mac)) != 0)
		return err_set(err, -EACCES, "telemetry by RDMA: an answer without the cluster's key");
	*ret_answer = answer;
	return 0;
}
