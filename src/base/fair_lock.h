/*
 * fair_lock.h - a lock that is given in the order of asking.
 *
 * A mutex goes to whoever runs at the moment: a thread that takes it again at once keeps all others out for as long as it has work. Here
 * each waits for those who asked before, and for nobody else. For few threads, and for what is held long.
 *
 * Threads: any; not recursive.
 */
#ifndef BASE_FAIR_LOCK_H
#define BASE_FAIR_LOCK_H

#include <pthread.h>
#include <stdint.h>

struct fair_lock {
	pthread_mutex_t lock;		/* Over the next three. */
	pthread_cond_t turn;
	uint64_t asked;			/* How many have asked so far ... */
	uint64_t served;		/* ... and have given it back. */
};

void fair_lock_init(struct fair_lock *lock);
void fair_lock_done(struct fair_lock *lock);
void fair_lock_take(struct fair_lock *lock);
void fair_lock_give(struct fair_lock *lock);

#endif
