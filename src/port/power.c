#include "port/power.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

enum { ASK_AGAIN_MS = 500 };

const char *power_state_name(enum power_state state)
{
	switch (state) {
	case POWER_OFF:
		return "off";
	case POWER_ON:
		return "on";
	case POWER_CHANGING:
		return "between on and off";
	}
	return "?";
}

static int split_credentials(char *line, const char *path, struct power_credentials *ret_credentials, struct err *err)
{
	char *colon;

	line[strcspn(line, "\r\n")] = '\0';
	colon = strchr(line, ':');
	if (!colon || colon == line)
		return err_set(err, -EINVAL, "credentials in '%s': write 'user:password' in its first line", shown(path));
	*colon = '\0';
	if (strlen(line) > POWER_CREDENTIAL_LENGTH || strlen(colon + 1) > POWER_CREDENTIAL_LENGTH)
		return err_set(err, -EINVAL, "credentials in '%s': user and password have at most %d bytes each", shown(path), POWER_CREDENTIAL_LENGTH);
	for (const char *text = line; text <= colon + strlen(colon + 1); text++)
		if (*text && iscntrl((unsigned char)*text))
			return err_set(err, -EINVAL, "credentials in '%s': control characters are not possible", shown(path));
	strcpy(ret_credentials->user, line);
	strcpy(ret_credentials->password, colon + 1);
	return 0;
}

int power_read_credentials(const char *path, struct power_credentials *ret_credentials, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char line[2 * POWER_CREDENTIAL_LENGTH + 8];
	struct stat st;
	ssize_t size;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "credentials '%s': %m", shown(path));
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(err, -EACCES, "credentials '%s' may be read by others: run chmod 600 on it", shown(path));
	size = read(fd, line, sizeof(line) - 1);
	if (size < 0)
		return err_set(err, -errno, "credentials '%s': %m", shown(path));
	line[size] = '\0';
	r = split_credentials(line, path, ret_credentials, err);
	explicit_bzero(line, sizeof(line));
	return r;
}

static int parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long port = 0;

	if (strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	port = strtoul(text, NULL, 10);
	if (port < 1 || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

/* A host that begins with '-' would be an option to some program. */
static bool is_host(const char *host, bool is_ipv6)
{
	size_t length = strlen(host);

	if (length == 0 || host[0] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr(is_ipv6 ? ":." : ".-_", host[i]))
			return false;
	return true;
}

int power_parse_address(const char *address, char ret_host[POWER_ADDRESS_LENGTH + 1], uint16_t *ret_port, struct err *err)
{
	char copy[POWER_ADDRESS_LENGTH + 1];
	bool is_ipv6 = address[0] == '[';
	char *host = copy, *port = NULL, *end;

	if (strlen(address) > POWER_ADDRESS_LENGTH)
		return err_set(err, -EINVAL, "address '%s' is longer than %d characters", shown(address), POWER_ADDRESS_LENGTH);
	strcpy(copy, address);
	end = is_ipv6 ? strchr(copy, ']') : strchr(copy, ':');
	if (is_ipv6 && end) {
		host++;
		*end++ = '\0';
	}
	if (end && *end == ':') {
		port = end + 1;
		*end = '\0';
	}
	if (!is_host(host, is_ipv6) || (is_ipv6 && (!end || (end != copy + strlen(address) && !port))) || (port && parse_port(port, ret_port) < 0))
		return err_set(err, -EINVAL, "address '%s': give a host name, an IPv4 address or [IPv6], and ':port' if need be", shown(address));
	strcpy(ret_host, host);
	return 0;
}

/* Until it is so; the last answer, or why there was none, is what the message says. */
static int wait_for(struct power_driver *driver, enum power_state wanted, int64_t limit_ms, struct err *err)
{
	enum power_state state;
	int r;

	for (;;) {
		r = driver->ops->status(driver, &state, err);
		if (r == 0 && state == wanted)
			return 0;
		if (clock_monotonic_ms() + ASK_AGAIN_MS >= limit_ms)
			break;
		poll(NULL, 0, ASK_AGAIN_MS);
	}
	if (r < 0)
		return err_prefix(err, "the host should be %s, but its controller does not say so", power_state_name(wanted));
	return err_set(err, -ETIMEDOUT, "the host is %s %u s after it was switched %s: look at its controller", power_state_name(state),
		       driver->limit_ms / 1000, power_state_name(wanted));
}

int power_switch(struct power_driver *driver, enum power_state wanted, int (*change)(struct power_driver *driver, enum power_state wanted,
		 struct err *err), struct err *err)
{
	int64_t limit_ms = clock_monotonic_ms() + driver->limit_ms;
	enum power_state state;
	int r = driver->ops->status(driver, &state, err);

	if (r < 0 || state == wanted)
		return r;
	r = change(driver, wanted, err);
	return r < 0 ? r : wait_for(driver, wanted, limit_ms, err);
}
