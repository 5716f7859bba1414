#include "5-interface/cli/scan.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"

struct scanner {
	const char *at, *end;
	struct scan_pick *picks;
};

void scan_path(struct scan_pick *pick, char *copy)
{
	size_t count = 0;

	*pick = (struct scan_pick){ 0 };
	for (char *word; (word = strsep(&copy, ".")); ) {
		assert(count < SCAN_WORDS - 1);
		pick->words[count++] = word;
	}
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void skip_space(struct scanner *scanner)
{
	while (scanner->at < scanner->end && is_space(*scanner->at))
		scanner->at++;
}

static bool take(struct scanner *scanner, char c)
{
	skip_space(scanner);
	if (scanner->at == scanner->end || *scanner->at != c)
		return false;
	scanner->at++;
	return true;
}

/* At the opening quote. */
static bool skip_string(struct scanner *scanner)
{
	for (scanner->at++; scanner->at < scanner->end; scanner->at++) {
		if (*scanner->at == '"') {
			scanner->at++;
			return true;
		}
		if (*scanner->at == '\\')
			scanner->at++;
	}
	return false;
}

/* At the opening bracket: to its closing one. */
static bool skip_nested(struct scanner *scanner)
{
	int depth = 0;

	while (scanner->at < scanner->end) {
		char c = *scanner->at;

		if (c == '"') {
			if (!skip_string(scanner))
				return false;
			continue;
		}
		depth += (c == '{' || c == '[') - (c == '}' || c == ']');
		scanner->at++;
		if (depth == 0)
			return true;
	}
	return false;
}

static bool skip_value(struct scanner *scanner)
{
	const char *start;

	skip_space(scanner);
	start = scanner->at;
	if (start == scanner->end)
		return false;
	if (*start == '"')
		return skip_string(scanner);
	if (*start == '{' || *start == '[')
		return skip_nested(scanner);
	while (scanner->at < scanner->end && *scanner->at != ',' && *scanner->at != '}' && *scanner->at != ']' &&
	       !is_space(*scanner->at))
		scanner->at++;
	return scanner->at > start;
}

static bool walk(struct scanner *scanner, unsigned wanted, int depth, int nesting);

/* The picks among 'wanted' whose word at this depth is the key. */
static unsigned match(const struct scanner *scanner, unsigned wanted, int depth, const char *key, size_t length)
{
	unsigned found = 0;

	for (unsigned rest = wanted; rest; rest &= rest - 1) {
		int i = __builtin_ctz(rest);
		const char *word = scanner->picks[i].words[depth];

		if (word && word[0] == key[0] && strncmp(word, key, length) == 0 && !word[length])
			found |= 1u << i;
	}
	return found;
}

/* Those that go on below this depth. */
static unsigned deeper_of(const struct scanner *scanner, unsigned found, int depth)
{
	unsigned deeper = 0;

	for (unsigned rest = found; rest; rest &= rest - 1)
		if (depth + 1 < SCAN_WORDS && scanner->picks[__builtin_ctz(rest)].words[depth + 1])
			deeper |= rest & -rest;
	return deeper;
}

static void keep(struct scanner *scanner, unsigned found, const char *text, size_t size)
{
	for (unsigned rest = found; rest; rest &= rest - 1) {
		struct scan_pick *pick = &scanner->picks[__builtin_ctz(rest)];

		if (!pick->text && strncmp(text, "null", size) != 0) {
			pick->text = text;
			pick->size = size;
		}
	}
}

static bool walk_member(struct scanner *scanner, unsigned wanted, int depth, int nesting)
{
	const char *key, *value;
	unsigned found, deeper;

	skip_space(scanner);
	if (scanner->at == scanner->end || *scanner->at != '"')
		return false;
	key = scanner->at + 1;
	if (!skip_string(scanner))
		return false;
	found = wanted ? match(scanner, wanted, depth, key, (size_t)(scanner->at - key) - 1) : 0;
	if (!take(scanner, ':'))
		return false;
	skip_space(scanner);
	value = scanner->at;
	deeper = deeper_of(scanner, found, depth);
	if (!(deeper ? walk(scanner, deeper, depth + 1, nesting + 1) : skip_value(scanner)))
		return false;
	keep(scanner, found & ~deeper, value, (size_t)(scanner->at - value));
	return true;
}

/* An object's members or a list's elements. */
static bool walk(struct scanner *scanner, unsigned wanted, int depth, int nesting)
{
	bool is_list;

	skip_space(scanner);
	if (scanner->at == scanner->end || nesting > SCAN_DEPTH)
		return false;
	if (*scanner->at != '{' && *scanner->at != '[')
		return skip_value(scanner);
	is_list = *scanner->at++ == '[';
	if (take(scanner, is_list ? ']' : '}'))
		return true;
	do {
		if (!(is_list ? walk(scanner, wanted, depth, nesting + 1) : walk_member(scanner, wanted, depth, nesting)))
			return false;
	} while (take(scanner, ','));
	return take(scanner, is_list ? ']' : '}');
}

int scan_object(const char *text, size_t size, struct scan_pick *picks, size_t count, size_t *ret_used)
{
	struct scanner scanner = { .at = text, .end = text + size, .picks = picks };

	assert(count <= SCAN_PICKS);
	for (size_t i = 0; i < count; i++)
		picks[i].text = NULL;
	skip_space(&scanner);
	if (scanner.at == scanner.end || *scanner.at != '{')
		return -EINVAL;
	if (!walk(&scanner, count == SCAN_PICKS ? ~0u : (1u << count) - 1, 0, 0))
		return -EINVAL;
	*ret_used = (size_t)(scanner.at - text);
	return 0;
}

int scan_element(const char *list, size_t size, size_t *at)
{
	struct scanner scanner = { .at = list + *at, .end = list + size };
	bool is_first = *at == 0;

	if (!is_first && take(&scanner, ']'))
		return 0;
	if (!take(&scanner, is_first ? '[' : ','))
		return -EINVAL;
	if (is_first && take(&scanner, ']'))
		return 0;
	skip_space(&scanner);
	*at = (size_t)(scanner.at - list);
	return 1;
}

void scan_text(const struct scan_pick *pick, struct str *out)
{
	struct json *json = NULL;
	struct err ignored;

	if (!pick->text)
		return;
	if (pick->text[0] != '"') {
		str_append_bytes(out, pick->text, pick->size);
	} else if (!memchr(pick->text, '\\', pick->size)) {
		str_append_bytes(out, pick->text + 1, pick->size - 2);
	} else if (json_parse(pick->text, pick->size, &json, &ignored) == 0) {
		str_append(out, json_string(json, ""));
		json_free(json);
	}
}
