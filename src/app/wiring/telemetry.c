/*
 * Theory of operation.
 *
 * The sampler's thread writes the page and publishes it ten times a second, while the main thread may close one transport and open another:
 * 'mutex' stands between these two. Reading is the main thread's, as is replacing, and needs none.
 *
 * The transport uses the port after that of the API, UDP; others find it by the address that the node's status names.
 */
#include "app/wiring/telemetry.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "1-hardware/telemetry/host_sampler.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

struct telemetry_wiring {
	struct telemetry telemetry;		/* Its 'pages' are replaced with the mutex held. */
	struct page_shared own;
	struct host_sampler *sampler;
	char *cgroup;
	pthread_mutex_t mutex;
	uint8_t key[PAGES_KEY_BYTES];		/* What the transport was opened with. */
	union pages_address address;
	bool may_use_rdma;
};

static void sampled(void *data)
{
	struct telemetry_wiring *wiring = data;
	struct err ignored;			/* The next sample is not far, and old ones are told as such. */

	pthread_mutex_lock(&wiring->mutex);
	if (wiring->telemetry.pages)
		wiring->telemetry.pages->ops->publish(wiring->telemetry.pages, &ignored);
	pthread_mutex_unlock(&wiring->mutex);
}

/* ---- The transport ---- */

static void replace_pages(struct telemetry_wiring *wiring, struct pages_driver *pages)
{
	struct pages_driver *old = wiring->telemetry.pages;

	pthread_mutex_lock(&wiring->mutex);
	wiring->telemetry.pages = pages;
	pthread_mutex_unlock(&wiring->mutex);
	if (old)
		old->ops->close(old);
}

static bool parse_key(const char *text, uint8_t ret_key[PAGES_KEY_BYTES])
{
	if (!text || strlen(text) != 2 * PAGES_KEY_BYTES || text[strspn(text, "0123456789abcdef")])
		return false;
	for (size_t i = 0; i < PAGES_KEY_BYTES; i++) {
		char digits[] = { text[2 * i], text[2 * i + 1], '\0' };

		ret_key[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return true;
}

static bool parse_address(const char *text, union pages_address *ret_address)
{
	in_port_t *port;
	struct err ignored;

	if (!text || pages_address_parse(text, ret_address, &ignored) < 0)
		return false;
	port = ret_address->any.sa_family == AF_INET ? &ret_address->ipv4.sin_port : &ret_address->ipv6.sin6_port;
	*port = htons((in_port_t)(ntohs(*port) + 1));
	return *port != 0;
}

/* Where RDMA is wanted but not there UDP does. */
static int open_pages(const struct pages_params *params, bool may_use_rdma, struct pages_driver **ret_pages, struct err *err)
{
	int r = may_use_rdma ? pages_rdma.open(params, ret_pages, err) : -ENODEV;

	if (may_use_rdma && r == -ENODEV)
		log_line(LOG_WARNING, "%s: UDP is used instead", err->msg);
	return r == -ENODEV ? pages_udp.open(params, ret_pages, err) : r;
}

static void open_transport(struct telemetry_wiring *wiring, const uint8_t key[PAGES_KEY_BYTES], const union pages_address *address, bool may_use_rdma)
{
	struct pages_params params = { .own = wiring->own.page, .bind = *address };
	struct pages_driver *pages = NULL;
	struct err err = { 0 };

	memcpy(params.node, wiring->telemetry.node, sizeof(params.node));
	memcpy(params.key, key, sizeof(params.key));
	replace_pages(wiring, NULL);		/* It may have the same port. */
	if (open_pages(&params, may_use_rdma, &pages, &err) < 0) {
		log_line(LOG_WARNING, "other hosts cannot be told how loaded this one is: %s", err.msg);
		return;
	}
	memcpy(wiring->key, key, sizeof(wiring->key));
	wiring->address = *address;
	wiring->may_use_rdma = may_use_rdma;
	replace_pages(wiring, pages);
}

static bool is_as_it_was(const struct telemetry_wiring *wiring, const uint8_t key[PAGES_KEY_BYTES], const union pages_address *address, bool may_use_rdma)
{
	return wiring->telemetry.pages && memcmp(wiring->key, key, sizeof(wiring->key)) == 0 && wiring->may_use_rdma == may_use_rdma &&
	       memcmp(&wiring->address, address, sizeof(*address)) == 0;
}

/* Those that can be reached from the own address. */
static void set_peers(struct telemetry_wiring *wiring, const struct load_cluster *cluster)
{
	auto_free struct pages_peer *peers = alloc_array(NULL, cluster->count + 1, sizeof(*peers));
	struct err err = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < cluster->count; i++) {
		struct pages_peer peer = { 0 };

		if (parse_address(cluster->nodes[i].address, &peer.address) && peer.address.any.sa_family == wiring->address.any.sa_family &&
		    page_uid_parse(cluster->nodes[i].uid, peer.node, &err) == 0)
			peers[count++] = peer;
	}
	if (wiring->telemetry.pages->ops->set_peers(wiring->telemetry.pages, peers, count, &err) < 0)
		log_line(LOG_WARNING, "other hosts cannot be told how loaded this one is: %s", err.msg);
}

static const char *own_address(const struct telemetry_wiring *wiring, const struct load_cluster *cluster)
{
	char uid[PAGE_UID_TEXT_SIZE];

	page_uid_text(wiring->telemetry.node, uid);
	for (size_t i = 0; i < cluster->count; i++)
		if (text_equal(cluster->nodes[i].uid, uid))
			return cluster->nodes[i].address;
	return NULL;
}

static void set_cluster(void *data, const struct load_cluster *cluster)
{
	struct telemetry_wiring *wiring = data;
	union pages_address address;
	uint8_t key[PAGES_KEY_BYTES];

	if (!parse_key(cluster->key, key) || !parse_address(own_address(wiring, cluster), &address)) {
		replace_pages(wiring, NULL);
		return;
	}
	if (!is_as_it_was(wiring, key, &address, cluster->may_use_rdma))
		open_transport(wiring, key, &address, cluster->may_use_rdma);
	if (wiring->telemetry.pages)
		set_peers(wiring, cluster);
}

/* ---- Instances ---- */

/* Beside version 2 some hosts have controllers in version 1, at the same path below their own mount points. */
static char *file_of(const struct telemetry_wiring *wiring, const struct load_instance *instance, const char *file2, const char *controller1,
		     const char *file1)
{
	const char *folder = instance->is_container ? "containers" : "machines", *inner = instance->is_container ? "/container" : "";
	auto_free char *mount = text_format("/sys/fs/cgroup/%s", controller1);
	const char *relative = strstr(wiring->cgroup, "/strata-");

	if (instance->is_container && relative && access(mount, F_OK) == 0)
		return text_format("%s%s/%s/%s%s/%s", mount, relative, folder, instance->uid, inner, file1);
	return text_format("%s/%s/%s%s/%s", wiring->cgroup, folder, instance->uid, inner, file2);
}

static void set_instances(void *data, const struct load_instance *instances, size_t count)
{
	struct telemetry_wiring *wiring = data;
	auto_free struct host_sampler_instance *list = alloc_array(NULL, count + 1, sizeof(*list));
	struct err ignored;
	size_t known = 0;

	for (size_t i = 0; i < count; i++) {
		struct host_sampler_instance *item = &list[known];

		if (page_uid_parse(instances[i].uid, item->uid, &ignored) < 0)
			continue;
		item->cpu_path = file_of(wiring, &instances[i], "cpu.stat", "cpuacct", "cpuacct.usage");
		item->memory_path = file_of(wiring, &instances[i], "memory.current", "memory", "memory.usage_in_bytes");
		known++;
	}
	host_sampler_set_instances(wiring->sampler, list, known);
	for (size_t i = 0; i < known; i++) {
		free((char *)list[i].cpu_path);
		free((char *)list[i].memory_path);
	}
}

/* ---- Asking ---- */

static int load(void *data, const uint8_t node[PAGE_UID_BYTES], struct host_load *ret_load, struct err *err)
{
	return telemetry_load(&((struct telemetry_wiring *)data)->telemetry, node, ret_load, err);
}

static int page(void *data, const uint8_t node[PAGE_UID_BYTES], struct page *ret_page, uint64_t *ret_age_ms, struct err *err)
{
	return telemetry_page(&((struct telemetry_wiring *)data)->telemetry, node, ret_page, ret_age_ms, err);
}

struct load_source wiring_load_source(struct telemetry_wiring *wiring)
{
	if (!wiring)
		return (struct load_source){ 0 };
	return (struct load_source){ .set_cluster = set_cluster, .set_instances = set_instances, .load = load, .page = page, .data = wiring };
}

/* ---- Life ---- */

int wiring_open_telemetry(const char *node_uid, const char *cgroup, struct telemetry_wiring **ret_wiring, struct err *err)
{
	struct telemetry_wiring *wiring = alloc(sizeof(*wiring));
	struct host_sampler_params params = { .on_sample = sampled, .data = wiring };
	int r;

	*wiring = (struct telemetry_wiring){ .own.fd = -1, .cgroup = text_copy(cgroup) };
	pthread_mutex_init(&wiring->mutex, NULL);
	r = page_uid_parse(node_uid, wiring->telemetry.node, err);
	if (r == 0)
		r = page_shared_create(&wiring->own, err);
	if (r == 0) {
		wiring->telemetry.own = params.page = wiring->own.page;
		memcpy(params.node, wiring->telemetry.node, sizeof(params.node));
		r = host_sampler_new(&params, &wiring->sampler, err);
	}
	if (r == 0)
		r = host_sampler_start(wiring->sampler, err);
	if (r < 0) {
		wiring_close_telemetry(wiring);
		return r;
	}
	*ret_wiring = wiring;
	return 0;
}

void wiring_close_telemetry(struct telemetry_wiring *wiring)
{
	if (!wiring)
		return;
	host_sampler_free(wiring->sampler);
	replace_pages(wiring, NULL);
	page_shared_close(&wiring->own);
	pthread_mutex_destroy(&wiring->mutex);
	free(wiring->cgroup);
	explicit_bzero(wiring->key, sizeof(wiring->key));
	free(wiring);
}
