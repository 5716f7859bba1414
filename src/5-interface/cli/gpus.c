#include "5-interface/cli/gpus.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { GPUS_MAX = 64 };

/* Which numbers are there, as bits: NVIDIA's driver calls them nvidia0, nvidia1, ... */
static uint64_t find_gpus(const char *folder)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < GPUS_MAX; i++) {
		auto_free char *path = text_format("%s/nvidia%u", folder, i);

		if (access(path, F_OK) == 0)
			found |= UINT64_C(1) << i;
	}
	return found;
}

static int bad_form(const char *text, struct err *err)
{
	return err_set(err, CLI_USAGE, "--gpus: '%s' is not understood: use all, a count like 2, or numbers like 0,1 (device=0 for one)",
		       shown(text));
}

static int parse_number(const char *text, unsigned *ret_number)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	*ret_number = (unsigned)number;
	return isdigit((unsigned char)text[0]) && !*end && number <= GPUS_MAX ? 0 : -EINVAL;
}

static int choose_numbers(const char *text, const char *list, uint64_t found, uint64_t *ret_chosen, struct err *err)
{
	auto_free char *copy = text_copy(list);
	char *rest = copy, *part;
	uint64_t chosen = 0;

	while ((part = strsep(&rest, ","))) {
		unsigned number;

		if (parse_number(part, &number) < 0)
			return bad_form(text, err);
		if (number >= GPUS_MAX || !(found >> number & 1))
			return err_set(err, -ENODEV, "--gpus: this host has no GPU %u: see 'ls /dev/nvidia*'", number);
		chosen |= UINT64_C(1) << number;
	}
	*ret_chosen = chosen;
	return 0;
}

static int choose_count(const char *text, uint64_t found, uint64_t *ret_chosen, struct err *err)
{
	unsigned count, left;

	if (parse_number(text, &count) < 0 || count == 0)
		return bad_form(text, err);
	*ret_chosen = 0;
	for (left = count; left && found; left--) {
		*ret_chosen |= found & -found;
		found &= found - 1;
	}
	return left ? err_set(err, -ENODEV, "--gpus: %u are wanted, but this host has only %u", count, count - left) : 0;
}

static int choose(const char *text, uint64_t found, uint64_t *ret_chosen, struct err *err)
{
	if (!found)
		return err_set(err, -ENODEV, "--gpus: this host has no NVIDIA GPU (/dev/nvidia0 is missing): install the driver, "
			       "or name other devices with --device");
	*ret_chosen = found;
	if (text_equal(text, "all"))
		return 0;
	if (text_starts_with(text, "device="))
		return choose_numbers(text, text + strlen("device="), found, ret_chosen, err);
	return strchr(text, ',') ? choose_numbers(text, text, found, ret_chosen, err) : choose_count(text, found, ret_chosen, err);
}

int gpus_add(const char *folder, const char *text, struct json *devices, struct err *err)
{
	static const char *const common[] = { "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset" };
	uint64_t chosen;
	int result = choose(text, find_gpus(folder), &chosen, err);

	if (result < 0)
		return result;
	for (unsigned i = 0; i < GPUS_MAX; i++) {
		auto_free char *path = text_format("%s/nvidia%u", folder, i);

		if (chosen >> i & 1)
			json_push(devices, json_new_string(path));
	}
	for (size_t i = 0; i < ARRAY_COUNT(common); i++) {
		auto_free char *path = text_format("%s/%s", folder, common[i]);

		if (access(path, F_OK) == 0)
			json_push(devices, json_new_string(path));
	}
	return 0;
}
