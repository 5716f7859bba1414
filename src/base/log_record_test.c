#include "base/log_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

#define T1 "2026-11-30T05:24:38.129123456+00:00"
#define T2 "2026-11-30T05:24:39.500000000+00:00"
#define MS1 1796016278129

struct got { struct str text, starts; };

static void keep(void *data, const struct log_record *record, const char *text, size_t size)
{
	struct got *got = data;

	str_append_bytes(&got->text, text, size);
	if (record->is_start)
		str_printf(&got->starts, "%s%c%c ", record->is_continued ? "+" : "", record->stream == LOG_STDOUT ? 'o' : 'e', record->is_partial ? 'P' : 'F');
}

static void got_done(struct got *got)
{
	str_done(&got->text);
	str_done(&got->starts);
}
#define auto_got __attribute__((cleanup(got_done)))

/* In pieces of every size up to the whole: always the same. */
static void expect(struct log_decoder filter, const char *log, const char *text, const char *starts, uint64_t damaged)
{
	size_t size = strlen(log);

	for (size_t piece = 1; piece <= size; piece++) {
		auto_got struct got got = { 0 };
		struct log_decoder decoder = filter;

		decoder.fn = keep;
		decoder.data = &got;
		for (size_t i = 0; i < size; i += piece)
			log_decoder_write(&decoder, log + i, size - i < piece ? size - i : piece);
		assert_string_equal(str_text(&got.text), text);
		if (starts)
			assert_string_equal(str_text(&got.starts), starts);
		assert_int_equal(decoder.damaged, damaged);
	}
}

static const struct log_decoder everything;

static void test_text(void **state)
{
	(void)state;
	expect(everything, T1 " stdout F one\n" T2 " stderr F two\n", "one\ntwo\n", "oF eF ", 0);
	expect(everything, T1 " stdout P on\n" T2 " stdout F e\n" T2 " stdout F two\n", "one\ntwo\n", "oP +oF oF ", 0);
	expect(everything, T1 " stdout P a\n" T2 " stderr F e\n" T2 " stdout F b\n", "ae\nb\n", "oP eF +oF ", 0);
	expect(everything, T1 " stdout F \n" T1 " stdout F\n" T1 " stdout P \n" T1 " stdout F  x \n", "\n\n x \n", NULL, 0);
	expect(everything, "2026-11-30T05:24:38Z stdout F:tag x\r\n", "x\r\n", "oF ", 0);
	expect(everything, T1 " stdout F not ended", "not ended", NULL, 0);
}

static void test_damage(void **state)
{
	(void)state;
	/* Cut at the front. */
	expect(everything, "24:38.129123456+00:00 stdout F torn\n" T1 " stdout F whole\n", "whole\n", "oF ", 0);
	expect(everything, "torn\n" T1 " stdout F whole\n", "whole\n", "oF ", 0);
	expect(everything, T1 " stdout F a\nrubbish\n\n" T1 " stdin F x\n" T1 " stdout Q x\n2026-13-30T05:24:38Z stdout F x\n"
	       "a head that is much longer than that of any record and has no three blanks: ---------------------------------\n"
	       T1 " stdout F b\n", "a\nb\n", "oF oF ", 6);
}

static void test_filter(void **state)
{
	static const char log[] = T1 " stdout P ol\n" T1 " stdout F d\n" T2 " stderr F e\n" T2 " stdout F new\n";

	(void)state;
	expect((struct log_decoder){ .since_ms = MS1 }, log, "old\ne\nnew\n", NULL, 0);
	expect((struct log_decoder){ .since_ms = MS1 + 1 }, log, "e\nnew\n", NULL, 0);
	expect((struct log_decoder){ .since_ms = MS1 + 1, .skipped_streams = 1U << LOG_STDERR }, log, "new\n", NULL, 0);
}

/* A line without an end needs no memory, and a new file begins with a head. */
static void test_endless_line_and_restart(void **state)
{
	auto_got struct got got = { 0 };
	struct log_decoder decoder = { .fn = keep, .data = &got };
	static char much[1 << 20];

	(void)state;
	memset(much, 'x', sizeof(much));
	log_decoder_write(&decoder, T1 " stdout P ", strlen(T1 " stdout P "));
	for (int i = 0; i < 8; i++)
		log_decoder_write(&decoder, much, sizeof(much));
	assert_int_equal(got.text.size, 8 * sizeof(much));
	log_decoder_restart(&decoder);
	str_clear(&got.text);
	log_decoder_write(&decoder, T1 " stdout F new\n", strlen(T1 " stdout F new\n"));
	assert_string_equal(str_text(&got.text), "new\n");
	assert_string_equal(str_text(&got.starts), "oP oF ");
}

static const char *last_lines(const char *log, uint64_t count, bool has_records)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct err err;
	off_t offset;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, log, strlen(log)), strlen(log));
	assert_int_equal(log_find_lines(fd, count, has_records, &offset, &err), 0);
	close(fd);
	return log + offset;
}

static void test_last_lines(void **state)
{
	(void)state;
	assert_string_equal(last_lines("", 3, false), "");
	assert_string_equal(last_lines("a\nb\nc\n", 0, false), "");
	assert_string_equal(last_lines("a\nb\nc\n", 1, false), "c\n");
	assert_string_equal(last_lines("a\nb\nc\n", 2, false), "b\nc\n");
	assert_string_equal(last_lines("a\nb\nc\n", 3, false), "a\nb\nc\n");
	assert_string_equal(last_lines("a\nb\nc\n", UINT64_MAX, false), "a\nb\nc\n");
	assert_string_equal(last_lines("a\nb\nlogin: ", 2, false), "b\nlogin: ");
	assert_string_equal(last_lines("\n\n\n", 2, false), "\n\n");
}

static void test_last_records(void **state)
{
	static const char log[] = "torn\n" T1 " stdout F one\n" T1 " stdout P tw\n" T1 " stdout F o\n" "rubbish\n" T1 " stderr F three\n" T1 " stdout P fo\n";

	(void)state;
	assert_string_equal(last_lines(log, 1, true), T1 " stdout P fo\n");
	assert_string_equal(last_lines(log, 2, true), T1 " stderr F three\n" T1 " stdout P fo\n");
	assert_string_equal(last_lines(log, 3, true), T1 " stdout P tw\n" T1 " stdout F o\n" "rubbish\n" T1 " stderr F three\n" T1 " stdout P fo\n");
	assert_string_equal(last_lines(log, 5, true), log);
}

/* Longer than the blocks it is read in: every line falls on another place of a block's border. */
static void test_last_lines_of_a_long_log(void **state)
{
	enum { LINES = 20000 };
	auto_str struct str log = { 0 };

	(void)state;
	for (int i = 0; i < LINES; i++)
		str_printf(&log, T1 " stdout F line %d\n", i);
	for (uint64_t count = 1; count < LINES; count += 997) {
		auto_free char *first = text_format(T1 " stdout F line %d\n", (int)(LINES - count));

		assert_true(text_starts_with(last_lines(log.data, count, true), first));
		assert_true(text_starts_with(last_lines(log.data, count, false), first));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_endless_line_and_restart),
		cmocka_unit_test(test_last_lines),
		cmocka_unit_test(test_last_records),
		cmocka_unit_test(test_last_lines_of_a_long_log),
	};

	return cmocka_run_group_tests_name("log_record", tests, NULL, NULL);
}
