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

static int add_endpoints(const struct store_etcd_params *params, struct etcd_settings *settings, struct err *err)
{
	int r = 0;

	if (params->endpoint_count == 0)
		return err_set(err, -EINVAL, "a store in etcd needs endpoints: name at least one, like https://192.0.2.1:2379");
	if (params->endpoint_count > LIMIT_ETCD_ENDPOINTS)
		return err_set(err, -EINVAL, "%zu endpoints are too many: %d are enough", params->endpoint_count, LIMIT_ETCD_ENDPOINTS);
	for (size_t i = 0; i < params->endpoint_count && r == 0; i++)
		r = add_endpoint(params->endpoints[i], settings, err);
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

	*settings = (struct etcd_settings){ .timeout_ms = params->timeout_ms ? params->timeout_ms : TIMEOUT_MS };
	if (!length || params->prefix[0] != '/' || params->prefix[length - 1] != '/' || !text_is_utf8(params->prefix, length))
		return err_set(err, -EINVAL, "the prefix of keys '%s' does not begin and end with '/': use one like /strata/house/",
			       shown(params->prefix ? params->prefix : ""));
	if (!params->writer || !params->writer[0] || strchr(params->writer, '/'))
		return err_set(err, -EINVAL, "the name of the writer '%s' must be there and have no '/'", shown(params->writer ? params->writer : ""));
	settings->prefix = text_copy(params->prefix);
	settings->data = text_format("%sdata/", params->prefix);
	settings->writer = text_format("%swriter/%s", params->prefix, params->writer);
	r = add_endpoints(params, settings, err);
	return r < 0 ? r : set_tls(params, settings, err);
}

void etcd_settings_done(struct etcd_settings *settings)
{
	for (size_t i = 0; i < settings->endpoints.count; i++)
		free(settings->endpoints.items[i]);
	vec_done(&settings->endpoints);
	free(settings->prefix);
	free(settings->data);
	free(settings->writer);
	free(settings->ca);
	free(settings->certificate);
	free(settings->key);
	*settings = (struct etcd_settings){ 0 };
}

void etcd_settings_list(const struct etcd_settings *settings, struct str *out)
{
	for (size_t i = 0; i < settings->endpoints.count; i++)
		str_printf(out, "%s%s", i ? ", " : "", shown(settings->endpoints.items[i]));
}
