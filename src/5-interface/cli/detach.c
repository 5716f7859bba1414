#include "5-interface/cli/detach.h"

#include <ctype.h>
#include <string.h>

#include "5-interface/cli/command.h"
#include "base/mem.h"
#include "base/str.h"

/* "ctrl-p", "^P" or "p". */
static int parse_key(const char *word, char *ret_key)
{
	const char *control = text_starts_with(word, "ctrl-") ? word + strlen("ctrl-") : word[0] == '^' && word[1] ? word + 1 : NULL;
	int key = control ? toupper((unsigned char)control[0]) : 0;

	if (control && key >= '@' && key <= '_' && !control[1])
		*ret_key = (char)(key & 0x1f);
	else if (!control && word[0] && !word[1])
		*ret_key = word[0];
	else
		return -EINVAL;
	return 0;
}

int detach_parse(const char *text, struct detach *ret_detach, struct err *err)
{
	auto_free char *copy = text_copy(text);
	struct detach detach = { 0 };
	char *rest = copy, *word;

	while (!text_equal(text, "none") && (word = strsep(&rest, ","))) {
		if (detach.count == DETACH_KEYS_MAX || parse_key(word, &detach.keys[detach.count++]) < 0)
			return err_set(err, CLI_USAGE, "--detach-keys: '%s' is not understood: use up to %d keys like ctrl-p,ctrl-q, or none",
				       shown(text), DETACH_KEYS_MAX);
	}
	*ret_detach = detach;
	return 0;
}

size_t detach_filter(struct detach *detach, const char *bytes, size_t size, char *out, bool *ret_is_pressed)
{
	size_t count = 0;

	*ret_is_pressed = false;
	for (size_t i = 0; i < size; i++) {
		if (detach->matched && bytes[i] != detach->keys[detach->matched]) {
			memcpy(out + count, detach->keys, detach->matched);
			count += detach->matched;
			detach->matched = 0;
		}
		if (!detach->count || bytes[i] != detach->keys[detach->matched]) {
			out[count++] = bytes[i];
			continue;
		}
		if (++detach->matched == detach->count) {
			*ret_is_pressed = true;
			break;
		}
	}
	return count;
}
