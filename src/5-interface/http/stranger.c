#include "5-interface/http/stranger.h"

#include "4-service/api.h"
#include "5-interface/http/connection.h"
#include "base/clock.h"

static size_t strangers(const struct server *server)
{
	size_t count = 0;

	for (const struct connection *c = server->connections; c; c = c->next)
		count += c->peer.is_stranger;
	return count;
}

static bool take_join(struct joins *joins)
{
	int64_t now_ms = clock_monotonic_ms();

	if (now_ms - joins->since_ms >= 60000)
		*joins = (struct joins){ .since_ms = now_ms };
	return joins->spent++ < LIMIT_JOINS_PER_MINUTE;
}

int stranger_check(struct connection *connection, const struct route *route)
{
	connection->must_close = true;	/* One request, whatever it is. */
	if (strangers(connection->server) > LIMIT_STRANGERS)
		return reply_status(connection, 503, "%d clients without a certificate are here already: try again later", LIMIT_STRANGERS);
	if (!route || route->op != CALL_CLUSTER_JOIN || route->handler != &handler_call)
		return reply_status(connection, 401, "a client certificate of this host's CA is needed: "
				    "make one with 'strata cert issue NAME' on this host");
	if (connection->head.is_chunked || connection->head.content_length > LIMIT_JOIN_BYTES)
		return reply_status(connection, 413, "the body is larger than %d bytes, or its length is not said", LIMIT_JOIN_BYTES);
	if (!take_join(&connection->server->joins))
		return reply_status(connection, 429, "more than %d hosts have asked to join within a minute: try again in a minute",
				    LIMIT_JOINS_PER_MINUTE);
	return 1;
}
