#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "2-virtualization/images/seed.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

enum { VOLUME_ID_OFFSET = 16 * 2048 + 40 };	/* ECMA-119, 8.4.8 */

static int set_up(void **state)
{
	char *directory = text_copy("/tmp/strata-seed-XXXXXX");

	assert_non_null(mkdtemp(directory));
	*state = directory;
	return 0;
}

static int tear_down(void **state)
{
	struct err err;

	assert_int_equal(file_remove_tree(*state, &err), 0);
	free(*state);
	return 0;
}

/* The content of one file in the image; null when it is not there. */
static char *read_member(const struct str *image, const char *name)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	char *content = NULL;

	archive_read_support_format_iso9660(archive);
	assert_int_equal(archive_read_open_memory(archive, image->data, image->size), ARCHIVE_OK);
	while (!content && archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
		size_t size = (size_t)archive_entry_size(entry);

		if (!text_equal(archive_entry_pathname(entry), name))
			continue;
		content = alloc(size + 1);
		assert_int_equal(archive_read_data(archive, content, size), size);
	}
	archive_read_free(archive);
	return content;
}

static void test_content(void **state)
{
	const char *const keys[] = { "ssh-ed25519 AAAA me@\"here\"", "ssh-rsa BBBB" };
	const struct seed seed = {
		.instance_id = "i-1", .hostname = "web", .user_data = "#!/bin/sh\necho hello\n", .ssh_keys = keys, .ssh_key_count = 2,
	};
	auto_free char *path = text_format("%s/seed", (char *)*state), *meta_data = NULL, *user_data = NULL;
	auto_str struct str image = { 0 };
	struct stat st;
	struct err err;

	if (seed_write(path, &seed, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(file_read_all(path, 4 << 20, &image, &err), 0);
	/* The standard's characters are upper case; cloud-init looks for both. */
	assert_memory_equal(image.data + VOLUME_ID_OFFSET, "CIDATA ", 7);
	meta_data = read_member(&image, "meta-data");
	user_data = read_member(&image, "user-data");
	assert_string_equal(meta_data, "instance-id: \"i-1\"\nlocal-hostname: \"web\"\npublic-keys:\n"
				       "  - \"ssh-ed25519 AAAA me@\\\"here\\\"\"\n  - \"ssh-rsa BBBB\"\n");
	assert_string_equal(user_data, "#!/bin/sh\necho hello\n");
}

static void test_defaults(void **state)
{
	const struct seed seed = { .instance_id = "i-1", .hostname = "web" };
	auto_free char *path = text_format("%s/seed", (char *)*state), *user_data = NULL;
	auto_str struct str image = { 0 };
	struct err err;

	assert_int_equal(seed_write(path, &seed, &err), 0);
	assert_int_equal(file_read_all(path, 4 << 20, &image, &err), 0);
	user_data = read_member(&image, "user-data");
	assert_string_equal(user_data, "#cloud-config\n{}\n");
}

static void expect_refusal(const char *path, struct seed seed, const char *word)
{
	struct err err = { 0 };

	assert_int_equal(seed_write(path, &seed, &err), -EINVAL);
	assert_non_null(strstr(err.msg, word));
}

static void test_refusals(void **state)
{
	const char *const two_lines[] = { "ssh-rsa AAAA\nssh-rsa BBBB" };
	auto_free char *path = text_format("%s/seed", (char *)*state), *large = alloc(LIMIT_TEXT_BYTES + 2);

	memset(large, 'x', LIMIT_TEXT_BYTES + 1);
	expect_refusal(path, (struct seed){ "i-1", "", NULL, NULL, 0 }, "hostname");
	expect_refusal(path, (struct seed){ "i-1", "a\nb", NULL, NULL, 0 }, "hostname");
	expect_refusal(path, (struct seed){ "\xff", "a", NULL, NULL, 0 }, "instance id");
	expect_refusal(path, (struct seed){ "i-1", "a", NULL, two_lines, 1 }, "ssh key");
	expect_refusal(path, (struct seed){ "i-1", "a", large, NULL, 0 }, "user data");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_content, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
