/* image pull, import, build, export: where images come from and go to. */
#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/pull.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/transfer.h"
#include "base/file.h"
#include "base/str.h"

enum { PASSWORD_BYTES = 4096 };

static int create_image(struct cli *cli, const char *name, struct json *spec, struct err *err)
{
	if (cli_has(cli, "container"))
		json_set(spec, "kind", json_new_string("container"));
	return resource_create(cli, &kinds[KIND_IMAGE], name, spec, err);
}

/* Pull. */

/* One line: a newline that an editor or echo put at its end is not part of it. */
static int read_password(char **ret_password, struct err *err)
{
	auto_str struct str text = { 0 };
	int result = file_read_all("/dev/stdin", PASSWORD_BYTES, &text, err);

	if (result < 0)
		return err_prefix(err, "--password-stdin");
	*ret_password = text_copy_length(str_text(&text), strcspn(str_text(&text), "\r\n"));
	return 0;
}

static int run_pull(struct cli *cli, struct err *err)
{
	const char *reference = cli_argument(cli, 0), *name = cli_argument(cli, 1);
	struct pull pull = { .name = name ? name : reference, .reference = reference, .username = cli_value(cli, "username"),
		.has_plain_http = cli_has(cli, "plain-http") };
	auto_free char *password = NULL;
	int result = 0;

	if (cli_has(cli, "password-stdin") && !pull.username)
		return err_set(err, CLI_USAGE, "--password-stdin: whose? Give --username too");
	if (cli_has(cli, "password-stdin"))
		result = read_password(&password, err);
	pull.password = password;
	if (result == 0)
		result = pull_image(cli, &pull, err);
	if (result == 0)
		fprintf(cli->out, "%s\n", pull.name);
	return result;
}

/* Import. */

/* A part of an image comes from a URL as it is, or from a file by an upload. */
static int add_part(struct cli *cli, struct json *spec, const char *part, const char *from, const char *sha256,
		    struct err *err)
{
	struct json *object;
	auto_free char *id = NULL;

	if (!from)
		return 0;
	object = spec_member(spec, part);
	if (sha256)
		json_set(object, "sha256", json_new_string(sha256));
	if (strstr(from, "://")) {
		json_set(object, "url", json_new_string(from));
		return 0;
	}
	if (transfer_upload(cli, from, &id, err) < 0)
		return err->code;
	json_set(object, "upload", json_new_string(id));
	return 0;
}

static int import_container(struct cli *cli, const char *name, const char *from, struct err *err)
{
	static const char *const others[] = { "kernel", "initrd", "kernel-options", "format" };
	auto_json struct json *spec = json_new_object();
	int result;

	for (size_t i = 0; i < ARRAY_COUNT(others); i++)
		if (cli_value(cli, others[i]))
			return err_set(err, CLI_USAGE, "--%s: only an image for a vm has it: leave it out", others[i]);
	if (!from)
		return err_set(err, CLI_USAGE, "an image for containers needs an archive: strata image import --container NAME FILE");
	result = add_part(cli, spec, "archive", from, cli_value(cli, "sha256"), err);
	return result < 0 ? result : create_image(cli, name, take(spec), err);
}

static int run_import(struct cli *cli, struct err *err)
{
	const char *disk = cli_argument(cli, 1), *kernel = cli_value(cli, "kernel"), *sha256 = cli_value(cli, "sha256");
	auto_json struct json *spec = NULL;
	int result;

	if (cli_has(cli, "container"))
		return import_container(cli, cli_argument(cli, 0), disk, err);
	if (!disk && !kernel)
		return err_set(err, CLI_USAGE, "an image needs a disk (FILE or URL), or --kernel");
	spec = json_new_object();
	result = add_part(cli, spec, "disk", disk, sha256, err);
	if (result == 0)
		result = add_part(cli, spec, "kernel", kernel, disk ? NULL : sha256, err);
	if (result == 0)
		result = add_part(cli, spec, "initrd", cli_value(cli, "initrd"), NULL, err);
	if (result < 0)
		return result;
	set_from_option(cli, "format", spec, "format");
	set_from_option(cli, "kernel-options", spec, "cmdline");
	return create_image(cli, cli_argument(cli, 0), take(spec), err);
}

static int run_build(struct cli *cli, struct err *err)
{
	const char *recipe = cli_argument(cli, 0), *name = cli_argument(cli, 1);
	struct json *spec = json_new_object();

	json_set(spec, "build", json_new_string(recipe));
	return create_image(cli, name ? name : recipe, spec, err);
}

/* Export. */

static int run_export(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("images", cli_argument(cli, 0), "export", NULL);

	if (cli_has(cli, "part"))
		request_query(&path, "part", cli_value(cli, "part"));
	if (cli_has(cli, "form"))
		request_query(&path, "form", cli_value(cli, "form"));
	return transfer_download(cli, path, cli_argument(cli, 1), err);
}

const struct cli_command command_image_pull = {
	.name = "image pull", .arguments = "REFERENCE [NAME]", .min = 1, .max = 2, .run = run_pull,
	.summary = "Fetch a container image from a registry",
	.more = "A reference without a registry is one of docker.io. An image of that name that is here already is brought up to "
		"date; containers keep what they were made from. Without a NAME the image is called as the reference is written.",
	.options = OPTIONS({ "username", 'u', false, "NAME", "Who asks the registry." },
		{ "password-stdin", 0, false, NULL, "Read their password or token from standard input." },
		{ "plain-http", 0, false, NULL, "The registry has no TLS." },
		{ "timeout", 0, false, "DURATION", "Stop waiting after this long (\"90s\"); the work goes on." }),
	.examples = EXAMPLES("strata image pull busybox:1.36", "strata image pull quay.io/prometheus/prometheus:v2.53.0 prometheus",
			     "strata image pull localhost:5000/shop/web:7 --plain-http",
			     "strata image pull registry.example/app:2 --username ci --password-stdin < token"),
};

const struct cli_command command_image_import = {
	.name = "image import", .arguments = "NAME [FILE|URL]", .min = 1, .max = 2, .completes = "file", .run = run_import,
	.summary = "Make an image from a disk, a kernel and initrd, or an archive",
	.more = "Disks are qcow2 or raw; archives of containers what 'docker save' or skopeo writes, or the tar file of a root file "
		"system. Files are uploaded (- is standard input); an http or https URL is fetched by the daemon.",
	.options = OPTIONS({ "container", 0, false, NULL, "An image for containers." },
		{ "sha256", 0, false, "HEX", "SHA-256 the file must have." },
		{ "kernel", 0, false, "FILE|URL", "Linux kernel to boot directly." },
		{ "initrd", 0, false, "FILE|URL", "Its initial RAM disk." },
		{ "kernel-options", 0, false, "TEXT", "Kernel command line." },
		{ "format", 0, false, "FORMAT", "auto, raw or qcow2." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata image import debian disk.qcow2",
			     "strata image import debian https://example.org/disk.qcow2 --sha256 0123...",
			     "strata image import rescue --kernel vmlinuz --initrd initrd.img",
			     "docker save web:7 | strata image import --container web:7 -"),
};

const struct cli_command command_image_build = {
	.name = "image build", .arguments = "RECIPE [NAME]", .min = 1, .max = 2, .run = run_build,
	.summary = "Build an image here, from packages of this host's Debian",
	.more = "Recipes: tiny, debian:12 and debian:13; with --container busybox, debian:12 and debian:13. Without a NAME it is "
		"called like the recipe.",
	.options = OPTIONS({ "container", 0, false, NULL, "An image for containers." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata image build tiny", "strata image build debian:12", "strata image build --container busybox",
			     "strata image build --container debian:13 base:13"),
};

const struct cli_command command_image_export = {
	.name = "image export", .arguments = "NAME FILE", .min = 2, .max = 2, .completes = "images", .run = run_export,
	.summary = "Write an image to a file",
	.more = "Of a vm its disk as qcow2; one that boots its kernel directly ('strata image show' says so) moves to another host as "
		"these parts. Of a container an archive that docker, podman and skopeo read.",
	.options = OPTIONS({ "part", 0, false, "PART", "disk, kernel or initrd (disk); of a vm." },
		{ "form", 0, false, "FORM", "docker or oci; of a container." }),
	.examples = EXAMPLES("strata image export debian debian.qcow2", "strata image export debian - | gzip > debian.qcow2.gz",
			     "strata image export tiny vmlinuz --part kernel", "strata image export web:7 web.tar --form oci"),
};
