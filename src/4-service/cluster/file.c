#include "4-service/cluster/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { FILE_MAX_BYTES = 64 << 10 };

#define DEFAULT_PORT "8443"

static char *path_of(const char *directory)
{
	return text_format("%s/cluster", directory);
}

int cluster_file_read(const char *directory, struct cluster_settings *ret_settings, struct err *err)
{
	auto_free char *path = path_of(directory);
	auto_json struct json *json = NULL;
	auto_str struct str text = { 0 };
	int r;

	*ret_settings = (struct cluster_settings){ 0 };
	r = file_read_all(path, FILE_MAX_BYTES, &text, err);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = json_parse(str_text(&text), text.size, &json, err);
	if (r == 0)
		r = field_decode(&cluster_settings_table, json, FIELD_STORED, "", ret_settings, err);
	if (r == 0 && (!ret_settings->uid || !ret_settings->prefix || !ret_settings->endpoints.count))
		r = err_set(err, -EUCLEAN, "lacks 'uid', 'prefix' or 'endpoints'");
	if (r == 0)
		return 0;
	field_done(&cluster_settings_table, ret_settings);
	err->code = -EUCLEAN;
	return err_prefix(err, "'%s' is damaged: restore it from a backup of the state folder", path);
}

int cluster_file_write(const char *directory, const struct cluster_settings *settings, struct err *err)
{
	auto_free char *path = path_of(directory);
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text, .indent = 2 };

	field_encode(&cluster_settings_table, settings, &writer, NULL);
	str_append_char(&text, '\n');
	return file_write_atomic(path, text.data, text.size, 0600, err);
}

int cluster_file_remove(const char *directory, struct err *err)
{
	auto_free char *path = path_of(directory);

	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove '%s': %m", path);
	return file_sync_dir(directory, err);
}

void cluster_access_init(const char *directory, const struct cluster_settings *settings, const char *writer, struct cluster_access *access)
{
	auto_free char *folder = text_format("%s/tls", directory);
	bool is_ours = !settings->external;

	access->paths = pki_paths(folder);
	access->etcd = (struct store_etcd_params){
		.endpoints = settings->endpoints.items, .endpoint_count = settings->endpoints.count, .prefix = settings->prefix, .writer = writer,
		.ca = is_ours ? access->paths.ca : settings->etcd_ca, .certificate = is_ours ? access->paths.certificate : settings->etcd_certificate,
		.key = is_ours ? access->paths.key : settings->etcd_key,
	};
	access->door = (struct member_door){
		.endpoints = access->etcd.endpoints, .endpoint_count = access->etcd.endpoint_count,
		.ca = access->etcd.ca, .certificate = access->etcd.certificate, .key = access->etcd.key,
	};
}

void cluster_access_done(struct cluster_access *access)
{
	pki_paths_done(&access->paths);
}

int cluster_place_init(const char *directory, const char *node_uid, const char *cgroup, const char *listen, struct cluster_place *place,
		       struct err *err)
{
	auto_free char *folder = text_format("%s/tls", directory), *unused = NULL;
	int r;

	*place = (struct cluster_place){ 0 };
	r = cluster_address_parse(listen, &place->address, &unused, err);
	if (r < 0)
		return r;
	place->paths = pki_paths(folder);
	place->directory = text_format("%s/etcd", directory);
	place->params = (struct member_params){
		.directory = place->directory, .cgroup = cgroup, .name = node_uid, .address = place->address,
		.ca = place->paths.ca, .certificate = place->paths.certificate, .key = place->paths.key,
	};
	return 0;
}

void cluster_place_done(struct cluster_place *place)
{
	pki_paths_done(&place->paths);
	free(place->address);
	free(place->directory);
	*place = (struct cluster_place){ 0 };
}

/* ---- Addresses ---- */

/* "[::1]:8443" -> "::1", "8443" (or null). */
static int split(const char *text, char **ret_host, char **ret_port, struct err *err)
{
	const char *colon = strrchr(text, ':'), *end;

	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return err_set(err, -EINVAL, "'%s' is no address: use one like [2001:db8::1]:8443", shown(text));
		*ret_host = text_copy_length(text + 1, (size_t)(end - text - 1));
		*ret_port = end[1] ? text_copy(end + 2) : NULL;
		return 0;
	}
	if (colon && colon != strchr(text, ':'))
		colon = NULL;			/* IPv6 without a port. */
	*ret_host = text_copy_length(text, colon ? (size_t)(colon - text) : strlen(text));
	*ret_port = colon ? text_copy(colon + 1) : NULL;
	return 0;
}

static bool is_unspecified(const char *address)
{
	return text_equal(address, "0.0.0.0") || text_equal(address, "::");
}

static bool is_multicast(const char *address)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, address, &v4) == 1)
		return IN_MULTICAST(ntohl(v4.s_addr)) || v4.s_addr == htonl(INADDR_BROADCAST);
	return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_MULTICAST(&v6);
}

bool cluster_address_is_loopback(const char *address)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, address, &v4) == 1)
		return ntohl(v4.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
	return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int cluster_address_parse(const char *text, char **ret_address, char **ret_listen, struct err *err)
{
	auto_free char *host = NULL, *port = NULL;
	unsigned char bytes[sizeof(struct in6_addr)];
	int r = split(text, &host, &port, err);
	bool is_ipv6;

	if (r < 0)
		return r;
	is_ipv6 = inet_pton(AF_INET6, host, bytes) == 1;
	if (!is_ipv6 && inet_pton(AF_INET, host, bytes) != 1)
		return err_set(err, -EINVAL, "address: '%s' is no numeric address: use one like 192.0.2.1 or 192.0.2.1:" DEFAULT_PORT, shown(text));
	if (is_unspecified(host) || is_multicast(host))
		return err_set(err, -EINVAL, "address: '%s' is no address that others can reach: name that of one interface", shown(text));
	if (port && (strspn(port, "0123456789") != strlen(port) || atoi(port) < 1 || atoi(port) > 65535))
		return err_set(err, -EINVAL, "address: '%s' is no port: use 1 to 65535", shown(port));
	*ret_listen = text_format("%s%s%s:%s", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port ? port : DEFAULT_PORT);
	*ret_address = take(host);
	return 0;
}

/* Afterwards would be too late: a daemon of a cluster that cannot listen does not start. */
int cluster_address_check(const char *listen_text, const char *present, struct err *err)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	auto_free char *host = NULL, *port = NULL;
	struct addrinfo *info = NULL;
	auto_close int fd = -1;
	int r = split(listen_text, &host, &port, err);

	if (r < 0 || text_equal(listen_text, present))
		return r;
	if (getaddrinfo(host, port, &hints, &info) != 0)
		return err_set(err, -EINVAL, "address: '%s' is no address", shown(listen_text));
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) < 0)
		r = errno == EADDRNOTAVAIL ? err_set(err, -EINVAL, "address: '%s' is no address of this host: see 'ip address'", shown(host)) :
		    errno == EADDRINUSE ? err_set(err, -EBUSY, "address: '%s' is in use: give another port, or end who listens there (this daemon, "
						  "when 'api.listen' is set: 'strata config set api.listen=')", shown(listen_text)) :
					  err_set(err, -errno, "address: '%s': %m", shown(listen_text));
	freeaddrinfo(info);
	return r;
}

/* What the kernel would send from. Nothing is sent: it is only asked for the route. */
int cluster_address_guess(const char *remote, char **ret_address, struct err *err)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM };
	auto_free char *host = NULL, *port = NULL;
	struct sockaddr_storage local;
	socklen_t size = sizeof(local);
	struct addrinfo *info = NULL;
	auto_close int fd = -1;
	char text[NI_MAXHOST];
	/* A documentation network (RFC 5737), which nobody has a route of its own to. */
	int r = split(remote ? remote : "192.0.2.1:1", &host, &port, err);

	if (r < 0)
		return r;
	if (getaddrinfo(host, port ? port : DEFAULT_PORT, &hints, &info) == 0) {
		fd = socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && (connect(fd, info->ai_addr, info->ai_addrlen) < 0 || getsockname(fd, (struct sockaddr *)&local, &size) < 0))
			closep(&fd), fd = -1;
		freeaddrinfo(info);
	}
	if (fd < 0 || getnameinfo((struct sockaddr *)&local, size, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
		return err_set(err, -EINVAL, "which address of this host the others shall use cannot be seen (there is no route%s%s): name it with --address",
			       remote ? " to " : "", remote ? shown(remote) : "");
	*ret_address = text_copy(text);
	return 0;
}
