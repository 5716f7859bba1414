/*
 * hello.h - what two hosts tell each other when they connect, in the private data of the connection manager.
 *
 * Who wants to read proves that it has the cluster's key and whom it means; who is read proves the same of its answer
 * to this very question, and says where its page is. MACs are HMAC-SHA-256, in the question its first 128 bits (RFC 2104, 5): there is
 * no more room in it.
 *
 * Errors:  -EBADMSG not such a message, -EACCES not with the cluster's key, or not meant for us.
 * Threads: any.
 */
#ifndef DRIVER_PAGES_RDMA_HELLO_H
#define DRIVER_PAGES_RDMA_HELLO_H

#include "port/pages.h"

enum { HELLO_MAGIC = 0x48505453, HELLO_NONCE_BYTES = 16, HELLO_SHORT_MAC_BYTES = 16 };	/* "STPH" */

struct hello_question {
	uint32_t magic;
	uint16_t version;			/* PAGE_VERSION */
	uint16_t reserved;			/* 0 */
	uint8_t from[PAGE_UID_BYTES];
	uint8_t nonce[HELLO_NONCE_BYTES];
	uint8_t mac[HELLO_SHORT_MAC_BYTES];
};
static_assert(sizeof(struct hello_question) == 56, "what a request has room for");

struct hello_answer {
	uint32_t magic;
	uint32_t remote_key;
	uint64_t address;			/* Of the page, in the memory of who is read. */
	uint64_t now_ns;			/* Its CLOCK_BOOTTIME. */
	uint8_t mac[PAGES_MAC_BYTES];
};
static_assert(sizeof(struct hello_answer) == 56, "layout of the answer");

int hello_ask(const uint8_t key[PAGES_KEY_BYTES], const uint8_t from[PAGE_UID_BYTES], const uint8_t to[PAGE_UID_BYTES],
	      struct hello_question *ret_question, struct err *err);
/* 'to' is us. The private data may be longer than what was sent. */
int hello_check_question(const void *bytes, size_t size, const uint8_t key[PAGES_KEY_BYTES], const uint8_t to[PAGE_UID_BYTES],
			 struct hello_question *ret_question, struct err *err);
void hello_answer(const uint8_t key[PAGES_KEY_BYTES], const struct hello_question *question, struct hello_answer *answer);	/* Fills in magic and MAC. */
int hello_check_answer(const void *bytes, size_t size, const uint8_t key[PAGES_KEY_BYTES], const struct hello_question *question,
		       struct hello_answer *ret_answer, struct err *err);

#endif
