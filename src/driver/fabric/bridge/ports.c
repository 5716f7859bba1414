#include "driver/fabric/bridge/ports.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { TABLE_MAX_BYTES = 64 << 20, TCP_LISTEN_STATE = 0x0a };

/* Binds as a server would. Returns 0 or -errno. */
static int try_bind(const struct fabric_publish *publish, int family)
{
	int type = publish->protocol == FABRIC_TCP ? SOCK_STREAM : SOCK_DGRAM, on = 1;
	auto_close int fd = socket(family, type | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(publish->host_port),
				     .sin6_addr = publish->host_address };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(publish->host_port) };
	bool is_ipv4 = family == AF_INET;

	if (fd < 0)
		return -errno;
	memcpy(&ipv4.sin_addr, &publish->host_address.s6_addr[12], sizeof(ipv4.sin_addr));
	/* Connections that linger after their server are not in the way; an address may come later. */
	if (publish->protocol == FABRIC_TCP)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_FREEBIND : IPV6_FREEBIND, &on, sizeof(on));
	if (!is_ipv4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, is_ipv4 ? (struct sockaddr *)&ipv4 : (struct sockaddr *)&ipv6, is_ipv4 ? sizeof(ipv4) : sizeof(ipv6)) < 0)
		return -errno;
	/* Two may bind with SO_REUSEADDR, but only one may listen. */
	if (publish->protocol == FABRIC_TCP && listen(fd, 1) < 0)
		return -errno;
	return 0;
}

/* The inode of a socket with this local port in a table like /proc/net/tcp, or 0. */
static unsigned long find_inode(const char *table, const struct fabric_publish *publish)
{
	auto_str struct str text = { 0 };
	struct err ignored;
	char *rest = NULL;

	if (file_read_all(table, TABLE_MAX_BYTES, &text, &ignored) < 0 || !text.size)
		return 0;
	for (char *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		unsigned port, state;
		unsigned long inode;

		if (sscanf(line, "%*s %*[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %lu", &port, &state, &inode) == 3 &&
		    port == publish->host_port && (publish->protocol == FABRIC_UDP || state == TCP_LISTEN_STATE))
			return inode;
	}
	return 0;
}

static bool has_socket(int pid, unsigned long inode)
{
	auto_free char *folder = text_format("/proc/%d/fd", pid);
	auto_free char *wanted = text_format("socket:[%lu]", inode);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		char target[64] = { 0 };

		if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0)
			found = text_equal(target, wanted);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int find_process(unsigned long inode)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	while (dir && !found && (entry = readdir(dir))) {
		int pid = atoi(entry->d_name);

		if (pid > 0 && has_socket(pid, inode))
			found = pid;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* "nginx (process 123)", or "another program". */
static void describe_owner(const struct fabric_publish *publish, struct str *out)
{
	const char *protocol = fabric_protocol_name(publish->protocol);
	unsigned long inode = 0;
	int pid;

	for (const char *const *suffix = (const char *const[]){ "", "6", NULL }; !inode && *suffix; suffix++) {
		auto_free char *table = text_format("/proc/net/%s%s", protocol, *suffix);

		inode = find_inode(table, publish);
	}
	pid = inode ? find_process(inode) : 0;
	if (pid) {
		auto_free char *path = text_format("/proc/%d/comm", pid);
		auto_str struct str name = { 0 };
		struct err ignored;

		if (file_read_all(path, 64, &name, &ignored) == 0 && name.size > 1) {
			name.data[name.size - 1] = '\0';	/* The newline. */
			str_printf(out, "%s (process %d)", shown(name.data), pid);
			return;
		}
	}
	str_append(out, "another program");
}

int ports_check_free(const struct fabric_publish *publish, struct err *err)
{
	bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&publish->host_address), is_any = !fabric_address_is_set(&publish->host_address);
	auto_str struct str owner = { 0 };
	int r = 0;

	if (is_ipv4 || is_any)
		r = try_bind(publish, AF_INET);
	if (r == 0 && !is_ipv4)
		r = try_bind(publish, AF_INET6);
	if (r == 0 || r == -EAFNOSUPPORT)		/* No IPv6 on this host: nobody else has its port either. */
		return 0;
	if (r != -EADDRINUSE)
		return err_set(err, r, "host port %u/%s: %m", publish->host_port, fabric_protocol_name(publish->protocol));
	describe_owner(publish, &owner);
	return err_set(err, -EBUSY, "host port %u/%s is in use by %s: choose another one",
		       publish->host_port, fabric_protocol_name(publish->protocol), str_text(&owner));
}
