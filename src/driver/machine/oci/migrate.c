/* What a container's processes hold in this host's kernel (sockets, files, memory) cannot be taken along faithfully. */
#include <errno.h>

#include "driver/machine/oci/oci.h"

static int refuse(struct err *err)
{
	return err_set(err, -EOPNOTSUPP, OCI_NO_MIGRATION);
}

int oci_migrate_in(struct machine_driver *driver, const struct machine_config *config, const struct machine_listen *listen,
		   struct machine_ports *ret_ports, struct err *err)
{
	(void)driver;
	(void)config;
	(void)listen;
	(void)ret_ports;
	return refuse(err);
}

int oci_migrate_out(struct machine_driver *driver, const char *uid, const struct machine_migration *migration,
		    struct machine_migration_result *ret_result, struct err *err)
{
	(void)driver;
	(void)uid;
	(void)migration;
	(void)ret_result;
	return refuse(err);
}

/* There is never one. */
int oci_migrate_cancel(struct machine_driver *driver, const char *uid, struct err *err)
{
	(void)driver;
	(void)uid;
	(void)err;
	return 0;
}
