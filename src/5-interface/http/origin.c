#include "5-interface/http/origin.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

static const char *const channels[] = { "unix", "tls", "node", "join" };

void origin_of_peer(const struct peer *peer, bool is_tls, struct origin *ret_origin)
{
	*ret_origin = (struct origin){
		.channel = !is_tls ? "unix" : peer->is_stranger ? "join" : peer->is_node ? "node" : "tls",
		.uid = peer->uid, .gid = peer->gid, .pid = peer->pid,
	};
	if (peer->subject)
		strncpy(ret_origin->subject, peer->subject, sizeof(ret_origin->subject) - 1);
}

static bool is_name_char(char c)
{
	return c > ' ' && c < 0x7f;
}

void origin_write(const struct origin *origin, struct str *out)
{
	str_append(out, origin->channel);
	if (text_equal(origin->channel, "unix"))
		str_printf(out, " %u %u %d", origin->uid, origin->gid, (int)origin->pid);
	if (!origin->subject[0])
		return;
	str_append_char(out, ' ');
	for (const char *c = origin->subject; *c; c++)
		str_append_char(out, is_name_char(*c) ? *c : '?');
}

/* " 123": digits up to 'max'; moves on. */
static bool read_number(const char **at, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;
	size_t digits = 0;

	if (**at != ' ')
		return false;
	for (++*at; **at >= '0' && **at <= '9' && digits < 11; ++*at, digits++)
		number = number * 10 + (uint64_t)(**at - '0');
	*ret_number = number;
	return digits && number <= max;
}

static bool read_numbers(const char *at, struct origin *origin)
{
	uint64_t uid, gid, pid;

	if (!read_number(&at, UINT32_MAX, &uid) || !read_number(&at, UINT32_MAX, &gid) || !read_number(&at, INT32_MAX, &pid) || *at)
		return false;
	origin->uid = (uid_t)uid;
	origin->gid = (gid_t)gid;
	origin->pid = (pid_t)pid;
	return true;
}

static bool read_subject(const char *at, struct origin *origin)
{
	size_t length = *at == ' ' ? strlen(++at) : 0;

	if (!length || length >= sizeof(origin->subject))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_name_char(at[i]))
			return false;
	memcpy(origin->subject, at, length);
	return true;
}

int origin_parse(const char *text, struct origin *ret_origin, struct err *err)
{
	struct origin origin = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	size_t length = strcspn(text, " ");
	bool ok = false;

	for (size_t i = 0; i < ARRAY_COUNT(channels); i++)
		if (strlen(channels[i]) == length && memcmp(channels[i], text, length) == 0)
			origin.channel = channels[i];
	if (text_equal(origin.channel, "unix"))
		ok = read_numbers(text + length, &origin);
	else if (text_equal(origin.channel, "join"))
		ok = !text[length];
	else if (origin.channel)
		ok = read_subject(text + length, &origin);
	if (!ok)
		return err_set(err, -EINVAL, "the header Strata-Forwarded: '%s' does not say who asks: are both hosts of one version?",
			       shown(text));
	*ret_origin = origin;
	return 0;
}
