# Makefile - builds moetools. `make help` lists the targets.
#
# Users own CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR; V=1 shows commands. Objects live in $(BUILD), never beside sources.
# Dependencies and why each is used rather than written here:
#   msgpack-c   the stream's serialisation            libarchive  zstd, tar, zip in and out
#   zlib        gzip: libarchive leaves its checksums unverified
#   BLIS        every matrix product                  json-c      JSON; reads Python's bare NaN, as rollout pools have
#   nettle      SHA-256                               Lua 5.4     environments and model-written code
#   PCRE2       the tokenizers' regular expressions   utf8proc    Unicode NFC for tokenizers
#   seccomp     system-call filter of grader workers  cmocka      unit tests
# With MPI=1 also Open MPI: moe-train and moe-rollout as several processes, on one machine or more.
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# As many jobs as cores, unless the user said how many.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
export LC_ALL := C

PREFIX ?= /usr/local
BUILD ?= build
CC = gcc
CFLAGS ?= -O3 -g
VERSION := 0.1.0
# A checkout knows its commit, a release has it in .commit.
COMMIT := $(shell if [ -e .git ]; then git describe --always --dirty 2>/dev/null; else cat .commit 2>/dev/null; fi || true)
COMMIT := $(or $(COMMIT),unknown)
WERROR ?=

PKGS := msgpack libarchive zlib json-c nettle lua5.4 libpcre2-8 libutf8proc libseccomp
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
BLIS_LIBS ?= -lblis
MPI_CFLAGS = -DMOE_MPI $(shell pkg-config --cflags ompi-c 2>/dev/null)
MPI_LIBS = $(shell pkg-config --libs ompi-c 2>/dev/null)
ALL_LIBS = $(PKG_LIBS) $(BLIS_LIBS) -lm -pthread $(if $(MPI),$(MPI_LIBS))

# -mavx2 -mfma would bind the binary to one CPU; the hot loops carry target_clones instead (lib/tensor/vec.h).
WARN := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wconversion $(WERROR)
MOE_CPPFLAGS = -D_XOPEN_SOURCE=700 -D_FILE_OFFSET_BITS=64 -DMOE_VERSION='"$(VERSION)"' -Ilib -I. $(PKG_CFLAGS)
MOE_CFLAGS := -std=c11 $(WARN) -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread '-ffile-prefix-map=$(CURDIR)=.' -fstack-protector-strong -fPIE
MOE_LDFLAGS := -pie -Wl,-z,relro,-z,now
SAN ?=

Q := $(if $(V),,@)

LIB_SRC := $(sort $(wildcard formats/*.c formats/tokenizer/*.c lib/*/*.c lib/moe/methods/*.c))
CMD_SHARED := $(sort $(filter-out cmd/moe.c $(wildcard cmd/moe-*.c),$(wildcard cmd/*.c)))
FRONT_SRC := $(sort $(wildcard cmd/front/*.c)) # of `moe` alone
PROG_SRC := cmd/moe.c $(sort $(wildcard cmd/moe-*.c))
PROGS := $(PROG_SRC:cmd/%.c=$(BUILD)/%)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNITS := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
GRAD_SRC := $(sort $(wildcard tests/grad/test_*.c))
GRADS := $(GRAD_SRC:tests/grad/%.c=$(BUILD)/tests/%)

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
F64_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj64/%.o)
CMD_OBJ := $(CMD_SHARED:%.c=$(BUILD)/obj/%.o)
FRONT_OBJ := $(FRONT_SRC:%.c=$(BUILD)/obj/%.o)

all: $(PROGS) ## the programs

# What --version tells; the file changes only with its text, so that a second make does nothing.
MADE_OF = commit $(COMMIT), flags $(subst ",,$(subst ',,$(strip $(CPPFLAGS) $(CFLAGS) $(SAN))))
ifneq ($(file <$(BUILD)/.commit),$(COMMIT))
.PHONY: $(BUILD)/.commit
endif
$(BUILD)/.commit:
	@mkdir -p $(@D)
	@echo '$(COMMIT)' >$@
$(BUILD)/obj/cmd/version.o: MOE_CPPFLAGS += -DMOE_MADE_OF='"$(MADE_OF)"'
$(BUILD)/obj/cmd/version.o: $(BUILD)/.commit
# One file knows MPI, so that another MPI than last time compiles that and links anew.
ifneq ($(file <$(BUILD)/.mpi),MPI=$(MPI))
.PHONY: $(BUILD)/.mpi
endif
$(BUILD)/.mpi:
	@mkdir -p $(@D)
	@echo 'MPI=$(MPI)' >$@
$(BUILD)/obj/lib/util/ranks.o $(BUILD)/obj64/lib/util/ranks.o: MOE_CPPFLAGS += $(if $(MPI),$(MPI_CFLAGS))
$(BUILD)/obj/lib/util/ranks.o $(BUILD)/obj64/lib/util/ranks.o: $(BUILD)/.mpi

$(BUILD)/obj/%.o: %.c | $(BUILD)/.deps
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(MOE_CPPFLAGS) $(CPPFLAGS) $(MOE_CFLAGS) $(CFLAGS) $(SAN) -MMD -MP -c -o $@ $<
$(BUILD)/obj64/%.o: %.c | $(BUILD)/.deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_CPPFLAGS) -DMOE_REAL_F64 $(CPPFLAGS) $(MOE_CFLAGS) $(CFLAGS) $(SAN) -MMD -MP -c -o $@ $<
$(BUILD)/libmoe.a: $(LIB_OBJ)
	$(Q)rm -f $@; ar crsD $@ $^
$(BUILD)/libmoe64.a: $(F64_OBJ)
	$(Q)rm -f $@; ar crsD $@ $^
# The skeleton of an experiment lies in the program.
$(BUILD)/obj/cmd/front/new.o: $(wildcard examples/new/*) examples/quarantine/Makefile
$(BUILD)/moe: $(BUILD)/obj/cmd/moe.o $(FRONT_OBJ) $(CMD_OBJ) $(BUILD)/libmoe.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS)
$(BUILD)/moe-%: $(BUILD)/obj/cmd/moe-%.o $(CMD_OBJ) $(BUILD)/libmoe.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS)
# The programs with MPI beside those without, for tests where mpicc is there.
$(BUILD)/mpi/ranks.o: lib/util/ranks.c lib/util/ranks.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_CPPFLAGS) $(MPI_CFLAGS) $(CPPFLAGS) $(MOE_CFLAGS) $(CFLAGS) $(SAN) -c -o $@ $<
$(BUILD)/mpi/moe-%: $(BUILD)/obj/cmd/moe-%.o $(CMD_OBJ) $(BUILD)/mpi/ranks.o $(BUILD)/libmoe.a
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS) $(MPI_LIBS)
MPI_PROGS := $(if $(shell command -v mpicc && command -v mpirun && pkg-config --exists ompi-c && echo x),$(BUILD)/mpi/moe-train $(BUILD)/mpi/moe-rollout)
$(UNITS): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libmoe.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS) -lcmocka
$(GRADS): $(BUILD)/tests/%: $(BUILD)/obj64/tests/grad/%.o $(BUILD)/libmoe64.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS) -lcmocka

# The example of moe-method(7), as a reader of it would add it: the file, and its row before the others. Programs and tests of the table with it.
EXAMPLE := dense
EXAMPLE_OBJ = $(BUILD)/$(1)/examples/method/$(EXAMPLE).o $(BUILD)/$(1)/$(BUILD)/example/table.o
$(BUILD)/example/table.c: lib/moe/methods/table.c
	@mkdir -p $(@D)
	$(Q)sed 's/^const struct moe_method \*const moe_methods\[\]/extern const struct moe_method moe_method_$(EXAMPLE);\n&/; s/NULL };/\&moe_method_$(EXAMPLE), NULL };/' $< >$@
$(BUILD)/tests/moe-pin-example: $(BUILD)/obj/cmd/moe-pin.o $(CMD_OBJ) $(call EXAMPLE_OBJ,obj) $(BUILD)/libmoe.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS)
$(BUILD)/tests/test_example_routers: $(BUILD)/obj64/tests/grad/test_routers.o $(call EXAMPLE_OBJ,obj64) $(BUILD)/libmoe64.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS) -lcmocka

# ---- dependencies: installed by themselves when something is missing ----
DEPS_BUILD := build-essential pkg-config libarchive-dev zlib1g-dev libmsgpack-dev libblis-openmp-dev libjson-c-dev libpcre2-dev libutf8proc-dev \
	nettle-dev liblua5.4-dev libseccomp-dev libcmocka-dev perl gnuplot-nox mandoc zstd jq $(if $(MPI),libopenmpi-dev openmpi-bin)
DEPS_LINT := clang clang-tidy clang-format cppcheck shellcheck mandoc
# What must be there, as commands that succeed when it is.
HAVE_BUILD = for c in $(firstword $(CC)) pkg-config prove mandoc gnuplot zstd jq; do command -v $$c || exit 1; done && pkg-config --exists $(PKGS) $(if $(MPI),ompi-c) && \
	echo '\#include <blis.h>' | $(CC) -fsyntax-only -x c - && \
	printf '\#include <stdarg.h>\n\#include <stddef.h>\n\#include <stdint.h>\n\#include <setjmp.h>\n\#include <cmocka.h>\n' | $(CC) -fsyntax-only -x c -
HAVE_LINT = for c in clang clang-tidy clang-format cppcheck shellcheck mandoc; do command -v $$c || exit 1; done
APT = s=$$([ $$(id -u) -eq 0 ] || echo sudo); $$s apt-get update -q && DEBIAN_FRONTEND=noninteractive $$s apt-get install -qy --no-install-recommends

deps: ## install what building and testing need
	$(APT) $(DEPS_BUILD)
$(BUILD)/.deps: Makefile
	@mkdir -p $(@D)
	@if ! ( $(HAVE_BUILD) ) >/dev/null 2>&1; then $(MAKE) --no-print-directory deps; fi
	@touch $@
$(BUILD)/.deps-lint: Makefile
	@mkdir -p $(@D)
	@if ! ( $(HAVE_LINT) ) >/dev/null 2>&1; then $(APT) $(DEPS_LINT); fi
	@touch $@

# ---- tests ----
SH_TESTS := $(sort $(filter-out %/lib.sh,$(wildcard tests/cli/*.sh tests/fault/*.sh tests/golden/*.sh tests/interop/*.sh)))
JOBS ?= 2
INTEROP := $(patsubst tests/interop/%.c,$(BUILD)/tests/interop_%,$(sort $(wildcard tests/interop/*.c)))
$(INTEROP): $(BUILD)/tests/interop_%: $(BUILD)/obj/tests/interop/%.o $(BUILD)/libmoe.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS)
# Every fuzzer's harness over its corpus, damaged a little: what can be had of fuzzing in seconds and without clang.
SMOKES := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/smoke_%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
$(SMOKES): $(BUILD)/tests/smoke_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/smoke.o $(BUILD)/libmoe.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(MOE_LDFLAGS) $(LDFLAGS) $(SAN) -o $@ $^ $(ALL_LIBS)
# Benches are compiled, so that they follow the headers; decode_llama.c needs llama.cpp's.
BENCH_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %/decode_llama.c,$(sort $(wildcard tests/bench/*.c))))
tests-build: $(UNITS) $(GRADS) $(BUILD)/tests/moe-pin-example $(BUILD)/tests/test_example_routers $(SMOKES) $(INTEROP) $(BENCH_OBJ) $(BUILD)/inject.so $(MPI_PROGS)
check: all man tests-build ## run all tests; ends with "N passed, N failed"
	@tests/run $(BUILD) $(JOBS) $(TESTS)
TESTS ?= $(UNITS) $(GRADS) $(BUILD)/tests/test_example_routers $(SMOKES) $(SH_TESTS)
stat-check: $(BUILD)/tests/test_rule ## the verdict's rule by simulation: false verdicts, power, coverage (minutes)
	$(BUILD)/tests/test_rule long $(STUDIES)
STUDIES ?= 400
grad: $(GRADS) ## the finite-difference tests alone
	@tests/run $(BUILD) $(JOBS) $(GRADS)
golden: $(filter %_golden %/test_golden,$(UNITS)) ## the golden values alone
	@tests/run $(BUILD) $(JOBS) $^
fault: all $(BUILD)/inject.so ## fault injection and truncation alone
	@tests/run $(BUILD) $(JOBS) $(filter tests/fault/%,$(SH_TESTS))
$(BUILD)/inject.so: tests/fault/inject.c | $(BUILD)/.deps
	$(Q)$(CC) -std=c11 $(WARN) -O2 -fPIC -shared -o $@ $< -ldl
asan: ## the whole suite under AddressSanitizer and UBSan
	$(MAKE) check BUILD=$(BUILD)/asan CFLAGS='-O1 -g -fno-omit-frame-pointer' SAN='-fsanitize=address,undefined -fno-sanitize-recover=all' MOE_SAN=1
export MOE_SAN
# Graders' workers run under limits and a filter that no checker survives: their tests are left out, as asan leaves out the filter.
VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --child-silent-after-fork=yes
# Left out: what starts processes or filters system calls, PCRE2's JIT (its code is not memcheck's to judge), and two that take an hour.
VALGRIND_NOT := attack exec filter grade tokenizer_golden report sample
valgrind: tests-build ## the unit tests under memcheck
	@command -v valgrind >/dev/null || ( $(APT) valgrind )
	@MOE_UNDER='$(VALGRIND)' tests/run $(BUILD) $(JOBS) $(filter-out $(VALGRIND_NOT:%=$(BUILD)/tests/test_%),$(UNITS))
TSAN_TESTS := $(patsubst %,$(BUILD)/tsan/tests/test_%,util logreg boot method rl sample golden)
tsan: ## the tests of what runs in threads under ThreadSanitizer
	$(MAKE) check BUILD=$(BUILD)/tsan CFLAGS='-O1 -g' SAN='-fsanitize=thread' MOE_SAN=1 TESTS='$(TSAN_TESTS) tests/cli/50-rl.sh'

# ---- fuzzing: one harness per parser; corpus = tests/fuzz/corpus, the format vectors and what was found before ----
FUZZ_SEC ?= 20
FUZZ_LEN ?= 12288
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_OBJ := $(LIB_SRC:%.c=$(BUILD)/fuzz/obj/%.o)
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
$(BUILD)/fuzz/obj/%.o: %.c | $(BUILD)/.deps $(BUILD)/.deps-lint
	@mkdir -p $(@D)
	$(Q)clang $(MOE_CPPFLAGS) $(MOE_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c $(FUZZ_OBJ) $(wildcard tests/fuzz/*.h)
	$(Q)clang $(MOE_CPPFLAGS) -std=c11 $(FUZZ_FLAGS) -fsanitize=fuzzer -pthread -o $@ $(filter-out %.h,$^) $(ALL_LIBS)
fuzz: $(FUZZERS) ## run every fuzzer for FUZZ_SEC seconds
	@set -e; for f in $(FUZZERS); do n=$${f##*/}; mkdir -p $(BUILD)/fuzz/corpus/$$n; echo "fuzz $$n"; \
		dirs=$$(ls -d formats/vectors/*/ tests/fuzz/corpus/$$n 2>/dev/null || true); \
		$$f -max_total_time=$(FUZZ_SEC) -max_len=$(FUZZ_LEN) -rss_limit_mb=2048 -timeout=10 -print_final_stats=0 -verbosity=0 -close_fd_mask=1 \
			-artifact_prefix=$(BUILD)/fuzz/$$n- $(BUILD)/fuzz/corpus/$$n $$dirs; done

# ---- manual: OPTIONS come from each program's table ----
MAN1 := $(PROG_SRC:cmd/%.c=$(BUILD)/man/%.1)
MANX := $(patsubst man/%,$(BUILD)/man/%,$(sort $(wildcard man/*.5 man/*.7)))
$(BUILD)/man/%.1: man/%.1 $(BUILD)/%
	@mkdir -p $(@D)
	$(Q)$(BUILD)/$* --print-options=mdoc >$@.opt
	$(Q)awk -v f=$@.opt '$$0 == ".\\\" OPTIONS" { while ((getline l < f) > 0) print l; n++; next } { print } \
		END { if (n != 1) { print "man/$*.1: the line .\\\" OPTIONS is there " n+0 " times, not once" > "/dev/stderr"; exit 1 } }' $< >$@
	@rm -f $@.opt
$(BUILD)/man/%.5: man/%.5
	@mkdir -p $(@D)
	$(Q)cp $< $@
$(BUILD)/man/%.7: man/%.7
	@mkdir -p $(@D)
	$(Q)cp $< $@
# The example is in the page as it is in the tree.
$(BUILD)/man/moe-method.7: man/moe-method.7 examples/method/$(EXAMPLE).c
	@mkdir -p $(@D)
	$(Q)awk -v f=examples/method/$(EXAMPLE).c '$$0 == ".\\\" EXAMPLE" { while ((getline l < f) > 0) { gsub(/\\/, "\\e", l); sub(/^[.\047]/, "\\\\\\&&", l); print l } next } { print }' $< >$@
man: $(filter $(patsubst man/%,$(BUILD)/man/%,$(wildcard man/*.1)),$(MAN1)) $(MANX) ## the pages with their OPTIONS, in $(BUILD)/man

# ---- the rest ----
lint: all man $(BUILD)/.deps-lint ## layers, banned functions, sizes, clang-tidy, cppcheck, shellcheck, mandoc, help versus man
	@tests/lint $(BUILD)
format: $(BUILD)/.deps-lint ## bring the C sources into the form of .clang-format
	$(Q)find lib formats cmd tests -name '*.[ch]' ! -name 'unicode_*' -print0 | xargs -0 clang-format -i
bench: all $(filter bench-peers,$(MAKECMDGOALS)) ## speed beside others, into $(BUILD)/bench/bench.txt and .html; PARTS="train grpo" for some
	@tests/bench/run $(BUILD) $(BUILD)/bench $(PARTS)
bench-peers: ## what bench compares with, pinned, into $(BUILD)/bench/venv
	python3 -m venv $(BUILD)/bench/venv
	$(BUILD)/bench/venv/bin/pip install -q -r tests/bench/requirements.txt
	-$(BUILD)/bench/venv/bin/pip install -q llama-cpp-python==0.3.36 # compiles llama.cpp, some minutes; the bench can do without
bench-scale: all ## how time and memory grow, into $(BUILD)/bench/scale.txt and .svg; CURVES="report arms" for some
	@MOE_BIN=$(BUILD) bash tests/bench/scale.sh $(BUILD)/bench $(CURVES)
bench-methods: all ## every row of the method table on the main job, one seed, into $(BUILD)/bench/methods; ROWS="vanilla topk" for some
	@MOE_BIN=$(BUILD) bash tests/bench/methods.sh $(BUILD)/bench/methods $(ROWS)
portable-x86: all ## the golden digests on processors that qemu and valgrind emulate, with AVX2 and no AVX-512 (tens of minutes)
	@tests/emulated.sh $(BUILD) qemu-x86_64 -cpu Haswell
	@tests/emulated.sh $(BUILD) qemu-x86_64 -cpu EPYC-Milan
	@tests/emulated.sh $(BUILD) valgrind -q --tool=none
portable-arm64: ## the golden digests from aarch64 programs under qemu
	@tests/portable-arm64.sh $(BUILD)
RUN ?= run
demo: all ## the main job from pairs to verdict, about five minutes
	@$(MAKE) --no-print-directory -C examples/quarantine demo MOE_BIN=$(abspath $(BUILD)) RUN=$(abspath $(RUN))

# Pages and README name formats/*.md: below share/doc/moetools they have the same names. The root is
# quoted, since a name with a blank in it would be two: to `rm -rf`, too.
TO := "$(DESTDIR)$(PREFIX)"
install: all man ## into $(DESTDIR)$(PREFIX)
	$(Q)install -d $(TO)/bin $(TO)/share/bash-completion/completions $(TO)/share/moetools $(TO)/share/doc/moetools/formats
	$(Q)install -d $(TO)/share/zsh/vendor-completions $(TO)/share/fish/vendor_completions.d
	$(Q)set -e; for p in $(PROGS); do n=$${p##*/}; install -m 755 $$p $(TO)/bin/; \
		$$p --print-options=bash >$(TO)/share/bash-completion/completions/$$n; \
		$$p --print-options=zsh >$(TO)/share/zsh/vendor-completions/_$$n; \
		$$p --print-options=fish >$(TO)/share/fish/vendor_completions.d/$$n.fish; done
	$(Q)set -e; for m in $(BUILD)/man/*.[157]; do d=$(TO)/share/man/man$${m##*.}; install -d "$$d"; install -m 644 $$m "$$d"/; done
	$(Q)install -m 644 README.md LICENSE $(TO)/share/doc/moetools/
	$(Q)install -m 644 formats/*.md $(TO)/share/doc/moetools/formats/
	$(Q)$(SHIPPED) | grep '^examples/' | tar --mode=go=rX,u+rw,a-s -cf - -T - | tar -xpf - --no-same-owner -C $(TO)/share/moetools
uninstall: ## what install put there
	$(Q)set -e; for p in $(notdir $(PROGS)); do rm -f $(TO)/bin/$$p $(TO)/share/bash-completion/completions/$$p \
		$(TO)/share/zsh/vendor-completions/_$$p $(TO)/share/fish/vendor_completions.d/$$p.fish; done
	$(Q)set -e; for m in $(notdir $(wildcard man/*.[157])); do rm -f $(TO)/share/man/man$${m##*.}/$$m; done
	$(Q)set -e; for f in README.md LICENSE $(wildcard formats/*.md); do rm -f $(TO)/share/doc/moetools/$$f; done
	$(Q)rm -rf $(TO)/share/moetools/examples
	$(Q)set -e; for d in doc/moetools/formats doc/moetools moetools; do [ ! -d $(TO)/share/$$d ] || rmdir --ignore-fail-on-non-empty $(TO)/share/$$d; done
# ---- packages and pages ----
deb: all man ## moetools_VERSION_ARCH.deb, a Debian package made of make install
	@tests/makedeb $(BUILD) $(VERSION)
html: man ## the pages as a site of linked HTML, in $(BUILD)/html
	$(Q)mkdir -p $(BUILD)/html
	$(Q)set -e; for m in $(BUILD)/man/*.[157]; do mandoc -Thtml -O man=%N.%S.html,toc $$m >$(BUILD)/html/$${m##*/}.html; done
	$(Q)tests/htmlindex $(BUILD)/man >$(BUILD)/html/index.html
	@echo "$(BUILD)/html/index.html"
SOURCE_DATE_EPOCH ?= 0
# The files of a release: in a checkout those that git knows, not what lies beside them.
SHIPPED = { if [ -e .git ]; then git ls-files; else find Makefile README.md LICENSE .gitignore .ci cmd lib formats examples tests man ! -type d; fi; } | sort
DIST ?= moetools-$(VERSION).tar.gz
dist: $(BUILD)/.commit ## moetools-VERSION.tar.gz of the sources, the same bytes each time
	$(Q)$(SHIPPED) | tar --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s --transform='s,^,moetools-$(VERSION)/,S' \
		-cf - --no-recursion -T - -C $(BUILD) .commit | gzip -9n >$(DIST)
distcheck: ## unpack a release elsewhere, and build and test it there
	@rm -rf $(BUILD)/distcheck && mkdir -p $(BUILD)/distcheck
	@$(MAKE) --no-print-directory dist DIST=$(BUILD)/distcheck/dist.tar.gz
	@tar -xzf $(BUILD)/distcheck/dist.tar.gz -C $(BUILD)/distcheck
	@$(MAKE) --no-print-directory -C $(BUILD)/distcheck/moetools-$(VERSION) check BUILD=build
	@rm -rf $(BUILD)/distcheck
installcheck: ## test the programs that make install put into $(DESTDIR)$(PREFIX)
	@MOE_BIN=$(TO)/bin prove -j $(JOBS) tests/cli/05-common.sh $(filter tests/cli/1%,$(SH_TESTS))
reprocheck: ## build twice, from two folders, and compare programs, pages and dist byte for byte
	@tests/reprocheck $(BUILD)/repro
clean: ## remove what was built
	rm -rf $(BUILD) moetools-$(VERSION).tar.gz
distclean: clean ## the same: nothing else is ever made beside the sources
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' Makefile | sed 's/:.*## /\t/' | sort | expand -t 14

libs:
	@echo '$(ALL_LIBS)'
.PHONY: all libs tests-build stat-check check format grad asan valgrind tsan fuzz man lint bench bench-peers bench-scale bench-methods portable-x86 portable-arm64 demo deb html install uninstall installcheck dist distcheck reprocheck clean distclean golden fault help deps
.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(F64_OBJ:.o=.d) $(CMD_OBJ:.o=.d) $(FRONT_OBJ:.o=.d) $(PROG_SRC:%.c=$(BUILD)/obj/%.d) $(UNIT_SRC:%.c=$(BUILD)/obj/%.d) $(GRAD_SRC:%.c=$(BUILD)/obj64/%.d) $(FUZZ_OBJ:.o=.d) $(wildcard $(BUILD)/obj/tests/fuzz/*.d)
