# Strata.  `make demo` shows it, `make test` proves it, `make help` lists the rest.
#
# Every .c below src/ but *_test.c and src/app/ goes into one library; each
# src/app/NAME.c and bench/NAME.c is a program, each *_test.c a test program of
# its own, each tests/fuzz/NAME_fuzz.c a fuzz target.  New files need no line here.
# Variants build beside each other: make BUILD=build-asan SANITIZE=address,undefined

BUILD ?= build
CC = gcc
SANITIZE ?=
WERROR ?=
VERSION := 0.1.0
DESTDIR ?=
PREFIX ?= /usr

PACKAGES := json-c yaml-0.1 sqlite3 libwebsockets openssl libarchive
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wimplicit-fallthrough $(if $(WERROR),-Werror)
CPPFLAGS += -D_GNU_SOURCE -DSTRATA_VERSION='"$(VERSION)"' -Isrc
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu17 $(CFLAGS) $(WARNINGS) -fno-strict-aliasing -fPIE -fstack-protector-strong \
	-D_FORTIFY_SOURCE=2 $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -U_FORTIFY_SOURCE)
ALL_LDFLAGS = -pie -Wl,-z,relro -Wl,--as-needed -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

SOURCES := $(shell find src -name '*.c' | sort)
TESTS := $(filter %_test.c,$(SOURCES)) $(shell find tests/scenario -name '*_test.c' 2>/dev/null | sort)
APPS := $(filter src/app/%.c,$(filter-out %_test.c,$(SOURCES)))
LIBRARY := $(filter-out $(APPS) %_test.c,$(SOURCES))
BENCHES := $(wildcard bench/*.c)
FUZZERS := $(wildcard tests/fuzz/*_fuzz.c)

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
APP_PROGRAMS := $(patsubst src/app/%.c,$(BUILD)/%,$(APPS))
TEST_PROGRAMS := $(patsubst %.c,$(BUILD)/test/%,$(notdir $(TESTS)))
BENCH_PROGRAMS := $(patsubst bench/%.c,$(BUILD)/bench/%,$(BENCHES))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZERS))

# pkg-config is asked only when something is compiled: `make demo` works before it is installed.
PC_CFLAGS = $(eval PC_CFLAGS := $$(shell pkg-config --cflags $(PACKAGES)))$(PC_CFLAGS)
PC_LIBS = $(eval PC_LIBS := $$(shell pkg-config --libs $(PACKAGES)))$(PC_LIBS)

.PHONY: all test-programs bench-programs fuzz-programs clean help
.DEFAULT_GOAL := all
all: $(APP_PROGRAMS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PC_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libstrata.a: $(call object,$(LIBRARY))
	@rm -f $@
	ar crs $@ $^

$(BUILD)/%: $(BUILD)/obj/src/app/%.o $(BUILD)/libstrata.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PC_LIBS)

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PC_LIBS)

# Test programs are named after their file; VPATH-like lookup by name keeps folders out of build/test.
define test_rule
$(BUILD)/test/$(basename $(notdir $(1))): $(call object,$(1)) $(BUILD)/libstrata.a
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(PC_LIBS) -lcmocka
endef
$(foreach test,$(TESTS),$(eval $(call test_rule,$(test))))

# Fuzz targets are compiled with clang in a variant of their own: see tools/fuzz.
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(PC_LIBS)

test-programs: $(TEST_PROGRAMS)
bench-programs: $(BENCH_PROGRAMS) all
fuzz-programs: $(FUZZ_PROGRAMS)

clean:
	rm -rf build build-*

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
