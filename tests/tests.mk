# Tests: unit tests (tests/unit/test_*.c, one executable each), bats, fuzzers, lint, bench. Included by the Makefile.
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT_BINS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRCS))
UNIT_LIBS_test_seccomp := -lseccomp
UNIT_LIBS_test_seccomp_json := -lseccomp
# coracle-net's objects as a library, for tests and fuzzers of its parts; without the connect(2) that it has in libc's place.
HELPER_LIB := $(B)/lib/libhelper.a
$(HELPER_LIB): $(call obj_of,$(filter-out net/helper/main.c net/helper/slirp_connect.c,$(wildcard net/helper/*.c)))
$(B)/unit/%: tests/unit/%.c $(call lib_of,$(LAYERS)) $(HELPER_LIB) tests/unit/unit.h $(B)/flags
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	$(Q)$(CC) $(CPPFLAGS) -Itests/unit $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -Wl,--start-group $(call lib_of,$(LAYERS)) $(HELPER_LIB) \
	    -Wl,--end-group -lslirp -lmnl -lcjson -ldl $(UNIT_LIBS_$*)

.PHONY: deps test-deps demo unit check check-bats
deps:
	@tests/lib/deps build
test-deps:
	@tests/lib/deps test

# An image from this machine's busybox, and containers from it; as root it drops to the user coracle-test.
demo:
	@tests/lib/deps demo
	@$(MAKE) --no-print-directory all
	@stage=$$(tests/lib/stage $(B)) && trap 'rm -rf "$$stage"' EXIT && tests/lib/as-user "$$stage/tests/lib/demo" "$$stage/bin"

unit: $(UNIT_BINS)

# Everything: TESTS="tests/cli/run.bats …" picks bats files, CORACLE_SUITE=unit|bats a half.
check: test-deps
	@$(MAKE) --no-print-directory all unit
	@stage=$$(tests/lib/stage $(B)) && trap 'rm -rf "$$stage"' EXIT && tests/lib/as-user "$$stage/tests/lib/suite" "$$stage" $(TESTS)

# Coverage-guided fuzzing with clang: every tests/fuzz/fuzz_*.c for FUZZ_SECONDS, under ASan and UBSan, corpus kept in build/fuzz.
# fuzz-smoke: the seeds and the kept corpus once, and a second each. fuzz-keep: what they learnt, and the time, into tests/fuzz.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
$(B)/bin/fuzz_%: tests/fuzz/fuzz_%.c $(call lib_of,$(LAYERS)) $(HELPER_LIB) $(B)/flags
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(call lib_of,$(LAYERS)) \
	    $(HELPER_LIB) -Wl,--end-group -lslirp -lmnl -lcjson -ldl -larchive -lisal -lzstd -lz -lcrypto -lcurl
.PHONY: fuzz fuzz-smoke fuzz-keep fuzz-bins
fuzz-bins: $(patsubst %,$(B)/bin/%,$(FUZZ_TARGETS))
fuzz:
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)
fuzz-smoke:
	@tests/fuzz/run 1 $(FUZZ_TARGETS)
fuzz-keep:
	@tests/fuzz/keep

# The gates; GATES="layers size" runs only these.
.PHONY: lint lint-flags
lint:
	@tests/lint/run $(GATES)
lint-flags:
	$(info $(CPPFLAGS) $(WARN))@:

.PHONY: bench
bench: all
	@tests/bench/run $(B)

# The long proofs of the store: docs/internals/faults.md. SEED=n repeats one.
PROOF_KILLS ?= 2000
PROOF_STATES ?= 10000
PROOF_FAULTS ?= 3000
PROOF_SECONDS ?= 600
PROOF_CYCLES ?= 20000
PROOF_RUNNING ?= 1000
.PHONY: proof-kills proof-concurrency proof-states proof-faults proof-power proof-cycles proof-running
proof-kills: all
	@tests/fault/proof kills $(B) $(PROOF_KILLS) $(SEED)
proof-concurrency: all
	@tests/fault/proof concurrency $(B) $(PROOF_SECONDS) $(SEED)
proof-states: all
	@tests/fault/proof states $(B) $(PROOF_STATES) $(SEED)
proof-faults: all
	@tests/fault/proof faults $(B) $(PROOF_FAULTS) $(SEED)
proof-cycles: all
	@tests/fault/proof cycles $(B) $(PROOF_CYCLES)
proof-running: all
	@tests/fault/proof running $(B) $(PROOF_RUNNING)
# The races of docs/internals/threats.md, so many per cent of the rounds that check does.
PROOF_ATTACKS ?= 1000
# The Dockerfiles of tests/build, built by buildah, too.
.PHONY: proof-dockerfiles
proof-dockerfiles: all
	@stage=$$(tests/lib/stage $(B)) && { tests/lib/as-user env CORACLE_BIN=$$stage/bin bash -c "cd $$stage && bats tests/build/compare.bats"; code=$$?; \
	    rm -rf $$stage; exit $$code; }
.PHONY: proof-attacks
proof-attacks: all
	@stage=$$(tests/lib/stage $(B)) && trap 'rm -rf "$$stage"' EXIT && TEST_ROUNDS=$(PROOF_ATTACKS) CORACLE_SUITE=bats \
	    tests/lib/as-user "$$stage/tests/lib/suite" "$$stage" tests/cli/security.bats tests/cli/security-builds.bats tests/cli/files.bats
# Other hosts: VM_RUN names the program that boots a virtual machine (tests/vm/run says what it must do), VM_HOSTS the hosts, all by default.
.PHONY: check-vm
check-vm: all
	@tests/vm/run $(B) $(VM_HOSTS)
# The tests on a machine whose processors are taken away at random (tests/fault/noise.c), NOISE times as long as usual; TESTS as above. As root.
NOISE ?= 1
$(B)/noise: tests/fault/noise.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -pthread
.PHONY: check-noisy
check-noisy: test-deps $(B)/noise
	@$(MAKE) --no-print-directory all unit
	@$(B)/noise $(NOISE) & noise=$$!; trap "kill $$noise" EXIT; TEST_PATIENCE=$${TEST_PATIENCE:-4} $(MAKE) --no-print-directory check
# Fresh machines of other releases: the two commands of the README on each (as root).
RELEASES ?= trixie noble
RELEASES_RUN ?= demo check
.PHONY: check-releases
check-releases:
	@for what in $(RELEASES_RUN); do tests/releases/run $$what $(RELEASES) || exit; done
# VM_POWERCUT names the program that cuts the power of a virtual machine.
proof-power: all
	@tests/fault/powercut/run $(B) 60 $(SEED)
