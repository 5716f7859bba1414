#include "port/member.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { CLIENT_PORT = 2379 };

void member_list_done(struct member_list *list)
{
	for (size_t i = 0; i < list->items.count; i++) {
		free(list->items.items[i].name);
		free(list->items.items[i].peer_url);
		free(list->items.items[i].client_url);
	}
	vec_done(&list->items);
}

char *member_client_url(const struct member_params *params)
{
	bool is_ipv6 = strchr(params->address, ':') != NULL;

	return text_format("http%s://%s%s%s:%u", params->ca ? "s" : "", is_ipv6 ? "[" : "", params->address, is_ipv6 ? "]" : "",
			   params->client_port ? params->client_port : CLIENT_PORT);
}
