#include "5-interface/http/chunks.h"

#include <errno.h>

enum state { SIZE, EXTENSION, SIZE_END, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LINE, LAST_LF, OVER };
enum { LINE_MAX_BYTES = 4096, SIZE_DIGITS_MAX = 15 };

void chunks_init(struct chunks *chunks)
{
	*chunks = (struct chunks){ .state = SIZE };
}

bool chunks_are_over(const struct chunks *chunks)
{
	return chunks->state == OVER;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int size_char(struct chunks *chunks, char c)
{
	int value = digit(c);

	if (value < 0 && chunks->line_length)
		return c == '\r' ? SIZE_END : c == ';' || c == ' ' || c == '\t' ? EXTENSION : -EINVAL;
	if (value < 0 || ++chunks->line_length > SIZE_DIGITS_MAX)
		return -EINVAL;
	chunks->left = chunks->left << 4 | (unsigned)value;
	return SIZE;
}

static int line_char(struct chunks *chunks, char c, enum state same, enum state next)
{
	if (c == '\n' || ++chunks->line_length > LINE_MAX_BYTES)
		return -EINVAL;
	return (int)(c == '\r' ? next : same);
}

/* One byte that is not body: the next state, or -EINVAL. */
static int next_state(struct chunks *chunks, char c)
{
	switch ((enum state)chunks->state) {
	case SIZE:	return size_char(chunks, c);
	case EXTENSION:	return line_char(chunks, c, EXTENSION, SIZE_END);
	case SIZE_END:
		chunks->line_length = 0;
		return c != '\n' ? -EINVAL : chunks->left ? DATA : TRAILER;
	case DATA_CR:	return c == '\r' ? DATA_LF : -EINVAL;
	case DATA_LF:	return c == '\n' ? SIZE : -EINVAL;
	case TRAILER:	return c == '\r' ? LAST_LF : TRAILER_LINE;
	case TRAILER_LINE:
		/* Trailers are ignored; their line ends may be bare, which harms nobody here. */
		return c == '\n' ? TRAILER : ++chunks->line_length > LINE_MAX_BYTES ? -EINVAL : TRAILER_LINE;
	case LAST_LF:	return c == '\n' ? OVER : -EINVAL;
	case DATA:
	case OVER:	break;
	}
	return -EINVAL;
}

ssize_t chunks_read(struct chunks *chunks, const char *bytes, size_t size, const char **ret_piece, size_t *ret_size)
{
	size_t used = 0;

	*ret_piece = bytes;
	*ret_size = 0;
	while (used < size && chunks->state != DATA && chunks->state != OVER) {
		int state = next_state(chunks, bytes[used++]);

		if (state < 0)
			return state;
		chunks->state = state;
	}
	if (chunks->state != DATA)
		return (ssize_t)used;
	*ret_piece = bytes + used;
	*ret_size = size - used < chunks->left ? size - used : (size_t)chunks->left;
	chunks->left -= *ret_size;
	if (!chunks->left)
		chunks->state = DATA_CR;
	return (ssize_t)(used + *ret_size);
}
