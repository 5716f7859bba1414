#include "driver/pages/rdma/libraries.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static void *load(const char *name, const char *package, struct err *err)
{
	/* It stays: its threads and handlers may. */
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library)
		err_set(err, -ENODEV, "telemetry by RDMA needs %s: install the package %s (%s)", name, package, dlerror());
	return library;
}

static int find(void *library, const char *name, const char *package, void *ret_function, struct err *err)
{
	void *function = dlsym(library, name);

	if (!function)
		return err_set(err, -ENODEV, "telemetry by RDMA needs %s: install a newer %s", name, package);
	/* ISO C knows no cast from data to functions. */
	memcpy(ret_function, &function, sizeof(function));
	return 0;
}

int rdma_libraries_load(struct rdma_libraries *ret_libraries, struct err *err)
{
	struct rdma_libraries libraries = { 0 };
	void *cm = load("librdmacm.so.1", "librdmacm1", err), *verbs = cm ? load("libibverbs.so.1", "libibverbs1", err) : NULL;
	int r = 0;

	if (!cm || !verbs)
		return err->code;
#define RDMA_FIND(name) r = r < 0 ? r : find(cm, "rdma_" #name, "librdmacm1", &libraries.name, err);
#define IBV_FIND(name) r = r < 0 ? r : find(verbs, "ibv_" #name, "libibverbs1", &libraries.name, err);
	RDMA_FUNCTIONS(RDMA_FIND)
	IBV_FUNCTIONS(IBV_FIND)
#undef RDMA_FIND
#undef IBV_FIND
	if (r == 0)
		*ret_libraries = libraries;
	return r;
}
