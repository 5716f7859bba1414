#include "driver/store/etcd/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static int find(void *library, const char *name, void *ret_function, struct err *err)
{
	void *function = dlsym(library, name);

	if (!function)
		return err_set(err, -ENOENT, "libcurl lacks %s: install a newer libcurl4", name);
	/* ISO C knows no cast from data to functions. */
	memcpy(ret_function, &function, sizeof(function));
	return 0;
}

int etcd_curl_load(struct curl *ret_curl, struct err *err)
{
	/* It stays: what it has registered for the end of the process must be there then. */
	void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	struct curl curl = { 0 };
	int r = 0;

	if (!library)
		return err_set(err, -ENOENT, "a store in etcd needs libcurl: install the package libcurl4 (%s)", dlerror());
#define CURL_FIND(name) r = r < 0 ? r : find(library, "curl_" #name, &curl.name, err);
	CURL_FUNCTIONS(CURL_FIND)
#undef CURL_FIND
	dlclose(library);
	if (r < 0)
		return r;
	if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, -EIO, "libcurl cannot be initialized");
	*ret_curl = curl;
	return 0;
}
