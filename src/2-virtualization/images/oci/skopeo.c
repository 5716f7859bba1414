#include "2-virtualization/images/oci/skopeo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/spawn.h"

enum { ARGUMENTS_MAX = 40, PAUSE_STEP_MS = 50 };
static const uint64_t copy_timeout_ms = 24 * 60 * 60 * 1000;	/* A stall ends it much sooner. */

struct run {				/* One attempt. */
	const struct skopeo *skopeo;
	skopeo_watch_fn *watch;
	void *data;
	char reason[400];		/* What skopeo says at its end. */
	uint64_t bytes;
	int64_t last_progress_ms;
	bool is_stalled, must_stop;
};

/* time="..." level=fatal msg="Error ...: \"...\"": what is said. */
static void on_line(void *data, const char *line)
{
	struct run *run = data;
	const char *text = strstr(line, "msg=");
	size_t size = 0;
	bool is_quoted;

	if (!strstr(line, "level=fatal") || !text)
		return;
	text += strlen("msg=");
	is_quoted = *text == '"';
	for (text += is_quoted; *text && !(is_quoted && *text == '"') && size + 1 < sizeof(run->reason); text++) {
		if (*text == '\\' && text[1])
			text++;
		run->reason[size++] = *text;
	}
	run->reason[size] = '\0';
}

static void on_tick(void *data)
{
	struct run *run = data;
	uint64_t bytes = run->watch ? run->watch(run->data) : 0;
	int64_t now = clock_monotonic_ms();

	if (bytes != run->bytes)
		run->last_progress_ms = now;
	run->bytes = bytes;
	run->is_stalled = now - run->last_progress_ms > (int64_t)run->skopeo->patience->stall_ms;
	if (run->is_stalled || volume_is_cancelled(run->skopeo->store->progress))
		run->must_stop = true;
}

/* In the order in which they are looked for: skopeo wraps one into the other. */
static const struct explanation {
	const char *words;
	int code;
	bool is_transient;
	const char *text;
} explanations[] = {
	{ "invalid reference format", -EINVAL, false, "that is no reference: use [REGISTRY/]NAME[:TAG], with the name in lower case" },
	{ "must be lowercase", -EINVAL, false, "that is no reference: use [REGISTRY/]NAME[:TAG], with the name in lower case" },
	{ "no space left on device", -ENOSPC, false, "no space left for it: free some" },
	{ "file too large", -EFBIG, false, "a blob is larger than any that is taken" },
	{ "igest did not match", -EINVAL, false, "the registry sends something else than the digest says" },
	{ "does not match", -EINVAL, false, "the registry sends something else than the digest says" },
	{ "Source image rejected", -EACCES, false, "the signature policy refuses it" },
	{ "invalid policy in", -EINVAL, false, "the signature policy cannot be read" },
	{ "manifest unknown", -ENOENT, false, "the registry has no such image or tag" },
	{ "name unknown", -ENOENT, false, "the registry has no such image" },
	{ "repository name not known", -ENOENT, false, "the registry has no such image" },
	{ "status: 404", -ENOENT, false, "the registry has no such image or tag" },
	{ "registry 404", -ENOENT, false, "the registry has no such image or tag" },
	{ "not found", -ENOENT, false, "the registry has no such image or tag" },
	{ "unable to retrieve auth token", -EACCES, false, "the registry refuses the user name or password" },
	{ "unauthorized", -EACCES, false, "the registry wants a (different) user name and password, or has no such image" },
	{ "authentication required", -EACCES, false, "the registry wants a (different) user name and password" },
	{ "denied", -EACCES, false, "the registry refuses access, or has no such image" },
	{ "server gave HTTP response to HTTPS client", -EPROTO, false, "the registry speaks no TLS: allow plain HTTP if that is meant" },
	{ "x509", -EPROTO, false, "the registry's certificate is not trusted" },
	{ "tls:", -EPROTO, false, "no safe connection (TLS) to the registry" },
	{ "no such host", -EAGAIN, false, "the registry's name does not resolve" },
	{ "server misbehaving", -EAGAIN, false, "the registry's name does not resolve: look at this host's DNS" },
	{ "connection refused", -EAGAIN, false, "the registry cannot be reached: nobody listens there" },
	{ "no route to host", -EAGAIN, false, "the registry cannot be reached" },
	{ "network is unreachable", -EAGAIN, false, "the registry cannot be reached" },
	{ "toomanyrequests", -EAGAIN, true, "the registry asks to wait: try again later" },
	{ "EOF", -EAGAIN, true, "the registry broke the connection off: try again later" },
	{ "connection reset", -EAGAIN, true, "the registry broke the connection off: try again later" },
	{ "broken pipe", -EAGAIN, true, "the registry broke the connection off: try again later" },
	{ "timeout", -EAGAIN, true, "the registry does not answer: try again later" },
	{ "status: 5", -EAGAIN, true, "the registry has trouble of its own: try again later" },
	{ "registry 5", -EAGAIN, true, "the registry has trouble of its own: try again later" },
	{ "status code 5", -EAGAIN, true, "the registry has trouble of its own: try again later" },
};

/* The image's own name says nothing about what is wrong. */
static void forget_name(const struct skopeo *skopeo, char *reason)
{
	const char *name = skopeo->repository + strlen(skopeo->registry);
	size_t length = strlen(name);

	for (char *at; (at = strstr(reason, name));)
		memmove(at, at + length, strlen(at + length) + 1);
}

static int explain(const struct run *run, bool *ret_is_transient, struct err *err)
{
	const char *reference = run->skopeo->pull->reference;
	char words[sizeof(run->reason)];

	*ret_is_transient = false;
	if (volume_is_cancelled(run->skopeo->store->progress))
		return err_set(err, -ECANCELED, "cancelled");
	if (run->is_stalled) {
		*ret_is_transient = true;
		return err_set(err, -EAGAIN, "image '%s': the registry sent nothing for %llu seconds: try again later", shown(reference),
			       (unsigned long long)run->skopeo->patience->stall_ms / 1000);
	}
	if (!run->reason[0])		/* Ended, or missing. */
		return err_prefix(err, "image '%s'", shown(reference));
	memcpy(words, run->reason, sizeof(words));
	forget_name(run->skopeo, words);
	for (size_t i = 0; i < ARRAY_COUNT(explanations); i++) {
		if (!strstr(words, explanations[i].words))
			continue;
		*ret_is_transient = explanations[i].is_transient;
		return err_set(err, explanations[i].code, "image '%s': %s", shown(reference), explanations[i].text);
	}
	return err_set(err, -EIO, "image '%s': %s", shown(reference), text_shown(run->reason, 240, (char[256]){ 0 }, 256));
}

static void pause_before(const struct skopeo *skopeo, unsigned attempt)
{
	const struct timespec step = { .tv_nsec = PAUSE_STEP_MS * 1000000L };
	int64_t left_ms = (int64_t)skopeo->patience->pause_ms << attempt;

	for (; left_ms > 0 && !volume_is_cancelled(skopeo->store->progress); left_ms -= PAUSE_STEP_MS)
		nanosleep(&step, NULL);
}

/* Again after what passes by itself. What has come whole is kept and not fetched again. */
static int run_skopeo(const struct skopeo *skopeo, const char *const *arguments, skopeo_watch_fn *watch, void *data, struct str *output,
		      struct err *err)
{
	auto_free char *file_limit = text_format("--fsize=%llu", LIMIT_LAYER_BYTES);
	const char *argv[ARGUMENTS_MAX] = {
		"prlimit", file_limit, "--core=0", "--nofile=1024:1024", "skopeo", "--policy", skopeo->policy_path,
		"--override-os", "linux", "--override-arch", OCI_ARCHITECTURE, "--tmpdir", skopeo->store->scratch,
	};
	size_t count = 13;
	const struct spawn_params params = { .argv = argv, .ends_with_parent = true };

	while (*arguments)
		argv[count++] = *arguments++;
	for (unsigned attempt = 0;; attempt++) {
		struct run run = { .skopeo = skopeo, .watch = watch, .data = data, .last_progress_ms = clock_monotonic_ms() };
		const struct spawn_io io = {
			.output = output, .output_max = LIMIT_OCI_CONFIG_BYTES + 1, .timeout_ms = copy_timeout_ms,
			.is_cancelled = &run.must_stop, .on_line = on_line, .on_tick = on_tick, .data = &run,
		};
		bool is_transient;
		int r;

		if (output)
			str_clear(output);
		r = spawn_run(&params, &io, err);
		if (r == 0)
			return 0;
		if (r == -EFBIG || r == -ENOENT)
			return err_prefix(err, "image '%s'", shown(skopeo->pull->reference));
		r = explain(&run, &is_transient, err);
		if (!is_transient || attempt + 1 >= skopeo->patience->attempts)
			return r;
		pause_before(skopeo, attempt);
	}
}

static char *name(const struct skopeo *skopeo, const char *digest)
{
	if (!digest && !skopeo->digest)
		return text_format("docker://%s:%s", skopeo->repository, skopeo->tag);
	return text_format("docker://%s@sha256:%s", skopeo->repository, digest ? digest : skopeo->digest);
}

static const char *tls(const struct skopeo *skopeo)
{
	return skopeo->pull->is_plain_http ? "--tls-verify=false" : "--tls-verify=true";
}

int skopeo_manifest(const struct skopeo *skopeo, const char *digest, struct str *out, struct err *err)
{
	auto_free char *from = name(skopeo, digest);

	return run_skopeo(skopeo, (const char *const[]){ "inspect", "--raw", "--authfile", skopeo->auth_path, tls(skopeo), from, NULL },
			  NULL, NULL, out, err);
}

int skopeo_config(const struct skopeo *skopeo, const char *digest, struct str *out, struct err *err)
{
	auto_free char *from = name(skopeo, digest);

	return run_skopeo(skopeo, (const char *const[]){ "inspect", "--raw", "--config", "--authfile", skopeo->auth_path, tls(skopeo),
							 from, NULL },
			  NULL, NULL, out, err);
}

int skopeo_copy(const struct skopeo *skopeo, const char *digest, skopeo_watch_fn *watch, void *data, struct err *err)
{
	auto_free char *from = name(skopeo, digest), *to = text_format("oci:%s/layout:image", skopeo->store->scratch),
		       *blobs = text_format("%s/blobs", skopeo->store->scratch);
	const char *const arguments[] = {
		"copy", "--src-authfile", skopeo->auth_path, skopeo->pull->is_plain_http ? "--src-tls-verify=false" : "--src-tls-verify=true",
		"--dest-shared-blob-dir", blobs, "--dest-oci-accept-uncompressed-layers",
		"--remove-signatures",	/* Checked by then; a layout has no place for them. */
		from, to, NULL,
	};

	return run_skopeo(skopeo, arguments, watch, data, NULL, err);
}
