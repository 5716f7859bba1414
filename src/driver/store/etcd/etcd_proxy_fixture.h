/*
 * etcd_proxy_fixture.h - a proxy before an etcd that loses answers, keeps requests back and is cut off, when a test says so.
 *
 * What does not work fails the running cmocka test.
 * Threads: all functions from the test's; the proxy has its own.
 */
#ifndef DRIVER_STORE_ETCD_ETCD_PROXY_FIXTURE_H
#define DRIVER_STORE_ETCD_ETCD_PROXY_FIXTURE_H

#include <stdbool.h>

struct etcd_proxy;

struct etcd_proxy *etcd_proxy_start(const char *target_url);
void etcd_proxy_stop(struct etcd_proxy *proxy);
const char *etcd_proxy_url(const struct etcd_proxy *proxy);

/* The answers to the next 'count' transactions are thrown away, and the connections closed. */
void etcd_proxy_drop_answers(struct etcd_proxy *proxy, unsigned count);
/* The next 'count' transactions are kept back; the last of those is sent, and its answer read, by release(). */
void etcd_proxy_hold(struct etcd_proxy *proxy, unsigned count);
void etcd_proxy_release(struct etcd_proxy *proxy);
unsigned etcd_proxy_left(struct etcd_proxy *proxy);	/* Of those to be dropped or held. */
/* Closes all connections, and new ones at once. */
void etcd_proxy_cut(struct etcd_proxy *proxy, bool is_cut);

#endif
