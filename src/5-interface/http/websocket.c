#include "5-interface/http/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/str.h"

enum { FINAL = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, MASK_BYTES = 4 };

static enum websocket_opcode opcode_of(const struct websocket *websocket)
{
	return websocket->head[0] & OPCODE;
}

static bool is_control(const struct websocket *websocket)
{
	return websocket->head[0] & 0x08;
}

/* Size of the head as far as its first two bytes tell. */
static size_t head_size_of(const struct websocket *websocket)
{
	unsigned length = websocket->head[1] & 0x7f;

	return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + MASK_BYTES;
}

static uint64_t payload_size(const struct websocket *websocket)
{
	unsigned length = websocket->head[1] & 0x7f;
	uint64_t size = 0;

	if (length < 126)
		return length;
	for (size_t i = 0; i < (length == 126 ? 2 : 8); i++)
		size = size << 8 | websocket->head[2 + i];
	return size;
}

/* Section 5: masked, nothing reserved, control frames short and whole, messages begun before they go on. */
static bool is_legal(const struct websocket *websocket)
{
	enum websocket_opcode opcode = opcode_of(websocket);
	bool is_final = websocket->head[0] & FINAL;

	if (websocket->head[0] & RESERVED || !(websocket->head[1] & MASKED) || websocket->left >> 63)
		return false;
	if (is_control(websocket))
		return is_final && websocket->left <= WEBSOCKET_CONTROL_MAX && opcode >= WEBSOCKET_CLOSE &&
		       opcode <= WEBSOCKET_PONG;
	return websocket->in_message ? opcode == WEBSOCKET_CONTINUATION :
				       opcode == WEBSOCKET_TEXT || opcode == WEBSOCKET_BINARY;
}

/* Takes bytes of the head; returns how many, or -EPROTO when it is whole and bad. */
static ssize_t read_head(struct websocket *websocket, const char *bytes, size_t size)
{
	size_t used = 0;

	while (used < size && !websocket->has_head) {
		websocket->head[websocket->head_size++] = (unsigned char)bytes[used++];
		websocket->has_head = websocket->head_size >= 2 && websocket->head_size == head_size_of(websocket);
	}
	if (!websocket->has_head)
		return (ssize_t)used;
	websocket->left = payload_size(websocket);
	websocket->mask_at = 0;
	websocket->control_size = 0;
	return is_legal(websocket) ? (ssize_t)used : -EPROTO;
}

static void unmask(struct websocket *websocket, char *bytes, size_t size)
{
	const unsigned char *mask = websocket->head + websocket->head_size - MASK_BYTES;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(bytes[i] ^ mask[(websocket->mask_at + i) % MASK_BYTES]);
	websocket->mask_at = (websocket->mask_at + size) % MASK_BYTES;
}

static void next_frame(struct websocket *websocket)
{
	websocket->has_head = false;
	websocket->head_size = 0;
}

static bool message_piece(struct websocket *websocket, const char *bytes, size_t size, struct websocket_piece *ret_piece)
{
	bool is_over = !websocket->left && websocket->head[0] & FINAL;

	if (!size && websocket->left)
		return false;
	if (!websocket->in_message)
		websocket->is_binary = opcode_of(websocket) == WEBSOCKET_BINARY;
	*ret_piece = (struct websocket_piece){ .opcode = websocket->is_binary ? WEBSOCKET_BINARY : WEBSOCKET_TEXT,
					       .bytes = bytes, .size = size, .is_first = !websocket->in_message,
					       .is_last = is_over };
	websocket->in_message = !is_over;
	if (!websocket->left)
		next_frame(websocket);
	return true;
}

static bool control_piece(struct websocket *websocket, const char *bytes, size_t size, struct websocket_piece *ret_piece)
{
	memcpy(websocket->control + websocket->control_size, bytes, size);
	websocket->control_size += size;
	if (websocket->left)
		return false;
	*ret_piece = (struct websocket_piece){ .opcode = opcode_of(websocket), .bytes = (const char *)websocket->control,
					       .size = websocket->control_size };
	next_frame(websocket);
	return true;
}

ssize_t websocket_read(struct websocket *websocket, char *bytes, size_t size, struct websocket_piece *ret_piece,
		       bool *ret_has_piece)
{
	ssize_t used = websocket->has_head ? 0 : read_head(websocket, bytes, size);
	size_t payload;

	*ret_has_piece = false;
	if (used < 0 || !websocket->has_head)
		return used;
	bytes += used;
	payload = size - (size_t)used < websocket->left ? size - (size_t)used : (size_t)websocket->left;
	unmask(websocket, bytes, payload);
	websocket->left -= payload;
	*ret_has_piece = is_control(websocket) ? control_piece(websocket, bytes, payload, ret_piece) :
						 message_piece(websocket, bytes, payload, ret_piece);
	return used + (ssize_t)payload;
}

size_t websocket_write_head(char *end, enum websocket_opcode opcode, size_t size)
{
	size_t extended = size < 126 ? 0 : size < 65536 ? 2 : 8;
	char *head = end - 2 - extended;

	head[0] = (char)(FINAL | opcode);
	head[1] = (char)(extended == 0 ? size : extended == 2 ? 126 : 127);
	for (size_t i = 0; i < extended; i++)
		head[2 + i] = (char)(size >> 8 * (extended - 1 - i));
	return 2 + extended;
}

void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_SIZE])
{
	auto_str struct str text = { 0 };
	unsigned char digest[SHA_DIGEST_LENGTH];

	str_append(&text, key);
	str_append(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	SHA1((const unsigned char *)text.data, text.size, digest);
	EVP_EncodeBlock((unsigned char *)accept, digest, sizeof(digest));
}
