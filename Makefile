# demikv: one non-recursive Makefile.
#
#   make            build everything into build/
#   make run        install what is needed, build, run the server
#   make test       install what is needed, build, run every test
#
# Variants live in folders of their own: VARIANT=release (build/), debug, asan, tsan (build-<variant>/
# under build/). Objects depend on their headers through -MMD. A file is found by its place: every
# .c below alloc/ tcp/ libos/ demi/ is the library, below server/ the server; x_test.c is a unit test of
# its own; demi/examples/*.c, tools/*/*.c, tests/bench/*.c and tests/fuzz/*_fuzz.c are a program each.

VARIANT ?= release
ifeq ($(VARIANT),release)
B := build
else
B := build/$(VARIANT)
endif
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
# What belongs to this machine and not to the packages of /usr lies in /etc.
SYSCONFDIR ?= $(if $(filter /usr,$(patsubst %/,%,$(PREFIX))),/etc,$(PREFIX)/etc)
DESTDIR ?=
V       ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-5s %s\n' '$(1)' '$(2)'
else
Q :=
say =
endif

CC      ?= cc
CXX     ?= c++
AR      ?= ar
WARN    := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
           -Wwrite-strings -Wundef -Wvla -Wno-unused-parameter -Wno-address-of-packed-member
OPT_release := -O3 -g
OPT_debug   := -O0 -g3 -DDEMI_DEBUG=1
OPT_asan    := -O1 -g1 -DDEMI_DEBUG=1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan    := -O1 -g1 -DDEMI_DEBUG=1 -fsanitize=thread
OPT     := $(OPT_$(VARIANT))
ifeq ($(OPT),)
$(error VARIANT must be release, debug, asan or tsan)
endif
WERROR  ?= -Werror
CFLAGS  ?=
ALL_CFLAGS := -std=gnu11 $(OPT) -fno-omit-frame-pointer -fno-strict-aliasing -fPIC \
           -fvisibility=hidden -I. -DDEMI_LIBRARY=1 -D_GNU_SOURCE $(WARN) $(WERROR) $(CFLAGS)
LDFLAGS ?=
# Tests and fuzz targets are some 350 programs with the whole server in them: linked by lld, where there is one, in half
# of the time.
TEST_LD := $(if $(shell command -v ld.lld 2>/dev/null),-fuse-ld=lld)
LIB_LDLIBS := -lpthread -ldl # the library's own: Libs.private of demikernel.pc
LDLIBS   = $(SCRIPT_LDLIBS) $(LIB_LDLIBS) -lm

# --- optional libraries, found by pkg-config; a build without them passes its tests ---------------
PKG_CONFIG ?= pkg-config
, := ,
has = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes)
ifeq ($(call has,jemalloc),yes)
BENCH_LIBS := -ljemalloc # to compare with; whoever links it has its malloc
endif

# Files by io_uring. Linked in whole, so that a program that is copied somewhere needs no more than libc there.
ifeq ($(call has,liburing),yes)
LIB_LDLIBS += -l:liburing.a
endif

# Scripts: LuaJIT's interpreter, linked in whole for the same reason.
ifeq ($(call has,luajit),yes)
SCRIPT_FLAGS  := $(subst -I,-isystem ,$(shell $(PKG_CONFIG) --cflags luajit)) -DSCRIPT_LUA=1
# It unwinds its stack; a sanitizer has to see how.
SCRIPT_LDLIBS := -l:libluajit-5.1.a $(if $(findstring fsanitize,$(OPT)),,-static-libgcc)
endif

# --- sources ---------------------------------------------------------------------------------------
find_c  = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))
PLUGIN_C    := $(filter-out %_test.c,$(call find_c,libos/dpdk libos/xdp libos/verbs libos/openssl))
# Sockets by io_uring, or one file that says that there is no liburing.
NO_URING_C  := $(if $(filter yes,$(call has,liburing)),libos/uring/without.c,\
                 $(filter-out libos/uring/without.c,$(call find_c,libos/uring)) tests/demi/uring_test.c tests/bench/uring_bench.c)
ALL_LIB_C   := $(filter-out $(NO_URING_C) demi/examples/% libos/dpdk/% libos/xdp/% libos/verbs/% libos/openssl/%,$(call find_c,alloc tcp libos demi))
ALL_SRV_C   := $(call find_c,server)
# Over a double of libibverbs, which wants its headers.
RDMA_TEST_C := $(if $(filter yes,$(call has,libibverbs librdmacm)),$(wildcard tests/rdma/*_test.c))
TEST_C      := $(filter %_test.c,$(ALL_LIB_C) $(ALL_SRV_C)) $(sort $(wildcard tests/sim/*_test.c tests/demi/*_test.c tests/nvme/*_test.c $(RDMA_TEST_C) libos/dpdk/*_test.c libos/xdp/*_test.c))
TEST_C      := $(filter-out $(NO_URING_C),$(TEST_C))
# Of checks that only debug builds have.
DEBUG_TEST_C := libos/disk/ring_check_test.c server/exec/blocked_check_test.c server/repl/replicas_check_test.c
ifeq ($(VARIANT),release)
TEST_C      := $(filter-out $(DEBUG_TEST_C),$(TEST_C))
endif
LIB_C       := $(filter-out %_test.c,$(ALL_LIB_C))
LIB_S       := $(sort $(shell find alloc tcp libos demi -name '*.S' 2>/dev/null))
SRV_C       := $(filter-out %_test.c server/main.c,$(ALL_SRV_C))
EXAMPLE_C   := $(sort $(wildcard demi/examples/*.c))
# Not in the build of a sanitizer, whose C compiler may be another family: tests/interop/cpp.py has one of its own.
EXAMPLE_CPP := $(if $(findstring fsanitize,$(OPT)),,$(sort $(wildcard demi/examples/*.cpp)))
TOOL_C      := $(sort $(wildcard tools/*/*.c))
BENCH_C     := $(filter-out $(NO_URING_C),$(sort $(wildcard tests/bench/*.c)))
FUZZ_C      := $(sort $(wildcard tests/fuzz/*_fuzz.c))

obj = $(patsubst %,$(B)/obj/%.o,$(1))
LIB_O := $(call obj,$(LIB_C) $(LIB_S))
SRV_O := $(call obj,$(SRV_C))

LIB_A   := $(B)/libdemikernel.a
LIB_ALL := $(B)/obj/liball.a
LIB_SO  := $(B)/libdemikernel.so
SONAME  := libdemikernel.so.1
SRV_A   := $(B)/obj/libserver.a
SERVER  := $(B)/demikv-server
CHECKS  := $(B)/demikv-check-rdb $(B)/demikv-check-aof $(B)/demikv-check-conf
EXAMPLES := $(patsubst demi/examples/%.c,$(B)/examples/%,$(EXAMPLE_C)) $(patsubst demi/examples/%.cpp,$(B)/examples/%,$(EXAMPLE_CPP))
TOOLS    := $(patsubst tools/%.c,$(B)/tools/%,$(TOOL_C))
TESTS    := $(patsubst %.c,$(B)/tests/%,$(TEST_C))
LIB_TESTS := $(filter-out $(B)/tests/server/% $(B)/tests/tests/sim/%,$(TESTS))
PLUGINS  := $(if $(filter yes,$(call has,libdpdk)),$(B)/libdemikernel-dpdk.so) \
            $(if $(filter yes,$(call has,libxdp libbpf)),$(if $(wildcard libos/xdp/*.c),$(B)/libdemikernel-xdp.so)) \
            $(if $(filter yes,$(call has,libibverbs librdmacm)),$(B)/libdemikernel-rdma.so) \
            $(if $(filter yes,$(shell $(PKG_CONFIG) --atleast-version=3.0 openssl 2>/dev/null && echo yes)),$(B)/libdemikernel-tls.so)
BENCHES  := $(patsubst tests/bench/%.c,$(B)/bench/%,$(BENCH_C))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ_C))
FUZZ_MAIN ?= $(B)/obj/tests/fuzz/replay.c.o
PACKETS_C := $(sort $(wildcard tests/packets/runner/*.c))
PACKETS   := $(B)/packets/run
# What LD_PRELOAD loads under programs that know nothing of us: the library, its own calls renamed, under the shim.
SHIM_C    := $(filter-out %_test.c,$(call find_c,shim))
SHIM_SO   := $(B)/libdemi-shim.so
# What packetdrill loads: the runner's host under its table of calls.
PACKETDRILL_SO := $(B)/libdemi-packetdrill.so
PACKETDRILL_C  := $(sort $(wildcard tests/packets/shim/*.c tests/packets/runner/host*.c) \
                    tests/packets/runner/offload.c tests/packets/runner/wire.c)

.PHONY: all run test check check-asan check-tsan fuzz bench soak fmt fmt-check lint layers names headers dead install uninstall clean tests tools \
        benches fuzzers deps deps-test deb deb-test docs docs-test
.DELETE_ON_ERROR:
.SECONDARY:
all: $(LIB_A) $(LIB_SO) $(SHIM_SO) $(PLUGINS) $(if $(wildcard server/main.c),$(SERVER) $(CHECKS)) $(EXAMPLES) $(TOOLS)

$(B)/obj/%.c.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/obj/%.S.o: %.S Makefile
	@mkdir -p $(@D)
	$(call say,AS,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# What programs link with knows demi_* and nothing else: one object, whose other names are its own. What is built here
# (server, tests, benches) may look inside and gets the objects.
LD      ?= ld
OBJCOPY ?= objcopy
$(LIB_A): $(LIB_O)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(LD) -r -o $(B)/obj/demikernel.o $(LIB_O) && \
	    $(OBJCOPY) --wildcard --keep-global-symbol='demi_*' $(B)/obj/demikernel.o && $(AR) rcs $@ $(B)/obj/demikernel.o

$(LIB_ALL): $(LIB_O)
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_O)

$(LIB_SO): $(LIB_O) demi/libdemikernel.map
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=demi/libdemikernel.map \
	    $(LDFLAGS) -o $@ $(LIB_O) $(LIB_LDLIBS)
	$(Q)ln -sf libdemikernel.so $(B)/$(SONAME)

# Unit tests are compiled to be run once.
ifeq ($(VARIANT),release)
$(call obj,$(TEST_C) $(FUZZ_C)): ALL_CFLAGS += -O1
endif

$(B)/obj/shim/demikernel.o: $(LIB_O) shim/own.syms
	@mkdir -p $(@D)
	$(Q)$(LD) -r -o $@ $(LIB_O) && \
	    $(OBJCOPY) --wildcard --keep-global-symbol='demi_*' --redefine-syms=shim/own.syms $@

# Its assertions are its own copy: the library's are hidden in there.
$(SHIM_SO): $(call obj,$(SHIM_C) alloc/base/assert.c) $(B)/obj/shim/demikernel.o shim/libdemi-shim.map
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,libdemi-shim.so -Wl,-z,nodelete -Wl,--version-script=shim/libdemi-shim.map \
	    $(if $(findstring fsanitize,$(OPT)),,-Wl$(,)-z$(,)defs) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB_LDLIBS)

# What tests/shim runs with and without it: a program that knows nothing of us.
SHIM_CONFORM := $(B)/shim/conform
$(SHIM_CONFORM): $(wildcard tests/shim/*.c tests/shim/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Wno-unused-result $(WERROR) -I. $(filter -fsanitize%,$(OPT)) -o $@ $(filter %.c,$^) -lpthread

$(call obj,libos/disk/ring.c libos/disk/ring_check_test.c): ALL_CFLAGS += $(if $(call has,liburing),-DDISK_URING=1)

SCRIPT_FUZZ_C := $(filter tests/fuzz/cjson_% tests/fuzz/cmsgpack_% tests/fuzz/struct_% tests/fuzz/script_source_%,$(FUZZ_C))
$(call obj,$(filter server/script/%,$(ALL_SRV_C)) $(SCRIPT_FUZZ_C) $(filter tests/sim/%,$(TEST_C))): \
    ALL_CFLAGS += $(SCRIPT_FLAGS)

# What tools/fuzz does not trace every comparison of: with states to explore and no words to guess that is half of a run.
$(call obj,$(filter tcp/% alloc/%,$(LIB_C)) tests/fuzz/tcp_state_fuzz.c): ALL_CFLAGS += $(UNTRACED)

# Plug-ins see nothing of the library but what it hands them (-z defs), export one symbol, and stay loaded once they are:
# DPDK's drivers cannot be taken out of a process.
DPDK_FLAGS := $(subst -I,-isystem ,$(shell $(PKG_CONFIG) --cflags libdpdk 2>/dev/null)) -DALLOW_EXPERIMENTAL_API=1
XDP_FLAGS  := $(subst -I,-isystem ,$(shell $(PKG_CONFIG) --cflags libxdp libbpf 2>/dev/null))
$(call obj,$(filter libos/dpdk/%,$(PLUGIN_C))): ALL_CFLAGS += $(DPDK_FLAGS)
$(call obj,$(filter libos/xdp/%,$(PLUGIN_C))): ALL_CFLAGS += $(XDP_FLAGS)
RDMA_FLAGS := $(subst -I,-isystem ,$(shell $(PKG_CONFIG) --cflags libibverbs librdmacm 2>/dev/null))
$(call obj,$(filter libos/verbs/%,$(PLUGIN_C))): ALL_CFLAGS += $(RDMA_FLAGS)
TLS_FLAGS := $(subst -I,-isystem ,$(shell $(PKG_CONFIG) --cflags openssl 2>/dev/null))
$(call obj,$(filter libos/openssl/%,$(PLUGIN_C))): ALL_CFLAGS += $(TLS_FLAGS)
$(B)/libdemikernel-tls.so: PLUGIN_LIBS = $(shell $(PKG_CONFIG) --libs openssl)
$(B)/libdemikernel-tls.so: $(call obj,$(filter libos/openssl/%,$(PLUGIN_C)))
$(B)/libdemikernel-dpdk.so: PLUGIN_LIBS = $(shell $(PKG_CONFIG) --libs libdpdk)
$(B)/libdemikernel-xdp.so: PLUGIN_LIBS = $(shell $(PKG_CONFIG) --libs libxdp libbpf)
$(B)/libdemikernel-rdma.so: PLUGIN_LIBS = $(shell $(PKG_CONFIG) --libs libibverbs librdmacm)
# Their assertions and their clock are their own copy.
$(B)/libdemikernel-dpdk.so: $(call obj,$(filter libos/dpdk/%,$(PLUGIN_C)) alloc/base/assert.c)
$(B)/libdemikernel-xdp.so: $(call obj,$(filter libos/xdp/%,$(PLUGIN_C)) alloc/base/assert.c)
VERBS_O := $(call obj,$(filter libos/verbs/%,$(PLUGIN_C)) alloc/base/assert.c alloc/base/clock.c)
$(B)/libdemikernel-rdma.so: $(VERBS_O)
# The same plug-in over the double.
DOUBLE_C := $(wildcard tests/rdma/double*.c)
$(call obj,$(DOUBLE_C)): ALL_CFLAGS += $(RDMA_FLAGS)
$(B)/double/libdemikernel-rdma.so: $(VERBS_O) $(call obj,$(DOUBLE_C))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,$(@F) -Wl,-z,nodelete $(filter-out -fsanitize=fuzzer,$(LDFLAGS)) -o $@ $^ -lpthread
$(filter $(B)/tests/tests/rdma/%,$(TESTS)): | $(B)/double/libdemikernel-rdma.so
$(B)/bench/rdma_bench: | $(if $(RDMA_TEST_C),$(B)/double/libdemikernel-rdma.so)
$(B)/libdemikernel-%.so:
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,$(@F) -Wl,-z,nodelete $(if $(findstring fsanitize,$(OPT)),,-Wl$(,)-z$(,)defs) \
	    $(filter-out -fsanitize=fuzzer,$(LDFLAGS)) -o $@ $^ $(PLUGIN_LIBS) -lpthread

# Over a controller in memory, which stands where VFIO's would.
NVME_DOUBLE_O := $(call obj,tests/nvme/double.c)
NVME_TESTS    := $(filter $(B)/tests/tests/nvme/%,$(TESTS))
$(NVME_TESTS): TEST_O = $(NVME_DOUBLE_O)
$(NVME_TESTS) $(B)/bench/nvme_bench: $(NVME_DOUBLE_O)
$(B)/bench/nvme_bench: TEST_O = $(NVME_DOUBLE_O)
$(B)/tests/tests/nvme/log_test $(B)/tests/tests/nvme/device_test: LDFLAGS += -Wl,--wrap=nvme_port_open

# Tests that stand between a file and its library, or between two files.
$(B)/tests/tests/demi/files_cut_test: LDFLAGS += -Wl,--wrap=io_uring_submit
$(B)/tests/tests/sim/replication_%test: LDFLAGS += -Wl,--wrap=history_continues
$(B)/tests/tests/sim/replication_test: LDFLAGS += -Wl,--wrap=history_continues

$(filter $(B)/tests/libos/dpdk/% $(B)/tests/libos/xdp/%,$(TESTS)): | $(PLUGINS)
$(filter %/tls_test,$(TESTS)) $(B)/fuzz/tls_records_fuzz: | $(filter %-tls.so,$(PLUGINS))

$(SRV_A): $(SRV_O)
	$(Q)rm -f $@ && $(AR) rcs $@ $(SRV_O)

$(SERVER): $(B)/obj/server/main.c.o $(SRV_A) $(LIB_ALL)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< -Wl,--whole-archive $(SRV_A) -Wl,--no-whole-archive $(LIB_ALL) $(LDLIBS)

# The server with a controller of NVMe in its memory: tests/nvme/server_double.c.
$(B)/double/demikv-server: $(B)/obj/server/main.c.o $(call obj,tests/nvme/server_double.c) $(NVME_DOUBLE_O) $(SRV_A) $(LIB_ALL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--wrap=nvme_port_open -o $@ $(filter %.o,$^) -Wl,--whole-archive $(SRV_A) -Wl,--no-whole-archive \
	    $(LIB_ALL) $(LDLIBS)

# The server answers to these names as the tools that look at files.
$(CHECKS): $(SERVER)
	$(Q)ln -sf demikv-server $@

# Examples are compiled as a user of the library would: public headers only, Demikernel's flags. TxnStore has files that
# its two programs share, and its test in the simulator.
TXNSTORE_C := $(wildcard demi/examples/txnstore/*.c)
$(B)/examples/txnstore-replica $(B)/examples/txnstore-client: $(TXNSTORE_C) $(wildcard demi/examples/txnstore/*.h) demi/examples/common.h
$(B)/examples/memcache: demi/examples/memcache/store.c demi/examples/memcache/store.h
$(B)/examples/http-files: demi/examples/http/request.c demi/examples/http/request.h
$(B)/examples/dns-relay: demi/examples/dns/message.c demi/examples/dns/message.h
$(B)/examples/%: demi/examples/%.c $(LIB_A)
	@mkdir -p $(@D)
	$(call say,EX,$@)
	$(Q)$(CC) -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -O2 -g -I. \
	    $(if $(findstring fsanitize,$(OPT)),$(filter -fsanitize%,$(OPT))) -MMD -MP -MF $@.d -o $@ $(filter %.c,$^) $(LIB_A) $(LIB_LDLIBS)

$(B)/examples/%: demi/examples/%.cpp $(LIB_A)
	@mkdir -p $(@D)
	$(call say,EX,$@)
	$(Q)$(CXX) -std=c++20 -Wall -Wextra -Werror -O2 -g -I. -MMD -MP -MF $@.d -o $@ $< \
	    $(LIB_A) $(LIB_LDLIBS)

$(B)/tools/%: $(B)/obj/tools/%.c.o $(LIB_ALL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(LIB_ALL) $(LDLIBS)

# It knows the server's append-only files, too.
$(B)/tools/log/demi-log: $(B)/obj/tools/log/demi-log.c.o $(SRV_A) $(LIB_ALL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(SRV_A) $(LIB_ALL) $(LDLIBS)

$(B)/bench/%: $(B)/obj/tests/bench/%.c.o $(SRV_A) $(LIB_ALL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(TEST_O) $(SRV_A) $(LIB_ALL) $(LDLIBS) $(if $(findstring alloc_bench,$@),$(BENCH_LIBS))

$(LIB_TESTS): $(B)/tests/%: $(B)/obj/%.c.o $(LIB_ALL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LD) $(LDFLAGS) -o $@ $< $(TEST_O) $(LIB_ALL) -lcmocka $(LDLIBS)

$(B)/tests/tests/sim/txnstore_test: TEST_O = $(call obj,$(TXNSTORE_C))
$(B)/tests/tests/sim/txnstore_test: $(call obj,$(TXNSTORE_C))
$(B)/tests/%_test: $(B)/obj/%_test.c.o $(SRV_A) $(LIB_ALL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LD) $(LDFLAGS) -o $@ $< $(TEST_O) $(SRV_A) $(LIB_ALL) -lcmocka $(LDLIBS)

# A fuzz target is one LLVMFuzzerTestOneInput. Here it is linked with a main that replays its corpus;
# `make fuzz` builds the same file with clang's libFuzzer, which brings its own main.
$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.c.o $(FUZZ_MAIN) $(SRV_A) $(LIB_ALL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LD) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The runner of packet scripts stands on the stack alone.
STACK_O := $(filter $(B)/obj/tcp/% $(B)/obj/alloc/%,$(LIB_O))
$(PACKETS): $(call obj,$(PACKETS_C)) $(STACK_O)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(PACKETDRILL_SO): $(call obj,$(PACKETDRILL_C)) $(STACK_O)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared $(LDFLAGS) -o $@ $^ $(LDLIBS)

tests: all $(TESTS) $(FUZZERS) $(PACKETS) $(PACKETDRILL_SO) $(SHIM_CONFORM)
tools: $(TOOLS)
benches: $(BENCHES)
fuzzers: $(FUZZERS)

deps:
	@tools/install-deps
deps-test:
	@tools/install-deps --test

# As many compilers as there are processors.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

run: deps
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)tools/run $(SERVER) $(ARGS)

test: deps-test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) tests
	$(Q)tools/run-tests --build $(B) $(TESTARGS)

# Every gate in one: layers, names, headers, format, functions that nobody calls, all tests, and the unit tests again
# under the sanitizers. Some 40 minutes on two processors.
check: layers names headers fmt-check
	$(Q)$(MAKE) --no-print-directory test
	$(Q)$(MAKE) --no-print-directory dead
	$(Q)$(MAKE) --no-print-directory check-asan
	$(Q)$(MAKE) --no-print-directory check-tsan

# What a sanitizer costs is not the tests' fault: their limits of time are stretched. These builds are debug builds, too:
# 16 slices, and every command's changes compared with what it told. The thread sanitizer would end a test that forks and
# then starts threads.
# clang's, where there is one: what another compiler sees is seen in the same build.
ASAN_SCRIPTS := tests/clients/killed.py tests/clients/old_faults.py tests/clients/full_disk.py tests/compat/shapes.py
ASAN_CC := $(if $(shell command -v clang-14 2>/dev/null),clang-14,$(CC))
check-asan:
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) VARIANT=asan CC=$(ASAN_CC) tests
	$(Q)tools/run-tests --build build/asan --unit-only --stretch 5 $(addprefix --with ,$(ASAN_SCRIPTS))
	$(Q)tools/check-commands build/asan/demikv-server
check-tsan:
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) VARIANT=tsan tests
	$(Q)TSAN_OPTIONS=die_after_fork=0 tools/run-tests --build build/tsan --unit-only --stretch 20

fuzz: ; $(Q)tools/fuzz $(FUZZARGS)
soak: tests
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) VARIANT=asan build/asan/demikv-server
	$(Q)tools/soak $(SOAKARGS)
# Debian packages into build/deb/; and what becomes of them in a fresh root of Debian.
deb: ; $(Q)tools/deb $(DEBARGS)
deb-test: deb
	$(Q)tools/deb-test
	$(Q)tools/container-root
	$(Q)tools/systemd-root || [ $$? -eq 77 ]
# The book: its sessions are run, also those that `make test` leaves out because they take minutes; as HTML in build/docs/.
docs-test: all
	$(Q)DOCS_SLOW=1 tools/run-tests --build $(B) --filter tests/docs/ --stretch 30
docs: ; $(Q)tools/docs/build
bench: all benches ; $(Q)tools/bench/run $(BENCHARGS)
layers: ; $(Q)tools/check-layers
names: ; $(Q)tools/check-names
dead: tests benches ; $(Q)tools/check-dead --build $(B)
headers: ; $(Q)tools/check-headers $(CC) $(filter -std=% -I% -D%,$(ALL_CFLAGS))
fmt: ; $(Q)tools/check-format --write
fmt-check: ; $(Q)tools/check-format
lint:
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr \
	    --suppress=unknownMacro --suppress=missingIncludeSystem -I. -DDEMI_LIBRARY=1 $(LIB_C) $(PLUGIN_C) $(SRV_C)

install: all
INSTALL = B='$(B)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' SYSCONFDIR='$(SYSCONFDIR)' DESTDIR='$(DESTDIR)' \
          SONAME='$(SONAME)' LDLIBS='$(LIB_LDLIBS)' tools/install
install uninstall: ; $(Q)$(INSTALL) $@

clean:
	rm -rf build

-include $(shell find $(B)/obj $(B)/examples -name '*.d' 2>/dev/null)
