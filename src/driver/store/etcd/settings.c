#include "driver/store/etcd/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum { TIMEOUT_MS = 5000 };

static int add_endpoint(const char *endpoint, struct etcd_settings *settings, struct err *err)
{
	const char *host = text_starts_with(endpoint, "https://") ? endpoint + 8 : text_starts_with(endpoint, "http://") ? endpoint + 7 : "";
	size_t length = strlen(endpoint);

	if (length > LIMIT_URL_BYTES || !host[0] || strcspn(host, "/?#@ \t\r\n") < strlen(host) - (endpoint[length - 1] == '/'))
		return err_set(err, -EINVAL, "endpoint '%s' is not http[s]://HOST:PORT: use one like https://192.0.2.1:2379", shown(endpoint));
	*vec_push(&settings->endpoints) = text_copy_length(endpoint, length - (endpoint[length - 1] == '/'));
	return 0;
}

static int add_endpoints(const char *const *endpoints, size_t count, struct etcd_settings *settings, struct err *err)
{
	int r = 0;

	if (count == 0)
		return err_set(err, -EINVAL, "a store in etcd needs endpoints: name at least one, like https://192.0.2.1:2379");
	if (count > LIMIT_ETCD_ENDPOINTS)
		return err_set(err, -EINVAL, "%zu endpoints are too many: %d are enough", count, LIMIT_ETCD_ENDPOINTS);
	for (size_t i = 0; i < count && r == 0; i++)
		r = add_endpoint(endpoints[i], settings, err);
	return r;
}

static int check_file(const char *what, const char *path, struct err *err)
{
	if (path && access(path, R_OK) < 0)
		return err_set(err, -errno, "%s '%s' cannot be read: %m", what, shown(path));
	return 0;
}

static int set_tls(const struct store_etcd_params *params, struct etcd_settings *settings, struct err *err)
{
	int r = check_file("the CA", params->ca, err);

	if (r == 0)
		r = check_file("the client certificate", params->certificate, err);
	if (r == 0)
		r = check_file("the client key", params->key, err);
	if (r == 0 && !params->certificate != !params->key)
		r = err_set(err, -EINVAL, "a client certificate and its key belong together: give both or neither");
	settings->ca = text_copy(params->ca);
	settings->certificate = text_copy(params->certificate);
	settings->key = text_copy(params->key);
	return r;
}

int etcd_settings_init(const struct store_etcd_params *params, struct etcd_settings *settings, struct err *err)
{
	size_t length = params->prefix ? strlen(params->prefix) : 0;
	int r;

	*settings = (struct etcd_settings){ .lock = PTHREAD_MUTEX_INITIALIZER, .timeout_ms = params->timeout_ms ? params->timeout_ms : TIMEOUT_MS };
	if (!length || params->prefix[0] != '/' || params->prefix[length - 1] != '/' || !text_is_utf8(params->prefix, length))
		return err_set(err, -EINVAL, "the prefix of keys '%s' does not begin and end with '/': use one like /strata/house/",
			       shown(params->prefix ? params->prefix : ""));
	if (!params->writer || !params->writer[0] || strchr(params->writer, '/'))
		return err_set(err, -EINVAL, "the name of the writer '%s' must be there and have no '/'", shown(params->writer ? params->writer : ""));
	settings->prefix = text_copy(params->prefix);
	settings->data = text_format("%sdata/", params->prefix);
	settings->writer = text_format("%swriter/%s", params->prefix, params->writer);
	r = add_endpoints(params->endpoints, params->endpoint_count, settings, err);
	return r < 0 ? r : set_tls(params, settings, err);
}

static void drop_endpoints(struct etcd_settings *settings)
{
	for (size_t i = 0; i < settings->endpoints.count; i++)
		free(settings->endpoints.items[i]);
	vec_done(&settings->endpoints);
}

void etcd_settings_done(struct etcd_settings *settings)
{
	drop_endpoints(settings);
	free(settings->prefix);
	free(settings->data);
	free(settings->writer);
	free(settings->ca);
	free(settings->certificate);
	free(settings->key);
	*settings = (struct etcd_settings){ 0 };
}

void etcd_settings_list(struct etcd_settings *settings, struct str *out)
{
	pthread_mutex_lock(&settings->lock);
	for (size_t i = 0; i < settings->endpoints.count; i++)
		str_printf(out, "%s%s", i ? ", " : "", shown(settings->endpoints.items[i]));
	pthread_mutex_unlock(&settings->lock);
}

char *etcd_settings_endpoint(struct etcd_settings *settings, size_t index)
{
	char *endpoint;

	pthread_mutex_lock(&settings->lock);
	endpoint = text_copy(settings->endpoints.items[index % settings->endpoints.count]);
	pthread_mutex_unlock(&settings->lock);
	return endpoint;
}

size_t etcd_settings_endpoint_count(struct etcd_settings *settings)
{
	size_t count;

	pthread_mutex_lock(&settings->lock);
	count = settings->endpoints.count;
	pthread_mutex_unlock(&settings->lock);
	return count;
}

int etcd_settings_replace(struct etcd_settings *settings, const char *const *endpoints, size_t count, struct err *err)
{
	struct etcd_settings next = { 0 };
	int r = add_endpoints(endpoints, count, &next, err);

	if (r == 0) {
		pthread_mutex_lock(&settings->lock);
		drop_endpoints(settings);
		settings->endpoints.items = next.endpoints.items;
		settings->endpoints.count = next.endpoints.count;
		settings->endpoints.capacity = next.endpoints.capacity;
		pthread_mutex_unlock(&settings->lock);
		return 0;
	}
	drop_endpoints(&next);
	return r;
}
