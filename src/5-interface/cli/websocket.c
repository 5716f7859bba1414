/*
 * Frames (RFC 6455, section 5): two bytes of flags and length, more length, and from us a mask.
 * 'in' holds what was read; whole frames are moved to 'message' (data) or answered (control).
 */
#include "5-interface/cli/websocket.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

enum { BLOCK_BYTES = 64 << 10, CONTROL_BYTES = 125, KEY_BYTES = 16 };
enum opcode { OPCODE_MORE = 0, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

struct websocket {
	struct stream *stream;
	struct str in, out, message;
	size_t in_used;			/* Of 'in': frames done with. */
	int type;			/* Of the message that is coming in parts; 0: none. */
	bool is_given;			/* 'message' was handed out and can be cleared. */
	bool has_closed;		/* A CLOSE has come or gone: nothing more is sent. */
};

struct frame {
	int opcode;
	bool is_last;
	const unsigned char *bytes;
	size_t size;
};

/* Opening. */

static void accept_for(const char *key, char text[64])
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE];
	auto_free char *both = text_format("%s%s", key, magic);

	if (!EVP_Digest(both, strlen(both), digest, NULL, EVP_sha1(), NULL))
		abort();
	EVP_EncodeBlock((unsigned char *)text, digest, 20);
}

static void random_bytes(void *bytes, size_t size)
{
	if (getrandom(bytes, size, 0) != (ssize_t)size)
		abort();
}

int websocket_open(struct client *client, const char *path, struct websocket **ret_websocket,
		   struct client_response *ret_response, struct err *err)
{
	unsigned char nonce[KEY_BYTES];
	char key[32], expected[64];
	struct client_request request = { .method = "GET", .path = path, .wants_websocket = true, .websocket_key = key };
	int result;

	random_bytes(nonce, sizeof(nonce));
	EVP_EncodeBlock((unsigned char *)key, nonce, sizeof(nonce));
	result = client_send(client, &request, ret_response, err);
	if (result < 0)
		return result;
	*ret_websocket = NULL;
	if (ret_response->status != 101)
		return 0;
	accept_for(key, expected);
	if (!text_equal(ret_response->websocket_accept, expected))
		return err_set(err, -EPROTO, "the daemon's answer is no WebSocket answer: is there a proxy in between?");

	struct websocket *websocket = alloc(sizeof(*websocket));
	client_take_stream(client, &websocket->stream, &websocket->in);
	*ret_websocket = websocket;
	return 0;
}

void websocket_free(struct websocket *websocket)
{
	if (!websocket)
		return;
	stream_close(websocket->stream);
	str_done(&websocket->in);
	str_done(&websocket->out);
	str_done(&websocket->message);
	free(websocket);
}

int websocket_fd(const struct websocket *websocket)
{
	return websocket->stream->fd;
}

short websocket_events(const struct websocket *websocket)
{
	return websocket->out.size ? POLLIN | POLLOUT : POLLIN;
}

size_t websocket_queued(const struct websocket *websocket)
{
	return websocket->out.size;
}

/* Sending. */

static int flush(struct websocket *websocket, struct err *err)
{
	while (websocket->out.size) {
		ssize_t count = stream_write(websocket->stream, websocket->out.data, websocket->out.size, err);

		if (count == -EAGAIN)
			return 0;
		if (count < 0)
			return (int)count;
		str_remove_front(&websocket->out, (size_t)count);
	}
	return 0;
}

static void write_frame_head(struct str *out, int opcode, size_t size, const unsigned char mask[4])
{
	unsigned char head[14] = { (unsigned char)(0x80 | opcode) };
	size_t length = 2;

	if (size <= CONTROL_BYTES) {
		head[1] = (unsigned char)(0x80 | size);
	} else if (size <= UINT16_MAX) {
		uint16_t big = htobe16((uint16_t)size);

		head[1] = 0x80 | 126;
		memcpy(head + 2, &big, sizeof(big));
		length = 4;
	} else {
		uint64_t big = htobe64(size);

		head[1] = 0x80 | 127;
		memcpy(head + 2, &big, sizeof(big));
		length = 10;
	}
	memcpy(head + length, mask, 4);
	str_append_bytes(out, head, length + 4);
}

static int send_frame(struct websocket *websocket, int opcode, const void *bytes, size_t size, struct err *err)
{
	unsigned char mask[4];
	char *masked;

	if (websocket->has_closed)
		return 0;
	random_bytes(mask, sizeof(mask));
	write_frame_head(&websocket->out, opcode, size, mask);
	str_reserve(&websocket->out, size);
	masked = websocket->out.data + websocket->out.size;
	for (size_t i = 0; i < size; i++)
		masked[i] = (char)(((const char *)bytes)[i] ^ mask[i % 4]);
	websocket->out.size += size;
	websocket->out.data[websocket->out.size] = '\0';
	if (opcode == OPCODE_CLOSE)
		websocket->has_closed = true;
	return flush(websocket, err);
}

int websocket_send(struct websocket *websocket, enum websocket_type type, const void *bytes, size_t size,
		   struct err *err)
{
	return send_frame(websocket, (int)type, bytes, size, err);
}

/* Receiving. */

static int broken(struct err *err, const char *what)
{
	return err_set(err, -EPROTO, "the daemon breaks the WebSocket protocol: %s", what);
}

static int check_frame(const unsigned char *p, uint64_t size, struct err *err)
{
	int opcode = p[0] & 0x0f;

	if (p[0] & 0x70)
		return broken(err, "reserved bits are set");
	if (p[1] & 0x80)
		return broken(err, "a server's frame is masked");
	if (opcode > OPCODE_PONG || (opcode > WEBSOCKET_BINARY && opcode < OPCODE_CLOSE))
		return broken(err, "unknown kind of frame");
	if (opcode >= OPCODE_CLOSE && (size > CONTROL_BYTES || !(p[0] & 0x80)))
		return broken(err, "a control frame is too large or in parts");
	if (size > WEBSOCKET_MESSAGE_BYTES)
		return broken(err, "a message is too large");
	return 0;
}

/* 1 with a whole frame in 'in', 0 when more bytes are needed. */
static int parse_frame(struct websocket *websocket, struct frame *frame, struct err *err)
{
	const unsigned char *p = (const unsigned char *)websocket->in.data + websocket->in_used;
	size_t have = websocket->in.size - websocket->in_used, head = 2;
	uint64_t size;
	int result;

	if (have < 2)
		return 0;
	size = p[1] & 0x7f;
	if (size == 126)
		head = 4;
	else if (size == 127)
		head = 10;
	if (have < head)
		return 0;
	if (head == 4)
		size = (uint64_t)p[2] << 8 | p[3];
	else if (head == 10)
		size = be64toh(*(const uint64_t *)memcpy(&(uint64_t){ 0 }, p + 2, 8));
	result = check_frame(p, size, err);
	if (result < 0)
		return result;
	if (have - head < size)
		return 0;
	*frame = (struct frame){ .opcode = p[0] & 0x0f, .is_last = p[0] & 0x80, .bytes = p + head, .size = (size_t)size };
	websocket->in_used += head + (size_t)size;
	return 1;
}

static int take_data(struct websocket *websocket, const struct frame *frame, struct err *err)
{
	if ((frame->opcode == OPCODE_MORE) != (websocket->type != 0))
		return broken(err, "parts of messages are mixed");
	if (websocket->message.size + frame->size > WEBSOCKET_MESSAGE_BYTES)
		return broken(err, "a message is too large");
	if (frame->opcode != OPCODE_MORE)
		websocket->type = frame->opcode;
	str_append_bytes(&websocket->message, frame->bytes, frame->size);
	return frame->is_last;
}

static int take_close(struct websocket *websocket, const struct frame *frame, struct websocket_message *message,
		      struct err *err)
{
	int result;

	if (frame->size == 1)
		return broken(err, "a goodbye of one byte");
	result = send_frame(websocket, OPCODE_CLOSE, frame->bytes, frame->size < 2 ? 0 : 2, err);
	if (result < 0)
		return result;
	str_clear(&websocket->message);
	if (frame->size > 2)
		str_append_bytes(&websocket->message, frame->bytes + 2, frame->size - 2);
	*message = (struct websocket_message){ .type = WEBSOCKET_CLOSE, .bytes = str_text(&websocket->message),
		.size = websocket->message.size,
		.close_code = frame->size < 2 ? 1005 : frame->bytes[0] << 8 | frame->bytes[1] };
	return 1;
}

static int take_frame(struct websocket *websocket, const struct frame *frame, struct websocket_message *message,
		      struct err *err)
{
	int result;

	switch (frame->opcode) {
	case OPCODE_PING:
		if (websocket->out.size > BLOCK_BYTES)
			return 0;		/* Pongs may be left out while one waits (section 5.5.3). */
		return send_frame(websocket, OPCODE_PONG, frame->bytes, frame->size, err);
	case OPCODE_PONG:
		return 0;
	case OPCODE_CLOSE:
		websocket->is_given = true;
		return take_close(websocket, frame, message, err);
	default:
		break;
	}
	result = take_data(websocket, frame, err);
	if (result <= 0)
		return result;
	*message = (struct websocket_message){ .type = (enum websocket_type)websocket->type,
		.bytes = str_text(&websocket->message), .size = websocket->message.size };
	websocket->type = 0;
	websocket->is_given = true;
	return 1;
}

/* Bytes from the peer; 0: none are there now. */
static ssize_t fill(struct websocket *websocket, struct err *err)
{
	ssize_t count;

	str_remove_front(&websocket->in, websocket->in_used);
	websocket->in_used = 0;
	str_reserve(&websocket->in, BLOCK_BYTES);
	count = stream_read(websocket->stream, websocket->in.data + websocket->in.size, BLOCK_BYTES, err);
	if (count > 0)
		websocket->in.size += (size_t)count;
	websocket->in.data[websocket->in.size] = '\0';
	if (count == 0)
		return err_set(err, -ECONNRESET, "the daemon ended the connection");
	return count == -EAGAIN ? 0 : count;
}

int websocket_receive(struct websocket *websocket, struct websocket_message *ret_message, struct err *err)
{
	int result = flush(websocket, err);

	if (result < 0)
		return result;
	if (websocket->is_given)
		str_clear(&websocket->message);
	websocket->is_given = false;
	for (;;) {
		struct frame frame;
		ssize_t count;

		result = parse_frame(websocket, &frame, err);
		if (result > 0)
			result = take_frame(websocket, &frame, ret_message, err);
		else if (result == 0) {
			count = fill(websocket, err);
			if (count <= 0)
				return (int)count;
		}
		if (result != 0)
			return result;
	}
}
