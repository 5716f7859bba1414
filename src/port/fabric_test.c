#include "port/fabric.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static struct in_addr ipv4(const char *text)
{
	struct in_addr address;

	assert_int_equal(inet_pton(AF_INET, text, &address), 1);
	return address;
}

static struct in6_addr ipv6(const char *text)
{
	struct in6_addr address;

	assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
	return address;
}

static struct fabric_network good_network(void)
{
	return (struct fabric_network){ .uid = "net-1", .name = "blue", .ipv4 = ipv4("10.0.0.1"), .ipv4_prefix = 24,
					.ipv6 = ipv6("fd00::1"), .ipv6_prefix = 64 };
}

static struct fabric_nic good_nic(void)
{
	return (struct fabric_nic){ .instance = "i-1", .hostname = "web", .network = "net-1",
				    .mac = { 0x52, 0x54, 0, 0, 0, 1 }, .ipv4 = ipv4("10.0.0.5") };
}

static void assert_refused(const struct fabric_network *network, const char *words)
{
	struct err err = { 0 };

	assert_int_equal(fabric_check_network(network, &err), -EINVAL);
	if (!strstr(err.msg, words))
		fail_msg("'%s' does not say '%s'", err.msg, words);
}

static void test_check_network(void **state)
{
	struct fabric_network network = good_network();
	struct err err;

	(void)state;
	assert_int_equal(fabric_check_network(&network, &err), 0);
	network.mtu = 1000;
	assert_refused(&network, "mtu: 1000 is out of range: use 1280");
	network = good_network();
	network.ipv4 = ipv4("10.0.0.0");
	assert_refused(&network, "10.0.0.0/24 is not an address of a host");
	network = good_network();
	network.ipv4_prefix = 31;
	assert_refused(&network, "prefix 31 of 10.0.0.1");
	network = good_network();
	network.domain = "a..b";
	assert_refused(&network, "domain: 'a..b' is not a DNS name");
	network.domain = "blue.example-1";
	assert_int_equal(fabric_check_network(&network, &err), 0);
	network.uid = NULL;
	assert_refused(&network, "network uid: is missing");
	network.uid = ".hidden";
	assert_refused(&network, "'.hidden'");
}

/* None of these may reach a file name, a configuration or a rule. */
static void test_check_hostname(void **state)
{
	static const char *const bad[] = { "", "-a", "a-", "a.b", "a b", "a\n", "a/b", "ä", "..",
		"a123456789012345678901234567890123456789012345678901234567890123" };
	struct fabric_nic nic = good_nic();
	struct err err;

	(void)state;
	assert_int_equal(fabric_check_nic(&nic, &err), 0);
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		nic.hostname = bad[i];
		if (fabric_check_nic(&nic, &err) != -EINVAL)
			fail_msg("hostname '%s' was accepted", bad[i]);
	}
	nic.hostname = "a12345678901234567890123456789012345678901234567890123456789012";
	assert_int_equal(fabric_check_nic(&nic, &err), 0);
}

static void test_copies(void **state)
{
	struct fabric_publish publish = { .host_port = 1, .guest_port = 2 };
	struct fabric_network network = good_network(), *network_copy = fabric_network_copy(&network);
	struct fabric_nic nic = good_nic(), *nic_copy;

	(void)state;
	nic.publish = &publish;
	nic.publish_count = 1;
	nic_copy = fabric_nic_copy(&nic);
	publish.host_port = 9;
	assert_int_equal(nic_copy->publish[0].host_port, 1);
	assert_string_equal(nic_copy->hostname, "web");
	assert_ptr_not_equal(nic_copy->hostname, nic.hostname);
	assert_string_equal(network_copy->name, "blue");
	assert_null(network_copy->domain);
	fabric_nic_free(nic_copy);
	fabric_network_free(network_copy);
	fabric_nic_free(NULL);
	fabric_network_free(NULL);
}

static bool overlaps(const char *a, const char *b)
{
	struct fabric_publish x = { .host_address = ipv6(a), .host_port = 80 }, y = { .host_address = ipv6(b), .host_port = 80 };

	assert_int_equal(fabric_publish_overlaps(&x, &y), fabric_publish_overlaps(&y, &x));
	return fabric_publish_overlaps(&x, &y);
}

static void test_publish_overlaps(void **state)
{
	struct fabric_publish tcp = { .protocol = FABRIC_TCP, .host_port = 80 }, udp = { .protocol = FABRIC_UDP, .host_port = 80 },
			      other = { .protocol = FABRIC_TCP, .host_port = 81 };

	(void)state;
	assert_false(fabric_publish_overlaps(&tcp, &udp));
	assert_false(fabric_publish_overlaps(&tcp, &other));
	assert_true(overlaps("::", "::"));
	assert_true(overlaps("::", "::ffff:10.0.0.1"));
	assert_true(overlaps("::", "fd00::1"));
	assert_true(overlaps("::ffff:0.0.0.0", "::ffff:10.0.0.1"));
	assert_true(overlaps("::ffff:10.0.0.1", "::ffff:10.0.0.1"));
	assert_false(overlaps("::ffff:10.0.0.1", "::ffff:10.0.0.2"));
	assert_false(overlaps("::ffff:0.0.0.0", "fd00::1"));
}

static void test_subnets_overlap(void **state)
{
	(void)state;
	assert_true(fabric_subnets_overlap(ipv4("10.0.0.1"), 24, ipv4("10.0.0.200"), 32));
	assert_true(fabric_subnets_overlap(ipv4("10.0.0.0"), 8, ipv4("10.9.0.0"), 16));
	assert_false(fabric_subnets_overlap(ipv4("10.0.0.0"), 24, ipv4("10.0.1.0"), 24));
	assert_true(fabric_subnets_overlap(ipv4("0.0.0.0"), 0, ipv4("10.0.1.0"), 24));
	assert_false(fabric_subnets_overlap(ipv4("10.0.0.1"), 32, ipv4("10.0.0.2"), 32));
}

static void test_domain(void **state)
{
	struct fabric_network network = good_network();
	char domain[FABRIC_DOMAIN_SIZE];

	(void)state;
	assert_string_equal(fabric_domain(&network, domain), "blue.internal");
	network.domain = "example.org";
	assert_string_equal(fabric_domain(&network, domain), "example.org");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_network),
		cmocka_unit_test(test_check_hostname),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_publish_overlaps),
		cmocka_unit_test(test_subnets_overlap),
		cmocka_unit_test(test_domain),
	};

	return cmocka_run_group_tests_name("fabric", tests, NULL, NULL);
}
