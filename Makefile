# Makefile - builds moetools. `make help` lists the targets.
#
# Users own CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR; V=1 shows commands. Objects live in $(BUILD), never beside sources.
# Dependencies and why each is used rather than written here:
#   msgpack-c   the stream's serialisation            libarchive  gzip, zstd, tar, zip in and out
#   BLIS        every matrix product                  json-c      JSON; reads Python's bare NaN, as rollout pools have
#   nettle      SHA-256                               Lua 5.4     environments and model-written code
#   PCRE2       the tokenizers' regular expressions   utf8proc    Unicode NFC for tokenizers
#   seccomp     system-call filter of grader workers  cmocka      unit tests
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
export LC_ALL := C

PREFIX ?= /usr/local
BUILD ?= build
CC = gcc
CFLAGS ?= -O3 -g
VERSION := 0.1.0
WERROR ?=

PKGS := msgpack libarchive json-c nettle lua5.4 libpcre2-8 libutf8proc libseccomp
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
BLIS_LIBS ?= -lblis
ALL_LIBS = $(PKG_LIBS) $(BLIS_LIBS) -lm -pthread

# -mavx2 -mfma would bind the binary to one CPU; the hot loops carry target_clones instead (lib/tensor/vec.h).
WARN := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wconversion $(WERROR)
MOE_CPPFLAGS = -D_XOPEN_SOURCE=700 -D_FILE_OFFSET_BITS=64 -DMOE_VERSION='"$(VERSION)"' -Ilib -I. $(PKG_CFLAGS)
MOE_CFLAGS := -std=c11 $(WARN) -fno-math-errno -pthread -ffile-prefix-map=$(CURDIR)=. -fstack-protector-strong -fPIE
MOE_LDFLAGS := -pie -Wl,-z,relro,-z,now
SAN ?=

Q := $(if $(V),,@)

LIB_SRC := $(sort $(wildcard formats/*.c lib/*/*.c lib/moe/methods/*.c))
CMD_SHARED := $(sort $(filter-out $(wildcard cmd/moe-*.c),$(wildcard cmd/*.c)))
PROG_SRC := $(sort $(wildcard cmd/moe-*.c))
PROGS := $(PROG_SRC:cmd/%.c=$(BUILD)/%)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNITS := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
GRAD_SRC := $(sort $(wildcard tests/grad/test_*.c))
GRADS := $(GRAD_SRC:tests/grad/%.c=$(BUILD)/tests/%)

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
F64_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj64/%.o)
CMD_OBJ := $(CMD_SHARED:%.c=$(BUILD)/obj/%.o)

all: $(PROGS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(MOE_CPPFLAGS) $(CPPFLAGS) $(MOE_CFLAGS) $(CFLAGS) $(SAN) -MMD -MP -c -o $@ $<
$(BUILD)/obj64/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_CPPFLAGS) -DMOE_REAL_F64 $(CPPFLAGS) $(MOE_CFLAGS) $(CFLAGS) $(SAN) -MMD -MP -c -o $@ $<
$(BUILD)/libmoe.a: $(LIB_OBJ)
	$(Q)rm -f $@; ar crsD $@ $^
$(BUILD)/libmoe64.a: $(F64_OBJ)
	$(Q)rm -f $@; ar crsD $@ $^
$(BUILD)/moe-%: $(BUILD)/obj/cmd/moe-%.o $(CMD_OBJ) $(BUILD)/libmoe.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS)
$(UNITS): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libmoe.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS) -lcmocka
$(GRADS): $(BUILD)/tests/%: $(BUILD)/obj64/tests/grad/%.o $(BUILD)/libmoe64.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS) -lcmocka

tests-build: $(UNITS) $(GRADS)

clean:
	rm -rf $(BUILD)

.PHONY: all clean tests-build
.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(F64_OBJ:.o=.d) $(CMD_OBJ:.o=.d) $(PROG_SRC:%.c=$(BUILD)/obj/%.d) $(UNIT_SRC:%.c=$(BUILD)/obj/%.d) $(GRAD_SRC:%.c=$(BUILD)/obj64/%.d)
