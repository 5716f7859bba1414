#include "5-interface/cli/spec_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { NAMES_MAX = 64 };

struct json *spec_number(const char *text)
{
	struct json *number;
	struct err ignored;

	return json_new_number(text, strlen(text), &number, &ignored) == 0 ? number : json_new_string(text);
}

struct json *spec_member(struct json *object, const char *key)
{
	const struct json *there = json_get(object, key);

	if (!there) {
		struct json *made = json_new_object();

		json_set(object, key, made);
		return made;
	}
	/* Readers are const; this one is our own, still being built. */
	return (struct json *)(uintptr_t)there;
}

int spec_label(const char *text, struct json *labels, struct err *err)
{
	const char *equals = strchr(text, '=');
	auto_free char *key = equals ? text_copy_length(text, (size_t)(equals - text)) : NULL;

	if (!equals || equals == text)
		return err_set(err, CLI_USAGE, "label '%s' is not KEY=VALUE", shown(text));
	json_set(labels, key, json_new_string(equals + 1));
	return 0;
}

static int nic_part(const char *text, const char *part, struct json *nic, struct err *err)
{
	if (text_starts_with(part, "address=")) {
		const char *address = part + strlen("address=");

		json_set(nic, strchr(address, ':') ? "ipv6" : "ipv4", json_new_string(address));
	} else if (text_starts_with(part, "mac=")) {
		json_set(nic, "mac", json_new_string(part + strlen("mac=")));
	} else {
		return err_set(err, CLI_USAGE, "network '%s': '%s' is not understood: use NAME[,address=IP][,mac=MAC]",
			       shown(text), shown(part));
	}
	return 0;
}

int spec_nic(const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *nic = json_new_object();
	auto_free char *copy = text_copy(text);
	char *rest = copy, *part = strsep(&rest, ",");

	json_set(nic, "network", json_new_string(part));
	while ((part = strsep(&rest, ","))) {
		int result = nic_part(text, part, nic, err);

		if (result < 0)
			return result;
	}
	*ret_json = take(nic);
	return 0;
}

static int bad_publish(const char *text, struct err *err)
{
	return err_set(err, CLI_USAGE, "'%s' is not a port to publish: use [ADDRESS:]HOSTPORT:GUESTPORT[/udp], like 8080:80",
		       shown(text));
}

int spec_publish(const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *publish = json_new_object();
	auto_free char *copy = text_copy(text);
	char *slash = strchr(copy, '/'), *guest, *host, *address = NULL;

	if (slash) {
		*slash = '\0';
		json_set(publish, "protocol", json_new_string(slash + 1));
	}
	guest = strrchr(copy, ':');
	if (!guest)
		return bad_publish(text, err);
	*guest++ = '\0';
	host = strrchr(copy, ':');
	if (host) {
		*host++ = '\0';
		address = copy;
		if (address[0] == '[' && address[strlen(address) - 1] == ']') {
			address[strlen(address) - 1] = '\0';
			address++;
		}
		json_set(publish, "host_address", json_new_string(address));
	} else {
		host = copy;
	}
	if (!isdigit((unsigned char)host[0]) || !isdigit((unsigned char)guest[0]))
		return bad_publish(text, err);
	json_set(publish, "host_port", spec_number(host));
	json_set(publish, "guest_port", spec_number(guest));
	*ret_json = take(publish);
	return 0;
}

int spec_volume(const char *text, struct json **ret_json, struct err *err)
{
	const char *colon = strchr(text, ':');
	auto_free char *name = colon ? text_copy_length(text, (size_t)(colon - text)) : text_copy(text);
	struct json *volume;

	if (colon && !text_equal(colon, ":ro") && !text_equal(colon, ":rw"))
		return err_set(err, CLI_USAGE, "volume '%s': '%s' is not understood: use NAME or NAME:ro", shown(text),
			       shown(colon + 1));
	volume = json_new_object();
	json_set(volume, "volume", json_new_string(name));
	if (text_equal(colon, ":ro"))
		json_set(volume, "read_only", json_new_bool(true));
	*ret_json = volume;
	return 0;
}

/* One element of a list, by the name of the list. */
static int list_element(const struct field *field, const char *text, struct json **ret_json, struct err *err)
{
	if (field->type == FIELD_STRINGS)
		*ret_json = json_new_string(text);
	else if (text_equal(field->name, "publish"))
		return spec_publish(text, ret_json, err);
	else if (text_equal(field->name, "volumes"))
		return spec_volume(text, ret_json, err);
	else
		return err_set(err, CLI_USAGE, "'%s' cannot be set by a short text: write it in a manifest for 'strata apply'",
			       field->name);
	return 0;
}

static int list_value(const struct field *field, const char *text, struct json **ret_json, struct err *err)
{
	auto_json struct json *list = json_new_array();
	auto_free char *copy = text_copy(text);
	char *rest = copy, *part;

	while ((part = strsep(&rest, ","))) {
		struct json *element;
		int result = list_element(field, part, &element, err);

		if (result < 0)
			return result;
		json_push(list, element);
	}
	*ret_json = take(list);
	return 0;
}

static int field_value(const struct field *field, const char *text, struct json **ret_json, struct err *err)
{
	if (!text[0]) {
		*ret_json = json_new_null();
		return 0;
	}
	switch (field->type) {
	case FIELD_BOOL:
		if (text_equal(text, "true") || text_equal(text, "false"))
			*ret_json = json_new_bool(text[0] == 't');
		else
			*ret_json = json_new_string(text);
		return 0;
	case FIELD_INT:
	case FIELD_DOUBLE:
		*ret_json = spec_number(text);
		return 0;
	case FIELD_LIST:
	case FIELD_STRINGS:
		return list_value(field, text, ret_json, err);
	case FIELD_OBJECT:
	case FIELD_MAP:
		return err_set(err, CLI_USAGE, "'%s' has fields of its own: set one of them, like %s.NAME=VALUE", field->name,
			       field->name);
	default:
		*ret_json = json_new_string(text);
		return 0;
	}
}

static int unknown_field(const struct field_table *table, const char *name, struct err *err)
{
	const char *names[NAMES_MAX], *nearest;
	size_t count = 0;

	for (size_t i = 0; i < table->count && count < NAMES_MAX; i++)
		names[count++] = table->fields[i].name;
	nearest = field_nearest(name, names, count);
	if (nearest)
		return err_set(err, CLI_USAGE, "unknown field '%s', did you mean '%s'?", shown(name), nearest);
	return err_set(err, CLI_USAGE, "unknown field '%s': see 'strata explain'", shown(name));
}

/* The object in which the last word of 'path' is a member, made on the way. */
static struct json *parent_of(struct json *object, char *path, const char **ret_last)
{
	char *rest = path, *word = strsep(&rest, ".");

	while (rest) {
		object = spec_member(object, word);
		word = strsep(&rest, ".");
	}
	*ret_last = word;
	return object;
}

int spec_assign_in(const struct field_table *table, const char *text, struct json *patch, struct err *err)
{
	const char *equals = strchr(text, '=');
	auto_free char *path = equals ? text_copy_length(text, (size_t)(equals - text)) : NULL;
	const struct field *field;
	const char *last;
	struct json *value = NULL, *parent;
	int result;

	if (!equals || equals == text)
		return err_set(err, CLI_USAGE, "'%s' is not FIELD=VALUE", shown(text));
	field = field_find(table, path);
	if (!field)
		return unknown_field(table, path, err);
	result = field_value(field, equals + 1, &value, err);
	if (result < 0)
		return result;
	parent = parent_of(patch, path, &last);
	json_set(parent, last, value);
	return 0;
}

int spec_assign(const struct kind *kind, const char *text, struct json *patch, struct err *err)
{
	if (text_starts_with(text, "label.")) {
		struct json *labels = spec_member(spec_member(patch, "meta"), "labels");
		const char *equals = strchr(text += strlen("label."), '=');

		/* "label.tier=" removes it: null in a merge patch. */
		if (equals && equals != text && !equals[1]) {
			auto_free char *key = text_copy_length(text, (size_t)(equals - text));

			json_set(labels, key, json_new_null());
			return 0;
		}
		return spec_label(text, labels, err);
	}
	if (text_starts_with(text, "spec."))
		text += strlen("spec.");
	return spec_assign_in(kind->spec, text, spec_member(patch, "spec"), err);
}
