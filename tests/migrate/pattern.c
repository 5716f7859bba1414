/*
 * Runs inside a guest while it is moved: pattern MIB PAUSE_US [FILE]
 *
 * Fills MIB of memory and goes over it page by page for ever: each page must hold what was written in the round before and gets that of this
 * round. A page that went stale or lost a write is told ("STALE ...") and ends it. After every 1024 pages it pauses and prints
 * "count N"; N never goes back. With FILE it also appends a record with N to that file and syncs; `pattern check FILE` reads them
 * again: they must be 1, 2, 3 ... without a gap ("records N").
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_WORDS = 512, PAGES_PER_COUNT = 1024, RECORD_BYTES = 16 };

static uint64_t word(uint64_t page, uint64_t round, uint64_t index)
{
	uint64_t x = (page << 40) ^ (round << 12) ^ index;

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ (x >> 27);
}

static void visit(uint64_t *words, uint64_t page, uint64_t round)
{
	for (uint64_t i = 0; i < PAGE_WORDS; i++) {
		if (round > 0 && words[i] != word(page, round - 1, i)) {
			printf("STALE page %llu word %llu of round %llu\n", (unsigned long long)page, (unsigned long long)i,
			       (unsigned long long)round);
			exit(1);
		}
		words[i] = word(page, round, i);
	}
}

static void append_record(int fd, uint64_t count)
{
	char record[RECORD_BYTES + 1];

	snprintf(record, sizeof(record), "%015llu\n", (unsigned long long)count);
	if (write(fd, record, RECORD_BYTES) != RECORD_BYTES || fdatasync(fd) < 0) {
		printf("WRITE of record %llu failed\n", (unsigned long long)count);
		exit(1);
	}
}

static int check(const char *path)
{
	char record[RECORD_BYTES + 1] = "";
	unsigned long long expected = 0;
	FILE *file = fopen(path, "r");

	if (!file)
		return 1;
	while (fread(record, 1, RECORD_BYTES, file) == RECORD_BYTES)
		if (strtoull(record, NULL, 10) != ++expected) {
			printf("record %llu is '%s'\n", expected, record);
			return 1;
		}
	printf("records %llu\n", expected);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t pages = argc > 2 ? (uint64_t)atoi(argv[1]) * 256 : 0, count = 0;
	uint64_t *memory;
	int fd = -1;

	if (argc == 3 && strcmp(argv[1], "check") == 0)
		return check(argv[2]);
	memory = mmap(NULL, pages * PAGE_WORDS * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argc > 3)
		fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (memory == MAP_FAILED || pages == 0 || (argc > 3 && fd < 0)) {
		printf("cannot begin\n");
		return 1;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	for (uint64_t visits = 0;; visits++) {
		visit(memory + visits % pages * PAGE_WORDS, visits % pages, visits / pages);
		if (visits % PAGES_PER_COUNT)
			continue;
		printf("count %llu\n", (unsigned long long)++count);
		if (fd >= 0)
			append_record(fd, count);
		usleep((useconds_t)atoi(argv[2]));
	}
}
