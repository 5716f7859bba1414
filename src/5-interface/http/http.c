/*
 * The listeners: the unix socket always, TLS when asked; a thread each (see server.c).
 */
#include "5-interface/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "4-service/pki/pki.h"
#include "4-service/view.h"
#include "5-interface/http/helpers.h"
#include "5-interface/http/peer.h"
#include "5-interface/http/server.h"
#include "5-interface/http/tls.h"
#include "base/mem.h"
#include "base/str.h"

enum { BACKLOG = 512 };
static const mode_t SOCKET_MODE = 0660;

struct http {
	struct http_params params;	/* Texts are ours. */
	char *texts[5];
	bool owns_socket;		/* We have bound the path. */
	struct server *unix_server;
	pthread_mutex_t lock;		/* Over tls_server, which the view's writer looks at. */
	struct server *tls_server;
	char *listen;			/* Of tls_server. */
};

static int unix_address(const char *path, struct sockaddr_un *ret_address, struct err *err)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return err_set(err, -ENAMETOOLONG, "socket path '%s' is longer than %zu bytes: choose a shorter one",
			       shown(path), sizeof(ret_address->sun_path) - 1);
	strcpy(ret_address->sun_path, path);
	return 0;
}

/* A socket that nobody answers on was left behind by a daemon that was killed. */
static int remove_stale(const struct sockaddr_un *address, struct err *err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(err, -errno, "socket: %m");
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return err_set(err, -EADDRINUSE, "another daemon answers on '%s'", address->sun_path);
	if (errno == ENOENT)
		return 0;
	if (errno != ECONNREFUSED)
		return err_set(err, -errno, "'%s': %m", address->sun_path);
	if (unlink(address->sun_path) < 0)
		return err_set(err, -errno, "remove the old socket '%s': %m", address->sun_path);
	return 0;
}

/* Nobody else may connect before the group is right. */
static int bind_unix(int fd, const struct sockaddr_un *address, gid_t group, struct err *err)
{
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return err_set(err, -errno, "bind '%s': %m", address->sun_path);
	if (group != (gid_t)-1 && chown(address->sun_path, (uid_t)-1, group) < 0 && geteuid() == 0)
		return err_set(err, -errno, "chown '%s': %m", address->sun_path);
	if (chmod(address->sun_path, SOCKET_MODE) < 0)
		return err_set(err, -errno, "chmod '%s': %m", address->sun_path);
	if (listen(fd, BACKLOG) < 0)
		return err_set(err, -errno, "listen on '%s': %m", address->sun_path);
	return 0;
}

static int listen_unix(const char *path, gid_t group, int *ret_fd, struct err *err)
{
	struct sockaddr_un address;
	auto_close int fd = -1;
	int r;

	r = unix_address(path, &address, err);
	if (r == 0)
		r = remove_stale(&address, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %m");
	r = bind_unix(fd, &address, group, err);
	if (r < 0)
		return r;
	*ret_fd = take_fd(fd);
	return 0;
}

static int start_unix(struct http *http, struct err *err)
{
	struct server_params params = { .http = http->params, .group_name = http->params.group };
	int r;

	params.group = peer_group_id(http->params.group);
	params.listen_fd = take_fd(http->params.listen_fd);
	if (params.listen_fd < 0) {
		r = listen_unix(http->params.socket_path, params.group, &params.listen_fd, err);
		if (r < 0)
			return r;
		http->owns_socket = true;
	} else {
		fcntl(params.listen_fd, F_SETFL, fcntl(params.listen_fd, F_GETFL) | O_NONBLOCK);
	}
	r = server_start(&params, &http->unix_server, err);
	if (r < 0)
		close(params.listen_fd);
	return r;
}

/* "127.0.0.1:8443", "[::1]:8443": numbers only, so that no name service is asked. */
static int parse_listen(const char *listen, char address[64], struct addrinfo **ret_info, struct err *err)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
					.ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(listen, ':');
	size_t length = colon ? (size_t)(colon - listen) : 0;
	const char *host = listen;

	if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
		host++;
		length -= 2;
	}
	if (!length || length >= 64 || strspn(colon + 1, "0123456789") != strlen(colon + 1) || !colon[1])
		return err_set(err, -EINVAL, "api.listen: '%s' is not of the form ADDRESS:PORT, such as 127.0.0.1:8443",
			       shown(listen));
	memcpy(address, host, length);
	address[length] = '\0';
	if (atoi(colon + 1) < 1 || atoi(colon + 1) > 65535 || getaddrinfo(address, colon + 1, &hints, ret_info) != 0)
		return err_set(err, -EINVAL, "api.listen: '%s' has no valid numeric address and port", shown(listen));
	return 0;
}

static int listen_tcp(const struct addrinfo *info, const char *listen_text, int *ret_fd, struct err *err)
{
	auto_close int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(err, -errno, "socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(err, -errno, "api.listen: '%s': %m", shown(listen_text));
	*ret_fd = take_fd(fd);
	return 0;
}

static void on_view_changed(void *data)
{
	struct http *http = data;

	server_view_changed(http->unix_server);
	pthread_mutex_lock(&http->lock);
	if (http->tls_server)
		server_view_changed(http->tls_server);
	pthread_mutex_unlock(&http->lock);
}

/* All that can fail for a reason a person can do something about. */
static int prepare_tls(const struct http *http, const char *listen_text, struct server_params *ret_params,
		       struct err *err)
{
	struct addrinfo *info = NULL;
	const struct pki_host host = {
		.uid = http->params.node_uid, .addresses = (const char *[]){ ret_params->address }, .address_count = 1,
	};
	int r;

	*ret_params = (struct server_params){ .http = http->params, .is_tls = true, .listen_fd = -1, .group = (gid_t)-1 };
	r = parse_listen(listen_text, ret_params->address, &info, err);
	if (r < 0)
		return r;
	r = listen_tcp(info, listen_text, &ret_params->listen_fd, err);
	freeaddrinfo(info);
	return r < 0 ? r : pki_prepare_host(http->params.certificates, &host, err);
}

static void set_tls_server(struct http *http, struct server *server)
{
	pthread_mutex_lock(&http->lock);
	http->tls_server = server;
	pthread_mutex_unlock(&http->lock);
}

static void stop_tls(struct http *http)
{
	struct server *old = http->tls_server;

	set_tls_server(http, NULL);
	server_stop(old);
	text_replace(&http->listen, NULL);
}

int http_set_listen(struct http *http, const char *listen_text, struct err *err)
{
	struct server_params params = { .listen_fd = -1 };
	struct server *server;
	int r = 0;

	if (listen_text && !*listen_text)
		listen_text = NULL;
	if (text_equal(listen_text, http->listen))
		return 0;
	if (listen_text)
		r = prepare_tls(http, listen_text, &params, err);
	if (r == 0)	/* One after the other: two contexts with TLS at a time confuse libwebsockets' statics. */
		stop_tls(http);
	if (r == 0 && listen_text)
		r = server_start(&params, &server, err);
	if (r == 0 && listen_text) {
		set_tls_server(http, server);
		text_replace(&http->listen, listen_text);
	} else if (params.listen_fd >= 0) {
		close(params.listen_fd);
	}
	return r;
}

int http_certificates_changed(struct http *http, struct err *err)
{
	struct pki_paths paths = pki_paths(http->params.certificates);
	int r = tls_try(&paths, err);

	pki_paths_done(&paths);
	if (r < 0)
		return r;
	server_certificates_changed(http->unix_server);
	pthread_mutex_lock(&http->lock);
	if (http->tls_server)
		server_certificates_changed(http->tls_server);
	pthread_mutex_unlock(&http->lock);
	return 0;
}

static void copy_params(struct http *http, const struct http_params *params)
{
	http->params = *params;
	http->params.socket_path = http->texts[0] = text_copy(params->socket_path);
	http->params.group = http->texts[1] = text_copy(params->group ? params->group : "strata");
	http->params.staging = http->texts[2] = text_copy(params->staging);
	http->params.certificates = http->texts[3] = text_copy(params->certificates);
	http->params.node_uid = http->texts[4] = text_copy(params->node_uid);
}

int http_start(const struct http_params *params, struct http **ret_http, struct err *err)
{
	struct http *http = alloc(sizeof(*http));
	int r;

	copy_params(http, params);
	pthread_mutex_init(&http->lock, NULL);
	uploads_sweep(http->params.staging);
	r = start_unix(http, err);
	if (r == 0) {
		view_listen(http->params.view, on_view_changed, http);
		r = http_set_listen(http, params->listen, err);
	}
	if (r < 0) {
		http_stop(http);
		return r;
	}
	*ret_http = http;
	return 0;
}

void http_finish(struct http *http)
{
	if (!http)
		return;
	server_finish(http->tls_server);
	server_finish(http->unix_server);
}

void http_stop(struct http *http)
{
	if (!http)
		return;
	view_listen(http->params.view, NULL, NULL);
	stop_tls(http);
	server_stop(http->unix_server);
	if (http->owns_socket)
		unlink(http->params.socket_path);
	for (size_t i = 0; i < ARRAY_COUNT(http->texts); i++)
		free(http->texts[i]);
	pthread_mutex_destroy(&http->lock);
	free(http);
}
