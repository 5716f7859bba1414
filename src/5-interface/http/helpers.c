#include "5-interface/http/helpers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sha256.h"

enum { PIECE_BYTES = 64 << 10, SPLICE_BYTES = 1 << 20 };

struct helpers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int count;
};

struct helper {
	struct helpers *helpers;
	void (*run)(struct helper *helper);
	int from_fd, to_fd, result_fd;	/* Owned. */
	struct sink *sink;
	char *folder;			/* Owned. */
};

struct sink {
	atomic_int references;		/* The connection's and the helper's. */
	atomic_ullong expected;		/* Size plus one; 0: unknown as yet. */
	char *path;			/* Of the finished upload. */
	char *part;			/* Of the unfinished. */
	char id[37];
};

struct helpers *helpers_new(void)
{
	struct helpers *helpers = alloc(sizeof(*helpers));

	pthread_mutex_init(&helpers->lock, NULL);
	pthread_cond_init(&helpers->changed, NULL);
	return helpers;
}

void helpers_free(struct helpers *helpers)
{
	if (!helpers)
		return;
	pthread_mutex_lock(&helpers->lock);
	while (helpers->count)
		pthread_cond_wait(&helpers->changed, &helpers->lock);
	pthread_mutex_unlock(&helpers->lock);
	pthread_mutex_destroy(&helpers->lock);
	pthread_cond_destroy(&helpers->changed);
	free(helpers);
}

static void close_all(struct helper *helper)
{
	int *fds[] = { &helper->from_fd, &helper->to_fd, &helper->result_fd };

	for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
		if (*fds[i] >= 0)
			close(take_fd(*fds[i]));
}

static void helper_free(struct helper *helper)
{
	close_all(helper);
	sink_unref(helper->sink);
	free(helper->folder);
	free(helper);
}

static void *helper_thread(void *data)
{
	struct helper *helper = data;
	struct helpers *helpers = helper->helpers;

	pthread_setname_np(pthread_self(), "http-file");
	helper->run(helper);
	helper_free(helper);
	pthread_mutex_lock(&helpers->lock);
	helpers->count--;
	pthread_cond_signal(&helpers->changed);
	pthread_mutex_unlock(&helpers->lock);
	return NULL;
}

/* Takes the helper, also on failure. */
static int helper_start(struct helpers *helpers, struct helper *helper, struct err *err)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = 0;

	pthread_mutex_lock(&helpers->lock);
	if (helpers->count == HELPERS_MAX)
		r = err_set(err, -EAGAIN, "%d transfers are under way already: try again later", HELPERS_MAX);
	else
		helpers->count++;
	pthread_mutex_unlock(&helpers->lock);
	if (r < 0) {
		helper_free(helper);
		return r;
	}
	helper->helpers = helpers;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &attributes, helper_thread, helper);
	pthread_attr_destroy(&attributes);
	if (r == 0)
		return 0;
	helper_free(helper);
	pthread_mutex_lock(&helpers->lock);
	helpers->count--;
	pthread_mutex_unlock(&helpers->lock);
	return err_set(err, r, "start a thread: %m");
}

static void send_file(struct helper *helper)
{
	ssize_t size;

	do
		size = splice(helper->from_fd, NULL, helper->to_fd, NULL, SPLICE_BYTES, 0);
	while (size > 0 || (size < 0 && errno == EINTR));
}

int helpers_read_file(struct helpers *helpers, int file_fd, int *ret_pipe_fd, struct err *err)
{
	struct helper *helper = alloc(sizeof(*helper));
	int fds[2], r;

	*helper = (struct helper){ .run = send_file, .from_fd = file_fd, .to_fd = -1, .result_fd = -1 };
	if (pipe2(fds, O_CLOEXEC) < 0) {
		r = err_set(err, -errno, "pipe: %m");
		helper_free(helper);
		return r;
	}
	helper->to_fd = fds[1];
	r = helper_start(helpers, helper, err);
	if (r < 0)
		close(fds[0]);
	else
		*ret_pipe_fd = fds[0];
	return r;
}

void sink_unref(struct sink *sink)
{
	if (!sink || atomic_fetch_sub(&sink->references, 1) > 1)
		return;
	free(sink->path);
	free(sink->part);
	free(sink);
}

void sink_complete(struct sink *sink, uint64_t size)
{
	atomic_store(&sink->expected, size + 1);
}

static int write_all(int fd, const char *bytes, size_t size, struct err *err)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "store the upload: %m");
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Until the pipe ends. */
static int receive(const struct helper *helper, struct sha256 *sha256, uint64_t *ret_size, struct err *err)
{
	auto_free char *piece = alloc(PIECE_BYTES);
	uint64_t total = 0;

	for (;;) {
		ssize_t size = read(helper->from_fd, piece, PIECE_BYTES);
		int r;

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return err_set(err, -errno, "read the upload: %m");
		if (size == 0)
			break;
		sha256_update(sha256, piece, (size_t)size);
		r = write_all(helper->to_fd, piece, (size_t)size, err);
		if (r < 0)
			return r;
		total += (uint64_t)size;
	}
	*ret_size = total;
	return 0;
}

/* A finished upload has reached the disk: the request that uses it may be carried out after a crash. */
static int finish(const struct helper *helper, uint64_t size, struct err *err)
{
	const struct sink *sink = helper->sink;

	if (atomic_load(&sink->expected) != size + 1)
		return err_set(err, -ECANCELED, "the client has gone");
	if (fdatasync(helper->to_fd) < 0)
		return err_set(err, -errno, "store the upload: %m");
	if (rename(sink->part, sink->path) < 0)
		return err_set(err, -errno, "rename '%s': %m", sink->part);
	return 0;
}

static void store_file(struct helper *helper)
{
	auto_sha256 struct sha256 sha256 = { 0 };
	auto_str struct str line = { 0 };
	struct json_writer writer = { .out = &line };
	char digest[SHA256_TEXT_SIZE];
	uint64_t size = 0;
	struct err err;
	int r;

	sha256_init(&sha256);
	r = receive(helper, &sha256, &size, &err);
	if (r == 0)
		r = finish(helper, size, &err);
	if (r < 0)
		unlink(helper->sink->part);
	json_write_object(&writer, NULL);
	if (r < 0) {
		json_write_string(&writer, "error", err.msg);
		json_write_int(&writer, "code", err.code);
	} else {
		sha256_finish(&sha256, digest);
		json_write_string(&writer, "id", helper->sink->id);
		json_write_uint(&writer, "size", size);
		json_write_string(&writer, "sha256", digest);
	}
	json_write_end_object(&writer);
	str_append_char(&line, '\n');
	(void)!write(helper->result_fd, line.data, line.size);	/* The client may have gone. */
}

static struct sink *sink_new(const char *folder)
{
	struct sink *sink = alloc(sizeof(*sink));
	struct rng rng;

	rng_init_random(&rng);
	rng_uuid(&rng, sink->id);
	sink->path = text_format("%s/%s", folder, sink->id);
	sink->part = text_format("%s/%s.part", folder, sink->id);
	atomic_init(&sink->references, 1);
	return sink;
}

int helpers_store(struct helpers *helpers, const char *folder, struct sink **ret_sink, int *ret_pipe_fd,
		  int *ret_result_fd, struct err *err)
{
	struct helper *helper = alloc(sizeof(*helper));
	struct sink *sink = sink_new(folder);
	int content[2] = { -1, -1 }, result[2] = { -1, -1 }, r = 0;

	*helper = (struct helper){ .run = store_file, .from_fd = -1, .to_fd = -1, .result_fd = -1, .sink = sink };
	helper->to_fd = open(sink->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (helper->to_fd < 0)
		r = err_set(err, -errno, "create '%s': %m", sink->part);
	else if (pipe2(content, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0)
		r = err_set(err, -errno, "pipe: %m");
	if (r < 0) {
		unlink(sink->part);
		helper_free(helper);
	} else {
		helper->from_fd = content[0];
		helper->result_fd = result[1];
		atomic_store(&sink->references, 2);
		r = helper_start(helpers, helper, err);
		if (r < 0)
			unlink(sink->part);
		content[0] = result[1] = -1;
	}
	if (r < 0) {
		for (int i = 0; i < 2; i++) {
			closep(&content[i]);
			closep(&result[i]);
		}
		return r;
	}
	*ret_sink = sink;
	*ret_pipe_fd = content[1];
	*ret_result_fd = result[0];
	return 0;
}

void uploads_sweep(const char *folder)
{
	time_t now = time(NULL);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    st.st_mtime + UPLOAD_KEPT_S < now)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static void sweep(struct helper *helper)
{
	uploads_sweep(helper->folder);
}

void helpers_sweep(struct helpers *helpers, const char *folder)
{
	struct helper *helper = alloc(sizeof(*helper));
	struct err ignored;		/* There will be another upload, or another start. */

	*helper = (struct helper){ .run = sweep, .from_fd = -1, .to_fd = -1, .result_fd = -1,
				   .folder = text_copy(folder) };
	helper_start(helpers, helper, &ignored);
}
