#include "5-interface/cli/container_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

/* Mounts. */

static int mount_member(const char *text, char *key, char *value, struct json *mount, struct err *err)
{
	static const struct { const char *word, *field; } words[] = {
		{ "source", "source" }, { "src", "source" }, { "target", "target" }, { "destination", "target" }, { "dst", "target" },
		{ "size", "size" }, { "tmpfs-size", "size" }, { "type", "kind" },
	};

	for (size_t i = 0; value && i < ARRAY_COUNT(words); i++) {
		if (text_equal(key, words[i].word)) {
			json_set(mount, words[i].field, json_new_string(value));
			return 0;
		}
	}
	if (value && (text_equal(key, "volume") || text_equal(key, "bind"))) {
		json_set(mount, "kind", json_new_string(key));
		json_set(mount, "source", json_new_string(value));
	} else if (!value && text_equal(key, "tmpfs")) {
		json_set(mount, "kind", json_new_string("tmpfs"));
	} else if (!value && (text_equal(key, "ro") || text_equal(key, "readonly"))) {
		json_set(mount, "read_only", json_new_bool(true));
	} else if (value || !text_equal(key, "rw")) {
		return err_set(err, CLI_USAGE, "mount '%s': '%s' is not understood: use volume=NAME,target=PATH[,ro], "
			       "bind=PATH,target=PATH[,ro] or tmpfs,target=PATH[,size=SIZE]", shown(text), shown(key));
	}
	return 0;
}

int container_mount(const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *mount = json_new_object();
	auto_free char *copy = text_copy(text);
	char *rest = copy, *part;

	while ((part = strsep(&rest, ","))) {
		char *value = strchr(part, '=');
		int result;

		if (value)
			*value++ = '\0';
		result = mount_member(text, part, value, mount, err);
		if (result < 0)
			return result;
	}
	if (!json_get(mount, "target"))
		return err_set(err, CLI_USAGE, "mount '%s' has no target: add ,target=PATH for its place in the container", shown(text));
	*ret_json = take(mount);
	return 0;
}

int container_volume(const char *text, struct json **ret_json, struct err *err)
{
	auto_free char *source = text_copy(text);
	char *target = strchr(source, ':'), *mode = target ? strchr(target + 1, ':') : NULL;
	struct json *mount;

	if (source[0] == '.')
		return err_set(err, CLI_USAGE, "volume '%s': a folder of the host needs its whole path, like /srv/www:/www", shown(text));
	if (!target || target == source || target[1] != '/' || (mode && !text_equal(mode, ":ro") && !text_equal(mode, ":rw")))
		return err_set(err, CLI_USAGE, "volume '%s': of a container it needs its place: use NAME:/PATH[:ro], "
			       "or /PATH:/PATH[:ro] for a folder of the host", shown(text));
	*target++ = '\0';
	if (mode)
		*mode++ = '\0';
	mount = json_new_object();
	json_set(mount, "kind", json_new_string(source[0] == '/' ? "bind" : "volume"));
	json_set(mount, "source", json_new_string(source));
	json_set(mount, "target", json_new_string(target));
	if (text_equal(mode, "ro"))
		json_set(mount, "read_only", json_new_bool(true));
	*ret_json = mount;
	return 0;
}

int container_tmpfs(const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *mount = json_new_object();
	auto_free char *target = text_copy(text);
	char *rest = strchr(target, ':'), *part;

	if (rest)
		*rest++ = '\0';
	json_set(mount, "kind", json_new_string("tmpfs"));
	json_set(mount, "target", json_new_string(target));
	while ((part = strsep(&rest, ","))) {
		if (text_starts_with(part, "size="))
			json_set(mount, "size", json_new_string(part + strlen("size=")));
		else if (text_equal(part, "ro"))
			json_set(mount, "read_only", json_new_bool(true));
		else
			return err_set(err, CLI_USAGE, "tmpfs '%s': '%s' is not understood: use PATH[:size=SIZE]", shown(text), shown(part));
	}
	*ret_json = take(mount);
	return 0;
}

/* What it may do. */

int container_capability(const char *text, struct json **ret_json, struct err *err)
{
	auto_free char *name = text_copy(text);

	(void)err;
	for (char *c = name; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	*ret_json = json_new_string(text_starts_with(name, "CAP_") ? name + strlen("CAP_") : name);
	return 0;
}

int container_device(const char *text, struct json **ret_json, struct err *err)
{
	if (strchr(text, ':'))
		return err_set(err, CLI_USAGE, "device '%s': it keeps its path in the container: use that alone, like /dev/fuse", shown(text));
	*ret_json = json_new_string(text);
	return 0;
}

/* Words. */

static int json_words(const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *list = NULL;
	bool is_list = json_parse(text, strlen(text), &list, err) == 0 && json_type(list) == JSON_ARRAY;

	for (size_t i = 0; is_list && i < json_count(list); i++)
		is_list = json_type(json_at(list, i)) == JSON_STRING;
	if (!is_list)
		return err_set(err, CLI_USAGE, "'%s' is not a list of texts: use one like [\"sh\",\"-c\",\"date\"]", shown(text));
	*ret_json = take(list);
	return 0;
}

/* One word from 'at' on, with its quotes taken off; returns what is behind it, or null when a quote is left open. */
static const char *next_word(const char *at, struct str *word)
{
	char quote = '\0';

	for (; *at && (quote || !isspace((unsigned char)*at)); at++) {
		if (*at == quote)
			quote = '\0';
		else if (!quote && (*at == '\'' || *at == '"'))
			quote = *at;
		else if (*at == '\\' && quote != '\'' && at[1])
			str_append_char(word, *++at);
		else
			str_append_char(word, *at);
	}
	return quote ? NULL : at;
}

int container_words(const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *list = json_new_array();

	if (text[0] == '[')
		return json_words(text, ret_json, err);
	for (const char *at = text; ; ) {
		auto_str struct str word = { 0 };

		at += strspn(at, " \t\n");
		if (!*at)
			break;
		at = next_word(at, &word);
		if (!at)
			return err_set(err, CLI_USAGE, "'%s': a quote is not closed", shown(text));
		json_push(list, json_new_string(str_text(&word)));
	}
	*ret_json = take(list);
	return 0;
}

/* Environment. */

int container_env(const char *text, struct json *variables, struct err *err)
{
	const char *equals = strchr(text, '='), *value = equals ? equals + 1 : getenv(text);
	auto_free char *name = equals ? text_copy_length(text, (size_t)(equals - text)) : text_copy(text);

	if (!name[0])
		return err_set(err, CLI_USAGE, "'%s' is neither NAME=VALUE nor NAME", shown(text));
	if (value)
		json_set(variables, name, json_new_string(value));
	return 0;
}

int container_env_file(const char *path, struct json *variables, struct err *err)
{
	auto_str struct str text = { 0 };
	int result = file_read_all(text_equal(path, "-") ? "/dev/stdin" : path, LIMIT_BODY_BYTES, &text, err);
	char *rest = text.data, *line;

	for (size_t number = 1; result == 0 && (line = strsep(&rest, "\n")); number++) {
		size_t length = strlen(line);

		if (length && line[length - 1] == '\r')
			line[length - 1] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		result = container_env(line, variables, err);
		if (result < 0)
			err_prefix(err, "%s, line %zu", shown(path), number);
	}
	return result;
}
