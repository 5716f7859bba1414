#include "base/fair_lock.h"

void fair_lock_init(struct fair_lock *lock)
{
	*lock = (struct fair_lock){ 0 };
	pthread_mutex_init(&lock->lock, NULL);
	pthread_cond_init(&lock->turn, NULL);
}

void fair_lock_done(struct fair_lock *lock)
{
	pthread_cond_destroy(&lock->turn);
	pthread_mutex_destroy(&lock->lock);
}

void fair_lock_take(struct fair_lock *lock)
{
	uint64_t number;

	pthread_mutex_lock(&lock->lock);
	number = lock->asked++;
	while (lock->served != number)
		pthread_cond_wait(&lock->turn, &lock->lock);
	pthread_mutex_unlock(&lock->lock);
}

void fair_lock_give(struct fair_lock *lock)
{
	pthread_mutex_lock(&lock->lock);
	lock->served++;
	pthread_cond_broadcast(&lock->turn);
	pthread_mutex_unlock(&lock->lock);
}
