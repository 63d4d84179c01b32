# Tests: unit tests (tests/unit/test_*.c, one executable each), fuzzers, bats. Included by the Makefile.
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT_BINS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRCS))
$(B)/unit/%: tests/unit/%.c $(call lib_of,$(LAYERS)) tests/unit/unit.h $(B)/flags
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	$(Q)$(CC) $(CPPFLAGS) -Itests/unit $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -Wl,--start-group $(call lib_of,$(LAYERS)) -Wl,--end-group -lcjson -ldl $(UNIT_LIBS_$*)

UNIT_LIBS_test_seccomp := -lseccomp

.PHONY: unit
unit: $(UNIT_BINS)
	@for t in $(UNIT_BINS); do $$t || exit 1; done
