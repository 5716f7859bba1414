/*
 * watchdog.h - the process beside the daemon that holds the deadline: what strata-fence runs.
 *
 * It sleeps until the deadline it has read, reads again, and either sleeps on or ends what is guarded. It is
 * woken besides only when something is guarded (SIGUSR1). SIGTERM ends it as soon as nothing that it guards runs; other
 * polite signals do not. Its memory is locked and its priority the highest it may have, so that it
 * comes to its turn on a host that thrashes.
 */
#ifndef DRIVER_FENCE_PROCESS_WATCHDOG_H
#define DRIVER_FENCE_PROCESS_WATCHDOG_H

/*
 * The whole life, on the page in 'directory'. Says "ready" to fd 1 when it guards, or why it cannot to fd 2, and closes
 * both. Returns the exit status. Only for a process of its own.
 */
int fence_watchdog_run(const char *directory);

#endif
