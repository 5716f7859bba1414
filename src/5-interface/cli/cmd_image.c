#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/transfer.h"
#include "base/str.h"

static const struct kind *image_kind(void)
{
	return &kinds[KIND_IMAGE];
}

static int run_ls(struct cli *cli, struct err *err)
{
	return output_list(cli, &(struct output_list){ .kind = image_kind(), .path = "/v1/images" }, err);
}

static int run_show(struct cli *cli, struct err *err)
{
	return resource_show(cli, image_kind(), err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return resource_rm(cli, image_kind(), err);
}

static int run_export(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("images", cli_argument(cli, 0), "export", NULL);

	if (cli_has(cli, "part"))
		request_query(&path, "part", cli_value(cli, "part"));
	return transfer_download(cli, path, cli_argument(cli, 1), err);
}

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

static int run_import(struct cli *cli, struct err *err)
{
	const char *disk = cli_argument(cli, 1), *kernel = cli_value(cli, "kernel"), *sha256 = cli_value(cli, "sha256");
	auto_json struct json *spec = json_new_object();
	int result;

	if (!disk && !kernel)
		return err_set(err, CLI_USAGE, "an image needs a disk (FILE or URL), or --kernel");
	result = add_part(cli, spec, "disk", disk, sha256, err);
	if (result == 0)
		result = add_part(cli, spec, "kernel", kernel, disk ? NULL : sha256, err);
	if (result == 0)
		result = add_part(cli, spec, "initrd", cli_value(cli, "initrd"), NULL, err);
	if (result < 0)
		return result;
	set_from_option(cli, "format", spec, "format");
	set_from_option(cli, "kernel-options", spec, "cmdline");
	return resource_create(cli, image_kind(), cli_argument(cli, 0), take(spec), err);
}

static int run_build(struct cli *cli, struct err *err)
{
	const char *recipe = cli_argument(cli, 0), *name = cli_argument(cli, 1);
	struct json *spec = json_new_object();

	json_set(spec, "build", json_new_string(recipe));
	return resource_create(cli, image_kind(), name ? name : recipe, spec, err);
}

const struct cli_command command_image_ls = {
	.name = "image ls", .max = 0, .run = run_ls, .summary = "List images",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata image ls", "strata image ls -o name"),
};

const struct cli_command command_image_show = {
	.name = "image show", .arguments = "NAME...", .min = 1, .max = -1, .completes = "images", .run = run_show,
	.summary = "Show everything about an image",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata image show tiny"),
};

const struct cli_command command_image_import = {
	.name = "image import", .arguments = "NAME [FILE|URL]", .min = 1, .max = 2, .completes = "file", .run = run_import,
	.summary = "Make an image from a disk, or a kernel and initrd",
	.more = "Disks are qcow2 or raw. Files are uploaded (- is standard input); an http or https URL is fetched by the daemon.",
	.options = OPTIONS({ "sha256", 0, false, "HEX", "SHA-256 the file must have." },
		{ "kernel", 0, false, "FILE|URL", "Linux kernel to boot directly." },
		{ "initrd", 0, false, "FILE|URL", "Its initial RAM disk." },
		{ "kernel-options", 0, false, "TEXT", "Kernel command line." },
		{ "format", 0, false, "FORMAT", "auto, raw or qcow2." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata image import debian disk.qcow2",
			     "strata image import debian https://example.org/disk.qcow2 --sha256 0123...",
			     "strata image import rescue --kernel vmlinuz --initrd initrd.img"),
};

const struct cli_command command_image_build = {
	.name = "image build", .arguments = "RECIPE [NAME]", .min = 1, .max = 2, .run = run_build,
	.summary = "Build an image here: tiny, debian:12 or debian:13",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata image build tiny", "strata image build debian:12"),
};

const struct cli_command command_image_export = {
	.name = "image export", .arguments = "NAME FILE", .min = 2, .max = 2, .completes = "images", .run = run_export,
	.summary = "Write an image's disk to a qcow2 file, or its kernel",
	.more = "An image that boots its kernel directly ('strata image show' says so) moves to another host as these parts.",
	.options = OPTIONS({ "part", 0, false, "PART", "disk, kernel or initrd (disk)." }),
	.examples = EXAMPLES("strata image export debian debian.qcow2", "strata image export debian - | gzip > debian.qcow2.gz",
			     "strata image export tiny vmlinuz --part kernel"),
};

const struct cli_command command_image_rm = {
	.name = "image rm", .arguments = "NAME...", .min = 1, .max = -1, .completes = "images", .run = run_rm,
	.summary = "Remove images",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata image rm debian"),
};
