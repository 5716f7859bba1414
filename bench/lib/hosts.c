#include "hosts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/spawn.h"

enum { FIRST_PORT = 2379, PEER_OFFSET = 100, STORE_TIMEOUT_MS = 10000, READY_TIMEOUT_MS = 60000, LOOK_MS = 20 };

static const char *const names[HOSTS_NODES_MAX] = { "alpha", "beta", "gamma" };

/* etcd */

uint16_t hosts_port(size_t member)
{
	return (uint16_t)(FIRST_PORT + member);
}

static char *peer_url(size_t member)
{
	return text_format("http://127.0.0.1:%d", hosts_port(member) + PEER_OFFSET);
}

static char *client_url(size_t member)
{
	return text_format("http://127.0.0.1:%d", hosts_port(member));
}

static int start_member(const struct bench *bench, size_t member, const char *all, struct err *err)
{
	auto_free char *name = text_format("m%zu", member), *folder = text_format("%s/etcd%zu", bench->folder, member);
	auto_free char *peers = peer_url(member), *clients = client_url(member);
	const char *const argv[] = {
		"etcd", "--name", name, "--data-dir", folder, "--listen-client-urls", clients, "--advertise-client-urls", clients,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", all, "--log-level", "error", NULL,
	};
	pid_t pid;
	int pidfd, r;

	r = spawn_start(&(struct spawn_params){ .argv = argv }, &pid, &pidfd, err);
	if (r == 0)
		close(pidfd);		/* It ends with the namespace. */
	return r;
}

int hosts_start_etcd(const struct bench *bench, size_t members, struct err *err)
{
	auto_str struct str all = { 0 };
	int r = 0;

	for (size_t i = 0; i < members; i++) {
		auto_free char *url = peer_url(i);

		str_printf(&all, "%sm%zu=%s", i ? "," : "", i, url);
	}
	for (size_t i = 0; i < members && r == 0; i++)
		r = start_member(bench, i, all.data, err);
	return r;
}

int hosts_open_store(const struct hosts *hosts, struct loop *loop, struct store **ret_store, struct err *err)
{
	auto_free char *url = client_url(0);
	struct store_etcd_params etcd = {
		.endpoints = (const char *const[]){ url }, .endpoint_count = 1, .prefix = hosts->prefix, .writer = "bench",
		.timeout_ms = STORE_TIMEOUT_MS,
	};

	return store_open(&store_etcd, &(struct store_params){ .etcd = &etcd }, loop, ret_store, err);
}

/* Nodes */

/* Each asks a member of its own first, as on hosts that have one. */
static int write_config(const struct hosts *hosts, size_t number, const char *path, struct err *err)
{
	auto_str struct str text = { 0 };

	str_printf(&text, "store: etcd\netcd:\n  prefix: %s\n  timeout: %ds\n  endpoints: [", hosts->prefix, STORE_TIMEOUT_MS / 1000);
	for (size_t i = 0; i < hosts->member_count; i++) {
		auto_free char *url = client_url((number + i) % hosts->member_count);

		str_printf(&text, "%s%s", i ? ", " : "", url);
	}
	str_append(&text, "]\n");
	return file_write_atomic(path, text.data, text.size, 0600, err);
}

static int start_node(struct hosts *hosts, size_t number, int round, struct err *err)
{
	auto_free char *folder = text_format("%s%d", names[number], round);
	struct node *node = &hosts->nodes[number];
	int r;

	hosts->configs[number] = text_format("%s/%s.yaml", hosts->bench->folder, folder);
	node_init(node, hosts->bench, folder, true);
	node->hostname = names[number];
	node->config = hosts->configs[number];
	r = write_config(hosts, number, node->config, err);
	return r < 0 ? r : node_start(node, NULL, err);
}

int hosts_leader(struct hosts *hosts, struct node *asked, struct node **ret_leader, struct err *err)
{
	auto_str struct str answer = { 0 };
	auto_json struct json *json = NULL;
	const struct json *items;
	int r = node_call(asked, "GET", "/v1/nodes", NULL, &answer, err);

	*ret_leader = NULL;
	if (r == 0)
		r = json_parse(answer.data, answer.size, &json, err);
	items = json_get(json, "items");
	for (size_t i = 0; i < json_count(items) && r == 0; i++) {
		const char *name = json_string(json_path(json_at(items, i), "meta.name"), "");

		if (!json_bool(json_path(json_at(items, i), "status.is_leader"), false))
			continue;
		for (size_t k = 0; k < hosts->node_count; k++)
			if (text_equal(hosts->nodes[k].hostname, name))
				*ret_leader = &hosts->nodes[k];
	}
	return r;
}

/* One node leads, and every one knows that all are ready. */
static int wait_ready(struct hosts *hosts, struct err *err)
{
	double end = now_ms() + READY_TIMEOUT_MS;
	struct node *leader = NULL;
	int r = 0;

	for (size_t i = 0; i < hosts->node_count && r == 0; i++)
		r = node_wait_for(&hosts->nodes[i], "/v1/nodes", "\"state\":\"ready\"", hosts->node_count, err);
	while (r == 0) {
		r = hosts_leader(hosts, &hosts->nodes[0], &leader, err);
		if (leader)
			return 0;
		if (now_ms() > end)
			return err_set(err, -ETIMEDOUT, "no node leads");
		usleep(LOOK_MS * 1000);
	}
	return r;
}

int hosts_start(struct hosts *hosts, const struct bench *bench, size_t members, size_t nodes, int round, struct err *err)
{
	int r = 0;

	*hosts = (struct hosts){ .bench = bench, .prefix = text_format("/strata/bench%d/", round), .member_count = members };
	for (; hosts->node_count < nodes && r == 0; hosts->node_count++)
		r = start_node(hosts, hosts->node_count, round, err);
	return r < 0 ? r : wait_ready(hosts, err);
}

void hosts_done(struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->node_count; i++) {
		node_done(&hosts->nodes[i]);
		free(hosts->configs[i]);
	}
	free(hosts->prefix);
}
