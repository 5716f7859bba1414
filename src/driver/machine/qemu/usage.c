#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/process.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/qemu.h"
#include "driver/machine/qemu/run_dir.h"

static uint64_t read_counter(const char *ifname, const char *counter)
{
	char path[128];
	auto_fclose FILE *file = NULL;
	unsigned long long value;

	snprintf(path, sizeof(path), "/sys/class/net/%.*s/statistics/%s", IFNAMSIZ, ifname, counter);
	file = fopen(path, "re");
	return file && fscanf(file, "%llu", &value) == 1 ? value : 0;
}

static void add_nics(int run_dir, struct machine_usage *usage)
{
	auto_str struct str names = { 0 };
	char *rest, *name;

	run_dir_read_nics(run_dir, &names);
	for (rest = names.data; rest && (name = strsep(&rest, "\n"));) {
		if (!name[0] || strchr(name, '/'))
			continue;
		/* What the host receives from the tap, the guest has sent. */
		usage->net_receive_bytes += read_counter(name, "tx_bytes");
		usage->net_transmit_bytes += read_counter(name, "rx_bytes");
	}
}

int qemu_usage(struct machine_driver *driver, const char *uid, struct machine_usage *ret_usage, struct err *err)
{
	const struct qemu *qemu = qemu_of(driver);
	auto_free char *cgroup = qemu_cgroup(qemu, uid);
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, err);
	struct process_usage process;
	int r;

	if (run_dir < 0)
		return run_dir;
	r = process_usage(cgroup_first_pid(cgroup), &process, err);
	if (r < 0)
		return err_prefix(err, "machine '%s'", shown(uid));
	*ret_usage = (struct machine_usage){
		.cpu_ns = process.cpu_ns, .memory_bytes = process.memory_bytes,
		.disk_read_bytes = process.read_bytes, .disk_write_bytes = process.write_bytes,
	};
	add_nics(run_dir, ret_usage);
	return 0;
}
