#include "base/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

enum { IDLE_SECONDS = 10 };

struct job {
	struct work *work;			/* Null once the pool is gone. */
	work_fn *run, *done, *drop;
	void *data;
	struct loop_source *timer;		/* Of a lag. */
	struct job *next_queued;
	struct job *previous, *next;		/* In work->jobs. */
};

struct work {
	struct loop *loop;
	size_t max_threads;

	/* The loop's thread only. */
	struct job *jobs;			/* Submitted and not yet done. */
	size_t pending;
	work_lag_fn *lag;			/* Null: none. */
	void *lag_data;

	pthread_mutex_t lock;			/* Guards everything below. */
	pthread_cond_t has_job;
	pthread_cond_t has_no_thread;
	struct job *first, *last;		/* Not yet begun. */
	size_t queued_count;
	size_t thread_count;
	size_t idle_count;
	bool is_stopping;
};

static void job_unlink(struct job *job)
{
	if (job->previous)
		job->previous->next = job->next;
	else
		job->work->jobs = job->next;
	if (job->next)
		job->next->previous = job->previous;
	job->work->pending--;
}

static void job_drop(void *data)
{
	struct job *job = data;

	if (job->work) {
		job_unlink(job);
		if (job->drop)
			job->drop(job->data);
	}
	free(job);
}

static void job_done(void *data)
{
	struct job *job = data;

	if (job->work) {
		job_unlink(job);
		if (job->done)
			job->done(job->data);
	}
	free(job);
}

/* ---- Without threads: in the loop itself ---- */

static uint32_t lag_of(const struct work *work)
{
	return work->lag ? work->lag(work->lag_data) : 0;
}

static void job_run(void *data)
{
	struct job *job = data;
	uint32_t lag_ms;

	if (!job->work) {
		free(job);
		return;
	}
	job->run(job->data);
	lag_ms = lag_of(job->work);
	if (lag_ms)
		loop_add_timer(job->work->loop, lag_ms, job_done, job, &job->timer);
	else
		loop_post(job->work->loop, job_done, job_drop, job);
}

static void run_in_loop(struct job *job)
{
	uint32_t lag_ms = lag_of(job->work);

	if (lag_ms)
		loop_add_timer(job->work->loop, lag_ms, job_run, job, &job->timer);
	else
		loop_post(job->work->loop, job_run, job_drop, job);
}

void work_set_lag(struct work *work, work_lag_fn *lag, void *data)
{
	work->lag = lag;
	work->lag_data = data;
}

static void queue_append(struct work *work, struct job *job)
{
	job->next_queued = NULL;
	if (work->last)
		work->last->next_queued = job;
	else
		work->first = job;
	work->last = job;
	work->queued_count++;
}

static struct job *queue_take(struct work *work)
{
	struct job *job = work->first;

	if (!job)
		return NULL;
	work->first = job->next_queued;
	if (!work->first)
		work->last = NULL;
	work->queued_count--;
	return job;
}

/* Called and returns with the lock held. Null: the thread is not needed any more. */
static struct job *wait_for_job(struct work *work)
{
	struct timespec deadline;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += IDLE_SECONDS;
	work->idle_count++;
	while (!work->first && !work->is_stopping && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&work->has_job, &work->lock, &deadline);
	work->idle_count--;
	return queue_take(work);
}

static void *thread_main(void *data)
{
	struct work *work = data;
	struct job *job;

	pthread_mutex_lock(&work->lock);
	while ((job = wait_for_job(work))) {
		pthread_mutex_unlock(&work->lock);
		job->run(job->data);
		loop_post(work->loop, job_done, job_drop, job);
		pthread_mutex_lock(&work->lock);
	}
	work->thread_count--;
	if (!work->thread_count)
		pthread_cond_signal(&work->has_no_thread);
	pthread_mutex_unlock(&work->lock);
	return NULL;
}

/* Threads are detached, so that one that ends after idling leaves nothing to collect. */
static int thread_start(struct work *work)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	pthread_t thread;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* Signals are the loop's. */
	r = pthread_create(&thread, &attributes, thread_main, work);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return -r;
}

/* Returns whether some thread will take what was queued. */
static bool has_thread_for_queue(struct work *work)
{
	if (work->queued_count > work->idle_count && work->thread_count < work->max_threads &&
	    thread_start(work) == 0)
		work->thread_count++;
	return work->thread_count > 0;
}

struct work *work_new(struct loop *loop, size_t max_threads)
{
	struct work *work = alloc(sizeof(*work));
	pthread_condattr_t attributes;

	*work = (struct work){ .loop = loop, .max_threads = max_threads };
	pthread_mutex_init(&work->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&work->has_job, &attributes);
	pthread_cond_init(&work->has_no_thread, &attributes);
	pthread_condattr_destroy(&attributes);
	return work;
}

static struct job *job_new(struct work *work)
{
	struct job *job = alloc(sizeof(*job));

	job->work = work;
	job->next = work->jobs;
	if (job->next)
		job->next->previous = job;
	work->jobs = job;
	work->pending++;
	return job;
}

void work_submit(struct work *work, work_fn *run, work_fn *done, work_fn *drop, void *data)
{
	struct job *job = job_new(work);
	bool has_thread;

	job->run = run;
	job->done = done;
	job->drop = drop;
	job->data = data;
	pthread_mutex_lock(&work->lock);
	queue_append(work, job);
	has_thread = has_thread_for_queue(work);
	/* Without any thread, wanted or not, the loop does it itself: late rather than never. */
	if (!has_thread)
		queue_take(work);
	pthread_mutex_unlock(&work->lock);

	if (has_thread)
		pthread_cond_signal(&work->has_job);
	else
		run_in_loop(job);
}

size_t work_pending(const struct work *work)
{
	return work->pending;
}

static void stop_threads(struct work *work)
{
	struct job *job;

	pthread_mutex_lock(&work->lock);
	work->is_stopping = true;
	while ((job = queue_take(work)))
		job_drop(job);
	pthread_cond_broadcast(&work->has_job);
	while (work->thread_count)
		pthread_cond_wait(&work->has_no_thread, &work->lock);
	pthread_mutex_unlock(&work->lock);
}

void work_free(struct work *work)
{
	if (!work)
		return;
	stop_threads(work);

	/* What is left lies in the loop as a message, which frees the job when it arrives, or waits for a timer. */
	while (work->jobs) {
		struct job *job = work->jobs;

		job_unlink(job);
		job->work = NULL;
		if (job->drop)
			job->drop(job->data);
		if (job->timer) {
			loop_remove(job->timer);
			free(job);
		}
	}
	pthread_cond_destroy(&work->has_job);
	pthread_cond_destroy(&work->has_no_thread);
	pthread_mutex_destroy(&work->lock);
	free(work);
}
