#include "driver/machine/oci/program.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

int program_find(const char *name, char **ret_path, struct err *err)
{
	return spawn_find(name, ret_path, err);
}

/* "2026-11-30T06:00:44.868176Z: text" or "[conmon:e]: text" or "error: text". */
static const char *without_prefix(const char *text)
{
	const char *rest;

	if (text[0] >= '0' && text[0] <= '9' && (rest = strstr(text, "Z: ")) && rest - text < 32)
		text = rest + 3;
	if (text[0] == '[' && (rest = strstr(text, "]: ")) && rest - text < 20)
		text = rest + 3;
	if (strncmp(text, "crun: ", 6) == 0)
		text += 6;
	return text;
}

static int code_of(const char *text)
{
	static const int known[] = { ENOENT, EACCES, ENOEXEC, ENOTDIR, ELOOP, ENOSPC, EINVAL, EPERM, ENOMEM };

	for (size_t i = 0; i < ARRAY_COUNT(known); i++)
		if (strstr(text, strerrordesc_np(known[i])))
			return -known[i];
	return -EIO;
}

int program_explain(const char *text, const char *command, struct err *err)
{
	auto_free char *line = text_copy(without_prefix(text));
	char words[300];
	size_t length = strlen(line);

	while (length && strchr("\n\r \\", line[length - 1]))
		line[--length] = '\0';
	text_shown(line, sizeof(words) - 4, words, sizeof(words));
	/* "open executable: Permission denied" */
	if (strstr(words, "executable") && !strstr(words, command))
		return err_set(err, code_of(text), "'%s': %s", shown(command), words);
	return err_set(err, code_of(text), "%s", words);
}
