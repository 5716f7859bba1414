#include "driver/machine/qemu/stderr_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void command_line_is_left_out(void **state)
{
	(void)state;
	assert_string_equal(stderr_text("qemu-system-x86_64: -blockdev {\"a\":{\"b\":\"c: d\"}}: Image is not in qcow2 format"),
			    "Image is not in qcow2 format");
	assert_string_equal(stderr_text("qemu-system-x86_64: -netdev tap,id=nic0,fd=9: TUNGETIFF ioctl() failed: Bad fd"),
			    "TUNGETIFF ioctl() failed: Bad fd");
	assert_string_equal(stderr_text("qemu-system-x86_64: cannot set up guest memory"), "cannot set up guest memory");
}

static void other_words_stay(void **state)
{
	(void)state;
	assert_string_equal(stderr_text(""), "");
	assert_string_equal(stderr_text("Could not open option rom: gone"), "Could not open option rom: gone");
	assert_string_equal(stderr_text("-device {\"cut off"), "-device {\"cut off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_line_is_left_out), cmocka_unit_test(other_words_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
