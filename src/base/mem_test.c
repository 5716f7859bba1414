#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/vec.h"

static void test_text_is_copied_and_replaced(void **state)
{
	auto_free char *text = text_copy("instance");
	auto_free char *formatted = text_format("%s-%d", "web", 7);
	auto_free char *part = text_copy_length("abcdef", 3);

	(void)state;
	text_replace(&text, text + 2);		/* From inside itself. */
	assert_string_equal(text, "stance");
	text_replace(&text, NULL);
	assert_null(text);
	assert_null(text_copy(NULL));
	assert_string_equal(formatted, "web-7");
	assert_string_equal(part, "abc");
}

static void test_formats_of_texts_alone_and_all_others_give_what_printf_gives(void **state)
{
	auto_free char *joined = text_format("%s/a/%s%s/", "desired", "", "uid"), *empty = text_format("%s", "");
	auto_free char *percent = text_format("%s is 5%%", "x"), *wide = text_format("%5s|%.2s", "ab", "abc");
	auto_free char *many = text_format("%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s", "1", "2", "3", "4", "5", "6", "7", "8", "9",
					   "a", "b", "c", "d", "e", "f", "g", "h");
	auto_free char *fixed = text_format("leader");

	(void)state;
	assert_string_equal(joined, "desired/a/uid/");
	assert_string_equal(empty, "");
	assert_string_equal(percent, "x is 5%");
	assert_string_equal(wide, "   ab|ab");
	assert_string_equal(many, "123456789abcdefgh");
	assert_string_equal(fixed, "leader");
}

static void test_take_moves_ownership(void **state)
{
	char *text = text_copy("x");
	auto_free char *owner = take(text);
	int fd = 5;

	(void)state;
	assert_null(text);
	assert_non_null(owner);
	assert_int_equal(take_fd(fd), 5);
	assert_int_equal(fd, -1);
}

static void test_memory_is_zeroed(void **state)
{
	auto_free unsigned char *memory = alloc(100);

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(memory[i], 0);
}

static void test_overflow_aborts(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		close(STDERR_FILENO);		/* A sanitizer would tell the story at length. */
		signal(SIGABRT, SIG_DFL);
		free(alloc_array(NULL, SIZE_MAX / 2, 4));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_vector_grows_and_shrinks_in_order(void **state)
{
	VEC(int) numbers = { 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		*vec_push(&numbers) = i;
	vec_remove(&numbers, 99);
	vec_remove(&numbers, 0);
	vec_remove(&numbers, 49);		/* The number 50. */
	assert_int_equal(numbers.count, 97);
	assert_int_equal(numbers.items[0], 1);
	assert_int_equal(numbers.items[48], 49);
	assert_int_equal(numbers.items[49], 51);
	assert_int_equal(*vec_push(&numbers), 0);
	vec_done(&numbers);
	assert_int_equal(numbers.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_is_copied_and_replaced),
		cmocka_unit_test(test_formats_of_texts_alone_and_all_others_give_what_printf_gives),
		cmocka_unit_test(test_take_moves_ownership),
		cmocka_unit_test(test_memory_is_zeroed),
		cmocka_unit_test(test_overflow_aborts),
		cmocka_unit_test(test_vector_grows_and_shrinks_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
