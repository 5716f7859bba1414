#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { TIMEOUT_MS = 60000, PIECE_BYTES = 4096 };

int signals_open(struct signals *signals, const struct bench *bench, struct err *err)
{
	auto_free char *fifo = text_format("%s/signal/fifo", bench->folder);

	*signals = (struct signals){ .folder = text_format("%s/signal", bench->folder), .fd = -1 };
	/* The container's root is nobody here. */
	if (chmod(bench->folder, 0711) < 0 || mkdir(signals->folder, 0711) < 0 || mkfifo(fifo, 0600) < 0 || chmod(fifo, 0666) < 0)
		return err_set(err, -errno, "make '%s': %m", fifo);
	/* Also for writing: so that it is never at its end. */
	signals->fd = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return signals->fd < 0 ? err_set(err, -errno, "open '%s': %m", fifo) : 0;
}

void signals_close(struct signals *signals)
{
	closep(&signals->fd);
	free(signals->folder);
}

int signals_wait(struct signals *signals, size_t count, struct err *err)
{
	struct pollfd wanted = { .fd = signals->fd, .events = POLLIN };
	double end = now_ms() + TIMEOUT_MS;
	char bytes[PIECE_BYTES];

	while (count) {
		ssize_t size = read(signals->fd, bytes, count < sizeof(bytes) ? count : sizeof(bytes));

		if (size > 0) {
			count -= (size_t)size;
			continue;
		}
		if (now_ms() > end)
			return err_set(err, -ETIMEDOUT, "%zu containers have not said that they run", count);
		poll(&wanted, 1, TIMEOUT_MS);
	}
	return 0;
}
