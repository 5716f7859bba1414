#include "port/machine.h"

static void free_texts(char **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i]);
}

void machine_capabilities_done(struct machine_capabilities *capabilities)
{
	free_texts(capabilities->warnings.items, capabilities->warnings.count);
	vec_done(&capabilities->warnings);
}

void machine_uids_done(struct machine_uids *uids)
{
	free_texts(uids->items.items, uids->items.count);
	vec_done(&uids->items);
}
