#include "driver/store/etcd/etcd_fixture.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/free_port_fixture.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "base/vec.h"

enum { CLIENT_PORT = 2379, PEER_PORT = 2380 };

void etcd_require(void)
{
	auto_free char *path = NULL;
	void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	struct err err;

	if (spawn_find("etcd", &path, &err) < 0) {
		printf("# skipped: etcd is not installed: install the package etcd-server\n");
		exit(77);
	}
	if (!library) {
		printf("# skipped: libcurl is not installed: install the package libcurl4\n");
		exit(77);
	}
	dlclose(library);
}

bool etcd_can_cut(void)
{
	return geteuid() == 0 && getenv("STRATA_IN_SANDBOX");
}

/* "ip link ..." */
static void run_ip(const char *command)
{
	auto_free char *words = text_copy(command);
	VEC(const char *) argv = { 0 };
	char *rest = words;
	struct err err = { 0 };

	for (char *word; (word = strsep(&rest, " "));)
		*vec_push(&argv) = word;
	*vec_push(&argv) = NULL;
	if (spawn_run(&(struct spawn_params){ .argv = argv.items }, NULL, &err) < 0)
		fail_msg("%s: %s", command, err.msg);
	vec_done(&argv);
}

__attribute__((format(printf, 1, 2))) static void ip(const char *format, ...)
{
	char command[256];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	run_ip(command);
}

static void add_cables(const struct etcd_cluster *cluster)
{
	ip("ip link add etcd-hub type bridge");
	ip("ip address add 10.99.7.254/24 dev etcd-hub");
	ip("ip link set etcd-hub up");
	for (size_t i = 0; i < cluster->how.count; i++) {
		ip("ip netns add etcd%zu", i);
		ip("ip link add etcd-cable%zu type veth peer name eth0 netns etcd%zu", i, i);
		ip("ip link set etcd-cable%zu master etcd-hub up", i);
		ip("ip -n etcd%zu address add %s/24 dev eth0", i, cluster->members[i].address);
		ip("ip -n etcd%zu link set eth0 up", i);
		ip("ip -n etcd%zu link set lo up", i);
	}
}

static void remove_cables(const struct etcd_cluster *cluster)
{
	for (size_t i = 0; i < cluster->how.count; i++)
		ip("ip netns delete etcd%zu", i);
	ip("ip link delete etcd-hub");
}

static void name_members(struct etcd_cluster *cluster)
{
	for (size_t i = 0; i < cluster->how.count; i++) {
		struct etcd_member *member = &cluster->members[i];

		member->address = cluster->how.has_cables ? text_format("10.99.7.%zu", i + 1) : text_copy("127.0.0.1");
		member->url = text_format("http%s://%s:%d", cluster->how.has_tls ? "s" : "", member->address,
					  cluster->how.has_cables ? CLIENT_PORT : free_port());
		member->peer_url = text_format("http://%s:%d", member->address, cluster->how.has_cables ? PEER_PORT : free_port());
		member->pidfd = -1;
		cluster->endpoints[i] = member->url;
	}
}

static char *list_peers(const struct etcd_cluster *cluster)
{
	struct str list = { 0 };

	for (size_t i = 0; i < cluster->how.count; i++)
		str_printf(&list, "%sm%zu=%s", i ? "," : "", i, cluster->members[i].peer_url);
	return list.data;
}

void etcd_member_start(struct etcd_cluster *cluster, size_t index)
{
	struct etcd_member *member = &cluster->members[index];
	auto_free char *name = text_format("m%zu", index), *space = text_format("etcd%zu", index);
	auto_free char *folder = text_format("%s/%s", cluster->folder, name), *log_path = text_format("%s.log", folder);
	auto_free char *peers = list_peers(cluster);
	/* Quick heartbeats: short leases, short elections. */
	const char *const argv[] = {
		"etcd", "--name", name, "--data-dir", folder, "--listen-client-urls", member->url, "--advertise-client-urls", member->url,
		"--listen-peer-urls", member->peer_url, "--initial-advertise-peer-urls", member->peer_url, "--initial-cluster", peers,
		"--heartbeat-interval", "20", "--election-timeout", "200", "--log-level", "error", NULL,
	};
	VEC(const char *) all = { 0 };
	auto_fclose FILE *log = fopen(log_path, "ae");
	struct err err = { 0 };

	assert_non_null(log);
	if (cluster->how.has_cables) {
		*vec_push(&all) = "ip";
		*vec_push(&all) = "netns";
		*vec_push(&all) = "exec";
		*vec_push(&all) = space;
	}
	for (const char *const *word = argv; *word; word++)
		*vec_push(&all) = *word;
	for (const char *const *word = cluster->how.options; word && *word; word++)
		*vec_push(&all) = *word;
	*vec_push(&all) = NULL;
	if (spawn_start(&(struct spawn_params){ .argv = all.items, .fds = (struct spawn_fd[]){ { fileno(log), 1 }, { fileno(log), 2 } },
						.fd_count = 2, .ends_with_parent = true }, &member->pid, &member->pidfd, &err) < 0)
		fail_msg("%s", err.msg);
	vec_done(&all);
}

void etcd_member_kill(struct etcd_cluster *cluster, size_t index)
{
	struct etcd_member *member = &cluster->members[index];

	if (!member->pid)
		return;
	kill(member->pid, SIGKILL);
	waitpid(member->pid, NULL, 0);
	close(member->pidfd);
	member->pid = 0;
}

void etcd_member_cut(struct etcd_cluster *cluster, size_t index, bool is_cut)
{
	assert_true(cluster->how.has_cables);
	ip("ip link set etcd-cable%zu %s", index, is_cut ? "down" : "up");
}

void etcd_cluster_new_prefix(struct etcd_cluster *cluster)
{
	free(cluster->prefix);
	cluster->prefix = text_format("/test/%u/", cluster->prefixes++);
	cluster->params.prefix = cluster->prefix;
}

void etcd_cluster_start(struct etcd_cluster *cluster, const struct etcd_cluster_params *how)
{
	const char *tmp = getenv("TMPDIR");

	*cluster = (struct etcd_cluster){ .how = *how, .folder = text_format("%s/strata-etcd-XXXXXX", tmp ? tmp : "/tmp") };
	assert_non_null(mkdtemp(cluster->folder));
	name_members(cluster);
	if (how->has_cables)
		add_cables(cluster);
	for (size_t i = 0; i < how->count; i++)
		etcd_member_start(cluster, i);
	cluster->params = (struct store_etcd_params){ .endpoints = cluster->endpoints, .endpoint_count = how->count, .writer = "test" };
	etcd_cluster_new_prefix(cluster);
}

void etcd_cluster_stop(struct etcd_cluster *cluster)
{
	struct err err;

	for (size_t i = 0; i < cluster->how.count; i++) {
		struct etcd_member *member = &cluster->members[i];

		etcd_member_kill(cluster, i);
		free(member->address);
		free(member->url);
		free(member->peer_url);
	}
	if (cluster->how.has_cables)
		remove_cables(cluster);
	file_remove_tree(cluster->folder, &err);
	free(cluster->folder);
	free(cluster->prefix);
	*cluster = (struct etcd_cluster){ 0 };
}
