/*
 * Pulling from a real registry on loopback, pushed to with skopeo. Between the two stands a proxy that counts what
 * comes, and on demand stops sending or breaks connections off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "2-virtualization/images/oci/oci_fixture.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/free_port_fixture.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/spawn.h"

enum { LARGE_BYTES = 3 << 20, CUT_AFTER_BYTES = 256 << 10, START_TIMEOUT_MS = 10000 };

struct weather {			/* Shared with the proxy. */
	uint64_t bytes;			/* Sent to the client so far. */
	int cuts_left;			/* So many connections end after CUT_AFTER_BYTES. After more than 1 MiB newer skopeos go on by themselves. */
	bool is_stalling;		/* They do not end, they only send no more. */
};

struct world {
	struct oci_fixture *fixture;
	unsigned registry_port, proxy_port;
	pid_t registry, proxy;
	struct weather *weather;
};

/* Starting things */

static int dial(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -1 : take_fd(fd);
}

static void wait_for_port(unsigned port)
{
	int64_t deadline = clock_monotonic_ms() + START_TIMEOUT_MS;

	for (;;) {
		auto_close int fd = dial(port);

		if (fd >= 0)
			return;
		if (clock_monotonic_ms() > deadline)
			fail_msg("nobody listens on port %u", port);
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(-pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static pid_t start_registry(const struct oci_fixture *fixture, unsigned port, bool has_password)
{
	auto_free char *config = text_format("%s/registry.yml", fixture->folder), *users = text_format("%s/users", fixture->folder);
	auto_str struct str text = { 0 };
	struct err err;
	pid_t pid;
	int pidfd;

	/* someone:secret */
	str_printf(&text, "someone:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n");
	assert_int_equal(file_write_atomic(users, text.data, text.size, 0600, &err), 0);
	str_clear(&text);
	str_printf(&text, "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/registry}}\nhttp: {addr: '127.0.0.1:%u'}\n",
		   fixture->folder, port);
	if (has_password)
		str_printf(&text, "auth: {htpasswd: {realm: test, path: %s}}\n", users);
	assert_int_equal(file_write_atomic(config, text.data, text.size, 0600, &err), 0);
	const struct spawn_params params = {
		.argv = (const char *const[]){ "docker-registry", "serve", config, NULL }, .has_own_group = true, .ends_with_parent = true,
	};
	if (spawn_start(&params, &pid, &pidfd, &err) < 0) {
		print_message("skipped: %s\n", err.msg);
		skip();
	}
	close(pidfd);
	wait_for_port(port);
	return pid;
}

/* One connection, to its end. */
static void relay(int client, unsigned port, struct weather *weather)
{
	auto_close int server = dial(port);
	static char bytes[64 << 10];
	uint64_t sent = 0;

	for (;;) {
		struct pollfd fds[2] = { { .fd = client, .events = POLLIN }, { .fd = server, .events = POLLIN } };
		ssize_t n;

		if (poll(fds, 2, -1) < 0)
			return;
		if (fds[0].revents) {
			n = read(client, bytes, sizeof(bytes));
			if (n <= 0 || write(server, bytes, (size_t)n) != n)
				return;
		}
		if (!fds[1].revents)
			continue;
		n = read(server, bytes, sizeof(bytes));
		if (n <= 0 || write(client, bytes, (size_t)n) != n)
			return;
		__atomic_add_fetch(&weather->bytes, (uint64_t)n, __ATOMIC_RELAXED);
		sent += (uint64_t)n;
		if (sent > CUT_AFTER_BYTES && __atomic_load_n(&weather->cuts_left, __ATOMIC_RELAXED) > 0) {
			__atomic_sub_fetch(&weather->cuts_left, 1, __ATOMIC_RELAXED);
			if (weather->is_stalling)
				pause();
			return;
		}
	}
}

static pid_t start_proxy(unsigned port, unsigned to_port, struct weather *weather)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;
	pid_t pid;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0) {
		setpgid(pid, pid);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client >= 0 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			relay(client, to_port, weather);
			_exit(0);
		}
		closep(&client);
	}
}

static int set_up(void **state)
{
	struct world *world = alloc(sizeof(*world));

	if (oci_fixture_set_up((void **)&world->fixture) != 0)
		return 1;
	world->registry_port = free_port();
	world->registry = start_registry(world->fixture, world->registry_port, false);
	world->proxy_port = free_port();
	world->weather = mmap(NULL, sizeof(*world->weather), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world->proxy = start_proxy(world->proxy_port, world->registry_port, world->weather);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	end(world->proxy);
	end(world->registry);
	munmap(world->weather, sizeof(*world->weather));
	oci_fixture_tear_down((void **)&world->fixture);
	free(world);
	return 0;
}

/* What the tests do */

static void run(const char *const *argv)
{
	struct err err;

	if (spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}
#define command(...) run((const char *const[]){ __VA_ARGS__, NULL })

/* A small layer and a large one that does not compress, as 127.0.0.1:PORT/some/image:tag. */
static void push(const struct world *world, const char *format, const char *config)
{
	const struct oci_fixture *fixture = world->fixture;
	auto_free char *small = text_format("%s/small", fixture->folder), *large = text_format("%s/large", fixture->folder),
		       *layout = text_format("%s/layout", fixture->folder), *from = text_format("oci:%s:image", layout),
		       *to = text_format("docker://127.0.0.1:%u/some/image:tag", world->registry_port), *noise = alloc(LARGE_BYTES + 1);
	struct rng rng;

	rng_init(&rng, 7);
	for (size_t i = 0; i < LARGE_BYTES; i++)
		noise[i] = (char)(1 + rng_below(&rng, 255));
	oci_fixture_tar(small, "gzip", (const struct tar_entry[]){ ENTRY("etc/motd", S_IFREG, 0, "hello") }, 1);
	oci_fixture_tar(large, "gzip", (const struct tar_entry[]){ ENTRY("noise", S_IFREG, 0, noise) }, 1);
	oci_fixture_layout(fixture, layout, (const char *const[]){ small, large }, 2, config);
	command("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--format", format, from, to);
}

static int pull(const struct world *world, const char *name, const struct oci_pull *more, struct oci_image *image, struct err *err)
{
	const struct oci_patience patience = { .stall_ms = 2000, .attempts = 3, .pause_ms = 50 };
	auto_free char *reference = text_format("127.0.0.1:%u/%s", world->proxy_port, name);
	struct oci_pull pull = more ? *more : (struct oci_pull){ .is_plain_http = true };
	int r;

	pull.reference = reference;
	*err = (struct err){ 0 };
	r = oci_pull_patiently(world->fixture->store, world->fixture->scratch, &pull, &patience, NULL, image, err);
	oci_fixture_empty_scratch(world->fixture);
	return r;
}

static void expect_pull(const struct world *world, const char *name, struct oci_image *image)
{
	struct err err;

	if (pull(world, name, NULL, image, &err) < 0)
		fail_msg("%s", err.msg);
}

static void refuse(const struct world *world, const char *name, const struct oci_pull *more, int code, const char *words)
{
	struct oci_image image;
	struct err err;
	int r = pull(world, name, more, &image, &err);

	if (r != code || !strstr(err.msg, words))
		fail_msg("%s: %d '%s' instead of %d '%s'", name, r, err.msg, code, words);
	oci_fixture_expect_empty(world->fixture, true);
}

/* The digest the registry has for the tag. */
static void find_digest(const struct world *world, char digest[SHA256_TEXT_SIZE])
{
	auto_free char *from = text_format("docker://127.0.0.1:%u/some/image:tag", world->registry_port);
	const char *const argv[] = { "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", from, NULL };
	auto_str struct str output = { 0 };
	struct err err;

	if (spawn_run(&(struct spawn_params){ .argv = argv }, &(struct spawn_io){ .output = &output }, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(output.size > 71);
	memcpy(digest, output.data + 7, 64);
	digest[64] = '\0';
}

/* Tests */

static void test_pull(void **state)
{
	const char *const formats[] = { "oci", "v2s2" };
	const struct world *world = *state;

	for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
		char digest[SHA256_TEXT_SIZE];
		auto_free char *pinned = NULL;
		struct oci_image image;
		struct err err;

		push(world, formats[i], "{\"Cmd\": [\"sh\"], \"Labels\": {\"a\": \"b\"}}");
		find_digest(world, digest);
		expect_pull(world, "some/image:tag", &image);
		/* Byte for byte what the registry has, in both formats. */
		assert_string_equal(image.manifest, digest);
		assert_int_equal(image.layers.count, 2);
		assert_int_equal(image.unpacked_bytes, 5 + LARGE_BYTES);
		assert_string_equal(*field_list_at(&image.settings.command, char *, 0), "sh");
		oci_image_done(&image);

		/* Again: the layers are not fetched. */
		world->weather->bytes = 0;
		pinned = text_format("some/image:tag@sha256:%s", digest);
		expect_pull(world, pinned, &image);
		assert_true(world->weather->bytes < 100000);
		oci_image_done(&image);
		assert_int_equal(file_remove_tree(world->fixture->store, &err), 0);
	}
	refuse(world, "some/image:tag@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, -ENOENT, "no such image");
	refuse(world, "some/image:other", NULL, -ENOENT, "no such image or tag");
	refuse(world, "no/image", NULL, -ENOENT, "no such image");
	refuse(world, "denied/x509", NULL, -ENOENT, "no such image");	/* A name is no reason. */
	refuse(world, "some/image@sha512:00", NULL, -EINVAL, "only sha256:");
	refuse(world, "some/image tag", NULL, -EINVAL, "is not the reference of an image");
}

static void note_progress(void *data, uint64_t done, uint64_t total)
{
	uint64_t *seen = data;

	assert_true(done <= total && done >= seen[0]);
	seen[0] = done;
	seen[1] = total;
}

static void test_progress(void **state)
{
	const struct world *world = *state;
	uint64_t seen[2] = { 0 };
	const struct volume_progress progress = { .report = note_progress, .data = seen };
	auto_free char *reference = text_format("127.0.0.1:%u/some/image:tag", world->proxy_port);
	const struct oci_pull how = { .reference = reference, .is_plain_http = true };
	struct oci_image image;
	struct err err;

	push(world, "oci", NULL);
	if (oci_pull(world->fixture->store, world->fixture->scratch, &how, &progress, &image, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(seen[0] == seen[1] && seen[1] > 2 * LARGE_BYTES);
	oci_image_done(&image);
}

static void put_index(const struct world *world, const char *tag, const char *architecture)
{
	auto_free char *path = text_format("%s/index", world->fixture->folder), *data = text_format("@%s", path),
		       *url = text_format("http://127.0.0.1:%u/v2/some/image/manifests/%s", world->registry_port, tag);
	auto_str struct str text = { 0 };
	char digest[SHA256_TEXT_SIZE];
	struct err err;

	find_digest(world, digest);
	str_printf(&text, "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.docker.distribution.manifest.list.v2+json\", \"manifests\": [{"
		   "\"mediaType\": \"application/vnd.docker.distribution.manifest.v2+json\", \"digest\": \"sha256:%s\", \"size\": 600, "
		   "\"platform\": {\"os\": \"linux\", \"architecture\": \"%s\"}}]}", digest, architecture);
	assert_int_equal(file_write_atomic(path, text.data, text.size, 0600, &err), 0);
	command("curl", "-sf", "-X", "PUT", "-H", "Content-Type: application/vnd.docker.distribution.manifest.list.v2+json", "--data-binary", data,
		url);
}

static void test_platforms(void **state)
{
	const struct world *world = *state;
	struct oci_image image;

	push(world, "v2s2", NULL);
	put_index(world, "mine", "amd64");
	put_index(world, "theirs", "riscv64");
	expect_pull(world, "some/image:mine", &image);
	assert_int_equal(image.layers.count, 2);
	oci_image_done(&image);
	assert_int_equal(file_remove_tree(world->fixture->store, &(struct err){ 0 }), 0);
	refuse(world, "some/image:theirs", NULL, -ENOENT, "nothing for linux/amd64; it has: linux/riscv64");
}

static void test_credentials(void **state)
{
	struct world *world = *state;
	const struct oci_pull nobody = { .is_plain_http = true };
	const struct oci_pull wrong = { .is_plain_http = true, .username = "someone", .password = "guess" };
	const struct oci_pull right = { .is_plain_http = true, .username = "someone", .password = "secret" };
	struct oci_image image;
	struct err err;

	push(world, "oci", NULL);
	end(world->registry);
	world->registry = start_registry(world->fixture, world->registry_port, true);
	refuse(world, "some/image:tag", &nobody, -EACCES, "user name and password");
	refuse(world, "some/image:tag", &wrong, -EACCES, "user name");
	if (pull(world, "some/image:tag", &right, &image, &err) < 0)
		fail_msg("%s", err.msg);
	oci_image_done(&image);
}

static void test_unreachable(void **state)
{
	struct world *world = *state;
	const struct oci_pull tls = { 0 };
	auto_free char *policy = text_format("%s/policy", world->fixture->folder);
	const struct oci_pull rejected = { .is_plain_http = true, .policy = policy };

	push(world, "oci", NULL);
	refuse(world, "some/image:tag", &tls, -EPROTO, "speaks no TLS");
	assert_int_equal(file_write_atomic(policy, "{\"default\": [{\"type\": \"reject\"}]}", 33, 0600, &(struct err){ 0 }), 0);
	refuse(world, "some/image:tag", &rejected, -EACCES, "the signature policy refuses it");
	end(world->proxy);
	world->proxy = 0;
	refuse(world, "some/image:tag", NULL, -EAGAIN, "nobody listens there");
}

/* Broken off twice: what came whole is kept, the rest comes with the third attempt. */
static void test_broken_off(void **state)
{
	const struct world *world = *state;
	struct oci_image image;
	auto_str struct str list = { 0 };
	auto_free char *blobs = text_format("%s/blobs/sha256", world->fixture->store);

	push(world, "oci", NULL);
	world->weather->cuts_left = 1000;
	refuse(world, "some/image:tag", NULL, -EAGAIN, "broke the connection off");
	oci_fixture_list(blobs, &list);
	assert_non_null(list.data);		/* The small layer. */
	world->weather->cuts_left = 2;
	expect_pull(world, "some/image:tag", &image);
	assert_int_equal(world->weather->cuts_left, 0);
	oci_image_done(&image);
}

static void test_stall(void **state)
{
	const struct world *world = *state;
	struct oci_image image;
	int64_t begin;

	push(world, "oci", NULL);
	world->weather->is_stalling = true;
	world->weather->cuts_left = 1000;
	begin = clock_monotonic_ms();
	refuse(world, "some/image:tag", NULL, -EAGAIN, "sent nothing for 2 seconds");
	assert_true(clock_monotonic_ms() - begin < 30000);
	world->weather->cuts_left = 1;
	expect_pull(world, "some/image:tag", &image);
	oci_image_done(&image);
}

/* The registry's own disk has lied. */
static void test_tampered(void **state)
{
	const struct world *world = *state;
	auto_free char *pattern = text_format("%s/large", world->fixture->folder), *path = NULL;
	char digest[SHA256_TEXT_SIZE];
	struct err err;

	push(world, "oci", NULL);
	auto_close int fd = open(pattern, O_RDONLY | O_CLOEXEC);
	assert_int_equal(sha256_file(fd, NULL, digest, &err), 0);
	path = text_format("%s/registry/docker/registry/v2/blobs/sha256/%.2s/%s/data", world->fixture->folder, digest, digest);
	auto_close int blob_fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(file_write_at(blob_fd, "tampered", 8, 1000, &err), 0);
	refuse(world, "some/image:tag", NULL, -EINVAL, "something else than the digest says");
}

/* This host's disk has lost a blob's end: told, and the next pull fetches it again. */
static void test_lost_blob(void **state)
{
	const struct world *world = *state;
	const struct oci_fixture *fixture = world->fixture;
	struct oci_image image, again;
	struct err err;

	push(world, "oci", NULL);
	expect_pull(world, "some/image:tag", &image);
	const struct oci_layer *lost = &image.layers.items[1];
	auto_free char *blob = oci_blob_path(fixture->store, lost->digest), *layer = oci_layer_path(fixture->store, lost->diff_id);
	assert_int_equal(truncate(blob, (off_t)lost->blob_bytes / 2), 0);
	assert_int_equal(file_remove_tree(layer, &err), 0);
	assert_int_equal(oci_load(fixture->store, fixture->scratch, image.manifest, NULL, &again, &err), -EINVAL);
	if (!strstr(err.msg, "damaged on this host's disk: pull or import it again"))
		fail_msg("%s", err.msg);
	expect_pull(world, "some/image:tag", &again);
	oci_image_done(&image);
	oci_image_done(&again);
}

static void test_full_disk(void **state)
{
	const struct world *world = *state;
	auto_free char *store = text_format("%s/small/store", world->fixture->folder), *scratch = text_format("%s/small/scratch", world->fixture->folder),
		       *disk = text_format("%s/small", world->fixture->folder);
	auto_free char *reference = text_format("127.0.0.1:%u/some/image:tag", world->proxy_port);
	const struct oci_pull how = { .reference = reference, .is_plain_http = true };
	auto_free char *layers = text_format("%s/layers", store);
	struct oci_image image;
	struct err err;
	int r;

	push(world, "oci", NULL);
	assert_int_equal(unlink(disk), 0);	/* The layer of that name is pushed. */
	assert_int_equal(mkdir(disk, 0700), 0);
	for (int i = 0; i < 2; i++) {
		/* Too small for the layers as they come; then for what is in them. */
		if (mount("tmpfs", disk, "tmpfs", 0, i ? "size=5m" : "size=2m") < 0)
			skip();
		assert_int_equal(mkdir(scratch, 0700), 0);
		r = oci_pull(store, scratch, &how, NULL, &image, &err);
		/* A layer that is whole may stay for the next attempt; nothing half-made does. */
		auto_str struct str list = { 0 };
		oci_fixture_list(layers, &list);
		assert_int_equal(umount(disk), 0);
		assert_null(strstr(str_text(&list), ".tmp"));
		assert_null(strstr(str_text(&list), "noise"));
		assert_int_equal(r, -ENOSPC);
		if (!strstr(err.msg, i ? "does not fit" : "for its layers as they come"))
			fail_msg("%s", err.msg);
	}
}

static void test_large_environment(void **state)
{
	const struct world *world = *state;
	auto_free char *value = alloc((1 << 20) + 1), *config = NULL;

	memset(value, 'x', 1 << 20);
	config = text_format("{\"Env\": [\"A=%s\"]}", value);
	push(world, "oci", config);
	refuse(world, "some/image:tag", NULL, -EFBIG, "the image's environment (Env) has 1048579 bytes");
	oci_fixture_expect_empty(world->fixture, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pull, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_progress, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_platforms, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_credentials, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unreachable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stall, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tampered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lost_blob, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large_environment, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("oci_pull", tests, NULL, NULL);
}
