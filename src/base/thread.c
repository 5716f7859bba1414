#include "base/thread.h"

#include <errno.h>
#include <signal.h>

int thread_start(const char *name, void *(*fn)(void *data), void *data, pthread_t *ret_thread, struct err *err)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret_thread, NULL, fn, data);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return err_set(err, -r, "start the thread '%s': %m", name);
	pthread_setname_np(*ret_thread, name);
	return 0;
}
