#include "driver/fabric/bridge/sysctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { PATH_SIZE = 128 };

/* The first character of the setting, or 0 when there is none. */
static char read_setting(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;

	return fd >= 0 && read(fd, &c, 1) == 1 ? c : 0;
}

/* Not written when it is right: /proc/sys may be read-only, and writing 'forwarding' resets others. */
static int write_setting(const char *path, char value, struct err *err)
{
	auto_close int fd = -1;

	if (read_setting(path) == value)
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, &value, 1) != 1)
		return err_set(err, -errno, "write %c to %s: %m", value, path);
	return 0;
}

static int write_ipv4(const char *bridge, const char *name, char value, struct err *err)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", bridge, name);
	return write_setting(path, value, err);
}

int sysctl_forward_ipv4(const char *bridge, struct err *err)
{
	int r;

	if ((r = write_setting("/proc/sys/net/ipv4/ip_forward", '1', err)) < 0)
		return r;
	/* Lets answers to 127.0.0.1 come back from a published port; the rules keep guests away from 127.0.0.0/8. */
	if ((r = write_ipv4(bridge, "route_localnet", '1', err)) < 0)
		return r;
	return write_ipv4(bridge, "send_redirects", '0', err);
}

/*
 * A host that forwards stops to listen to routers (accept_ra 1 becomes ineffective) and would lose
 * its own default route: 2 means "although forwarding".
 */
static int keep_router_advertisements(struct err *err)
{
	DIR *dir = opendir("/proc/sys/net/ipv6/conf");
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return err_set(err, -EOPNOTSUPP, "IPv6 is switched off on this host: boot without ipv6.disable=1, or use no IPv6 in the network");
	while (r == 0 && (entry = readdir(dir))) {
		auto_free char *path = text_format("/proc/sys/net/ipv6/conf/%s/accept_ra", entry->d_name);

		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "all") != 0 && read_setting(path) == '1')
			r = write_setting(path, '2', err);
	}
	closedir(dir);
	return r;
}

void sysctl_ignore_routers(const char *ifname)
{
	char path[PATH_SIZE];
	struct err ignored;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", ifname);
	write_setting(path, '0', &ignored);
}

int sysctl_forward_ipv6(const char *bridge, struct err *err)
{
	char path[PATH_SIZE];
	int r;

	if ((r = keep_router_advertisements(err)) < 0)
		return r;
	/* Our own advertisements, and those of guests, are not for us. */
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", bridge);
	if ((r = write_setting(path, '0', err)) < 0)
		return r;
	/* The kernel forwards IPv6 only when this one is set; the setting of the interface alone is not enough. */
	return write_setting("/proc/sys/net/ipv6/conf/all/forwarding", '1', err);
}
