#include "4-service/cluster/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static void check_address(const char *text, const char *address, const char *listen)
{
	auto_free char *found = NULL, *found_listen = NULL;
	struct err err = { 0 };

	assert_int_equal(cluster_address_parse(text, &found, &found_listen, &err), 0);
	assert_string_equal(found, address);
	assert_string_equal(found_listen, listen);
}

static void test_addresses(void **state)
{
	(void)state;
	check_address("192.0.2.1", "192.0.2.1", "192.0.2.1:8443");
	check_address("192.0.2.1:1", "192.0.2.1", "192.0.2.1:1");
	check_address("2001:db8::1", "2001:db8::1", "[2001:db8::1]:8443");
	check_address("[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:8443");
	check_address("[2001:db8::1]:65535", "2001:db8::1", "[2001:db8::1]:65535");
}

static void test_addresses_that_are_none(void **state)
{
	static const char *const texts[] = {
		"", ":", "a.example", "a.example:8443", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:+1", "192.0.2.1:8443x",
		"0.0.0.0", "0.0.0.0:8443", "::", "[::]:8443", "224.0.0.1", "255.255.255.255", "[ff02::1]:8443",
		"[", "[]", "[::1", "[::1]x", "[::1]:", "192.0.2.256",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		char *address = NULL, *listen = NULL;
		struct err err = { 0 };

		if (cluster_address_parse(texts[i], &address, &listen, &err) != -EINVAL)
			fail_msg("'%s' was taken", texts[i]);
		assert_null(address);
		assert_null(listen);
	}
}

static void test_addresses_that_only_this_host_reaches(void **state)
{
	(void)state;
	assert_true(cluster_address_is_loopback("127.0.0.1"));
	assert_true(cluster_address_is_loopback("127.255.0.9"));
	assert_true(cluster_address_is_loopback("::1"));
	assert_false(cluster_address_is_loopback("128.0.0.1"));
	assert_false(cluster_address_is_loopback("2001:db8::1"));
}

static void test_the_address_towards_others(void **state)
{
	auto_free char *address = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cluster_address_guess("127.0.0.1:8443", &address, &err), 0);
	assert_string_equal(address, "127.0.0.1");
}

static void test_who_may_listen(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_free char *listen_text = NULL;
	socklen_t size = sizeof(address);
	struct err err = { 0 };

	(void)state;
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0);
	assert_int_equal(listen(fd, 1), 0);
	listen_text = text_format("127.0.0.1:%d", ntohs(address.sin_port));
	assert_int_equal(cluster_address_check(listen_text, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "api.listen"));
	assert_int_equal(cluster_address_check(listen_text, listen_text, &err), 0);
	close(take_fd(fd));
	assert_int_equal(cluster_address_check(listen_text, NULL, &err), 0);
	assert_int_equal(cluster_address_check("192.0.2.77:8443", NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ip address"));
}

static char *make_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = text_format("%s/strata-cluster-XXXXXX", tmp ? tmp : "/tmp");

	assert_non_null(mkdtemp(folder));
	return folder;
}

static void test_the_file(void **state)
{
	auto_free char *folder = make_folder(), *path = text_format("%s/cluster", folder);
	struct cluster_settings settings = { 0 }, found = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cluster_file_read(folder, &found, &err), 0);
	assert_null(found.uid);

	settings.uid = text_copy("0a");
	settings.name = text_copy("alpha");
	settings.address = text_copy("192.0.2.1:8443");
	settings.prefix = text_copy("/strata/0a/");
	settings.member = true;
	*(char **)field_list_push(&settings.endpoints, sizeof(char *)) = text_copy("https://192.0.2.1:2379");
	assert_int_equal(cluster_file_write(folder, &settings, &err), 0);
	assert_int_equal(cluster_file_read(folder, &found, &err), 0);
	assert_true(field_equal(&cluster_settings_table, &settings, &found));
	field_done(&cluster_settings_table, &found);

	for (size_t i = 0; i < 3; i++) {
		static const char *const damaged[] = { "", "{\"uid\": \"0a\"}", "{\"uid\": \"0a\", \"more\": 1}" };

		assert_int_equal(file_write_atomic(path, damaged[i], strlen(damaged[i]), 0600, &err), 0);
		assert_int_equal(cluster_file_read(folder, &found, &err), -EUCLEAN);
		assert_non_null(strstr(err.msg, path));
		assert_null(found.uid);
	}
	assert_int_equal(cluster_file_remove(folder, &err), 0);
	assert_int_equal(cluster_file_remove(folder, &err), 0);
	assert_int_equal(cluster_file_read(folder, &found, &err), 0);
	assert_null(found.uid);
	field_done(&cluster_settings_table, &settings);
	file_remove_tree(folder, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_that_are_none),
		cmocka_unit_test(test_addresses_that_only_this_host_reaches),
		cmocka_unit_test(test_the_address_towards_others),
		cmocka_unit_test(test_who_may_listen),
		cmocka_unit_test(test_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
