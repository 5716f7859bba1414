/* What skopeo is given: the parts of the reference, credentials, a policy. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "2-virtualization/images/oci/skopeo.h"
#include "base/file.h"
#include "base/mem.h"

/* "busybox" is "docker.io/library/busybox"; the first part is a registry when it looks like a host. */
static void split_registry(struct skopeo *skopeo, const char *text)
{
	size_t length = strcspn(text, "/");
	bool has_registry = text[length] == '/' && (strcspn(text, ".:") < length || strncmp(text, "localhost", length) == 0);

	skopeo->registry = has_registry ? text_copy_length(text, length) : text_copy("docker.io");
	if (has_registry)
		skopeo->repository = text_copy(text);
	else
		skopeo->repository = text_format("docker.io/%s%s", text[length] == '/' ? "" : "library/", text);
}

static int split_reference(struct skopeo *skopeo, const char *reference, struct err *err)
{
	auto_free char *text = text_copy(reference);
	char *at = strchr(text, '@'), *slash, *colon;
	char digest[SHA256_TEXT_SIZE];
	int r;

	if (!text[0] || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/@_-[]") != strlen(text) ||
	    strchr("-/:@", text[0]))
		return err_set(err, -EINVAL, "'%s' is not the reference of an image: use one like docker.io/library/busybox:1.36",
			       shown(reference));
	if (at) {
		*at = '\0';
		if ((r = oci_digest_parse(at + 1, "the image's reference", digest, err)) < 0)
			return r;
		skopeo->digest = text_copy(digest);
	}
	slash = strrchr(text, '/');
	colon = strchr(slash ? slash : text, ':');
	if (colon)
		*colon = '\0';
	skopeo->tag = text_copy(colon && colon[1] ? colon + 1 : "latest");
	split_registry(skopeo, text);
	return 0;
}

/* containers-auth.json(5). Also without credentials: those of the host's root are not for images. */
static int write_credentials(struct skopeo *skopeo, struct err *err)
{
	const struct oci_pull *pull = skopeo->pull;
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };

	json_write_object(&writer, NULL);
	json_write_object(&writer, "auths");
	if (pull->username) {
		auto_free char *both = text_format("%s:%s", pull->username, pull->password ? pull->password : "");
		size_t size = strlen(both);
		auto_free char *encoded = alloc(4 * (size / 3 + 1) + 1);

		EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)both, (int)size);
		json_write_object(&writer, skopeo->registry);
		json_write_string(&writer, "auth", encoded);
		json_write_end_object(&writer);
	}
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	return file_write_atomic(skopeo->auth_path, text.data, text.size, 0600, err);
}

static int write_policy(struct skopeo *skopeo, struct err *err)
{
	static const char text[] = "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n";

	if (skopeo->pull->policy) {
		if (access(skopeo->pull->policy, R_OK) < 0)
			return err_set(err, -errno, "signature policy '%s': %m", shown(skopeo->pull->policy));
		skopeo->policy_path = text_copy(skopeo->pull->policy);
		return 0;
	}
	skopeo->policy_path = text_format("%s/policy.json", skopeo->store->scratch);
	return file_write_atomic(skopeo->policy_path, text, strlen(text), 0600, err);
}

static bool is_installed(const char *program)
{
	static const char *const folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		auto_free char *path = text_format("%s/%s", folders[i], program);

		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

int skopeo_init(struct skopeo *skopeo, const struct oci_store *store, const struct oci_pull *pull, const struct oci_patience *patience,
		struct err *err)
{
	int r;

	*skopeo = (struct skopeo){ .store = store, .pull = pull, .patience = patience };
	if (!is_installed("skopeo"))
		return err_set(err, -ENOTSUP, "skopeo is not installed, and it is what speaks with registries: apt install skopeo");
	skopeo->auth_path = text_format("%s/auth.json", store->scratch);
	if ((r = split_reference(skopeo, pull->reference, err)) < 0 || (r = write_policy(skopeo, err)) < 0)
		return r;
	return write_credentials(skopeo, err);
}

void skopeo_done(struct skopeo *skopeo)
{
	if (skopeo->auth_path)
		unlink(skopeo->auth_path);	/* Nothing secret stays longer than needed. */
	free(skopeo->registry);
	free(skopeo->repository);
	free(skopeo->tag);
	free(skopeo->digest);
	free(skopeo->auth_path);
	free(skopeo->policy_path);
}
