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
SYSCONFDIR ?= /etc

PACKAGES := json-c yaml-0.1 sqlite3 libwebsockets openssl libarchive libcurl
# Constants are enums here, also in sums with a double: newer clangs warn of that.
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-enum-float-conversion -Wmissing-prototypes -Wimplicit-fallthrough $(if $(WERROR),-Werror)
CPPFLAGS += -D_GNU_SOURCE -DSTRATA_VERSION='"$(VERSION)"' -Isrc
CFLAGS ?= -O2 -g
HARDENING := -fno-strict-aliasing -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
ALL_CFLAGS = -std=gnu17 $(CFLAGS) $(WARNINGS) $(HARDENING) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -U_FORTIFY_SOURCE)
ALL_LDFLAGS = -pie -Wl,-z,relro -Wl,--as-needed -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

SOURCES := $(shell find src -name '*.c' | sort)
SCENARIO_SOURCES := $(shell find tests/scenario -name '*.c' 2>/dev/null | sort)
SYSTEM_SOURCES := $(wildcard tests/system/*.c)
TESTS := $(filter %_test.c,$(SOURCES) $(SCENARIO_SOURCES))
APPS := $(filter-out %_test.c,$(wildcard src/app/*.c))
# Conformance suites and their fixtures lie beside the ports; only tests are linked with them.
TEST_SUPPORT := $(filter %_conformance.c %_fixture.c %_model.c,$(SOURCES))
LIBRARY := $(filter-out $(APPS) $(TEST_SUPPORT) %_test.c,$(SOURCES))
BENCHES := $(wildcard bench/*.c)
BENCH_HELPERS := $(wildcard bench/lib/*.c)
FUZZERS := $(wildcard tests/fuzz/*_fuzz.c)

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
APP_PROGRAMS := $(patsubst src/app/%.c,$(BUILD)/%,$(APPS))
TEST_PROGRAMS := $(patsubst %.c,$(BUILD)/test/%,$(notdir $(TESTS)))
BENCH_PROGRAMS := $(patsubst bench/%.c,$(BUILD)/bench/%,$(BENCHES))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZERS))
SYSTEM_PROGRAMS := $(patsubst tests/system/%.c,$(BUILD)/system/%,$(SYSTEM_SOURCES))

ifneq ($(words $(TEST_PROGRAMS)),$(words $(sort $(TEST_PROGRAMS))))
$(error two tests have the same file name: rename one of $(TESTS))
endif

# pkg-config is asked only when something is compiled: `make demo` works before it is installed.
PC_CFLAGS = $(eval PC_CFLAGS := $$(shell pkg-config --cflags $(PACKAGES)))$(PC_CFLAGS)
PC_LIBS = $(eval PC_LIBS := $$(shell pkg-config --libs $(PACKAGES)) -lm)$(PC_LIBS)

# For targets that install packages first and then build: a second make sees what was installed.
MAKE_ALL_CORES = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: all test demo demo-stop bench fuzz format install deb help clean
.PHONY: test-programs bench-programs fuzz-programs system-programs
.DEFAULT_GOAL := all
# Objects of programs stay: without them the next make would link anew, beneath whoever runs the program just then.
.SECONDARY:
all: $(APP_PROGRAMS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PC_CFLAGS) -MMD -MP -c -o $@ $<

# What the assembler pulls in is not in the compiler's list of dependencies.
$(BUILD)/obj/src/2-virtualization/images/embed.o: $(wildcard src/2-virtualization/images/*/*)

$(BUILD)/libstrata.a: $(call object,$(LIBRARY))
	@rm -f $@
	ar crs $@ $^

$(BUILD)/%: $(BUILD)/obj/src/app/%.o $(BUILD)/libstrata.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PC_LIBS)

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(call object,$(BENCH_HELPERS)) $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PC_LIBS)

$(BUILD)/system/%: $(BUILD)/obj/tests/system/%.o $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PC_LIBS) -lcmocka

# Test programs are named after their file, which keeps folders out of build/test. Those of tests/scenario
# share the helpers that lie beside them.
define test_rule
$(BUILD)/test/$(basename $(notdir $(1))): $(call object,$(1) $(TEST_SUPPORT) $(if $(filter tests/%,$(1)),$(filter-out %_test.c,$(SCENARIO_SOURCES)))) $(BUILD)/libstrata.a
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
system-programs: $(SYSTEM_PROGRAMS)

test:
	tools/setup build run test
	tools/test

demo:
	tools/setup build run
	+$(MAKE_ALL_CORES) -s all
	tools/demo

# KEEP=1 stops machine and daemon and keeps their state for the next `make demo`.
demo-stop:
	tools/demo stop $(if $(KEEP),keep)

bench:
	tools/setup build run
	+$(MAKE_ALL_CORES) -s all bench-programs
	tools/bench

# FUZZ=NAME is one target of tests/fuzz without its _fuzz.c, FUZZ_SECONDS how long each runs.
fuzz:
	tools/setup build test
	tools/fuzz $(FUZZ)

format:
	tools/check-format

BINDIR = $(DESTDIR)$(PREFIX)/bin
SBINDIR = $(DESTDIR)$(PREFIX)/sbin
SHAREDIR = $(DESTDIR)$(PREFIX)/share
LIBDIR = $(DESTDIR)$(PREFIX)/lib
STRIP ?= -s

install: all
	install -d $(BINDIR) $(SBINDIR) $(SHAREDIR)/man/man1 $(SHAREDIR)/man/man8 $(SHAREDIR)/doc/strata \
		$(SHAREDIR)/bash-completion/completions $(LIBDIR)/systemd/system $(LIBDIR)/sysusers.d $(DESTDIR)$(SYSCONFDIR)/strata
	install $(STRIP) -m 755 $(BUILD)/strata $(BINDIR)/strata
	install $(STRIP) -m 755 $(BUILD)/stratad $(SBINDIR)/stratad
	install $(STRIP) -m 755 $(BUILD)/strata-fence $(SBINDIR)/strata-fence
	$(BUILD)/strata man >$(SHAREDIR)/man/man1/strata.1
	install -m 644 packaging/stratad.8 $(SHAREDIR)/man/man8/stratad.8
	$(BUILD)/strata completion bash >$(SHAREDIR)/bash-completion/completions/strata
	sed 's|@PREFIX@|$(PREFIX)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g' packaging/stratad.service >$(LIBDIR)/systemd/system/stratad.service
	install -m 644 packaging/sysusers.conf $(LIBDIR)/sysusers.d/strata.conf
	install -m 644 README.md README.zh-CN.md LICENSE $(SHAREDIR)/doc/strata
	[ -e $(DESTDIR)$(SYSCONFDIR)/strata/stratad.yaml ] || \
		install -m 644 packaging/stratad.yaml $(DESTDIR)$(SYSCONFDIR)/strata/stratad.yaml

deb: all
	packaging/debian/build $(BUILD) $(VERSION)

help:
	@echo 'make                      build/strata and build/stratad'
	@echo 'make demo                 install what is needed, build, run a virtual machine, show it'
	@echo 'make demo-stop [KEEP=1]   stop it and remove everything (KEEP=1: keep its state)'
	@echo 'make test                 install what is needed, build, run all tests'
	@echo 'make bench                measure, print a table, write docs/benchmarks.md'
	@echo 'make fuzz [FUZZ=json]     run the fuzz targets (FUZZ_SECONDS=60 each)'
	@echo 'make format               check the layout of the sources'
	@echo 'make install DESTDIR= PREFIX=/usr'
	@echo 'make deb                  a Debian package in build/'
	@echo 'make clean                remove all build folders'
	@echo
	@echo 'Variants lie beside each other: make BUILD=build-asan SANITIZE=address,undefined CC=clang WERROR=1'

clean:
	rm -rf build build-*

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
