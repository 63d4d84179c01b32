# coracle: rootless containers without a daemon.
#
#   make                 build into build/$(VARIANT)/          make install  DESTDIR= PREFIX=/usr/local
#   make demo            install what is missing, build, run a container from an image made on the spot
#   make check           install what the tests need, build, run every test
#   make lint            every gate of the house style         make bench    beside podman, crun and bwrap
#   make CC=clang        the same with clang (build/clang)     make SAN=1    ASan and UBSan (build/gcc-san)
#   make COV=1           coverage (build/gcc-cov)              make fuzz     FUZZ_SECONDS=60 per target
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VERSION := 0.1.0
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
PREFIX  ?= /usr/local
VARIANT := $(if $(FUZZ),fuzz,$(notdir $(firstword $(CC)))$(if $(SAN),-san)$(if $(COV),-cov))
B       := build/$(VARIANT)

WARN := -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wvla -Wpointer-arith -Wredundant-decls -Wnested-externs \
        -Wimplicit-fallthrough -Wswitch-enum -Wunused -Wdouble-promotion
HARD := -fstack-protector-strong $(if $(SAN),-fno-pie,-fPIE) -fno-strict-aliasing -fno-common $(if $(SAN)$(COV)$(FUZZ),,-D_FORTIFY_SOURCE=2) \
        $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
CPPFLAGS += -D_GNU_SOURCE -DCORACLE_VERSION='"$(VERSION)"' -Isrc -I. -I$(B)/gen
CFLAGS   ?= $(if $(SAN),-O1,-O2) -g
ALL_CFLAGS = -std=gnu17 $(CFLAGS) $(WARN) $(if $(WERROR),-Werror) $(HARD) $(SANFLAGS) -ffile-prefix-map=$(CURDIR)=. -MMD -MP
ALL_LDFLAGS = $(LDFLAGS) $(SANFLAGS) $(if $(SAN),$(SAN_LINK),-pie) -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,--build-id=sha1
comma := ,
SANFLAGS := $(if $(SAN)$(FUZZ),-fsanitize=$(if $(FUZZ),fuzzer-no-link$(comma))address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer) $(if $(COV),--coverage)
# Relocating the sanitizers' tables cost a program half of its start, and the tests start tens of thousands.
SAN_LINK := -no-pie $(if $(findstring gcc,$(CC)),-static-libasan -static-libubsan)

# One static library a layer; the order is the link order, top to bottom (src/LAYERS says who may call whom).
LAYER_DIRS := src/cli src/build src/engine src/monitor src/runtime src/image net storage src/spec src/base
LAYERS     := cli build engine monitor runtime image net storage spec base
src_of      = $(filter-out %/main.c,$(wildcard $(1)/*.c $(if $(filter src/cli,$(1)),$(1)/cmd/*.c) $(if $(filter src/base,$(1)),$(1)/sys/*.c)))
obj_of      = $(patsubst %.c,$(B)/obj/%.o,$(1))
$(foreach d,$(LAYER_DIRS),$(eval OBJS_$(notdir $(d)) := $(call obj_of,$(call src_of,$(d)))))
lib_of      = $(foreach l,$(1),$(if $(OBJS_$(l)),$(B)/lib/lib$(l).a))

PROGRAMS := coracle coracle-runtime coracle-unpack coracle-fetch coracle-net coracle-init
BINARIES := $(addprefix $(B)/,$(PROGRAMS))
HELPERS  := coracle-unpack coracle-fetch coracle-net coracle-init

.PHONY: all
all: $(BINARIES)

$(foreach l,$(LAYERS),$(eval $(B)/lib/lib$(l).a: $(OBJS_$(l))))
$(B)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcsD $@ $^

Q ?= @
$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# Rebuilds everything when the compiler or its flags change.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $@
.PHONY: FORCE
FORCE:

# $(call program,name,objects,layers,libraries)
define program
$(B)/$(1): $(2) $(call lib_of,$(3))
	@echo "  LD    $$@"
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $(2) $(call lib_of,$(3)) $(4)
endef
# Lets a monitor give back the command's tables (src/monitor/shed.c); only GNU ld can put them together.
START_ONLY = $(if $(findstring GNU ld,$(shell $(CC) $(LDFLAGS) -Wl,--version 2>&1)),-T src/monitor/start_only.ld)
$(eval $(call program,coracle,$(call obj_of,src/cli/main.c),$(LAYERS),-lcjson -ldl $$(START_ONLY)))
$(B)/coracle: src/monitor/start_only.ld
$(eval $(call program,coracle-runtime,$(call obj_of,$(wildcard src/runtime/oci/*.c)),runtime spec base,-lcjson -ldl))
$(eval $(call program,coracle-unpack,$(call obj_of,$(wildcard storage/unpack/*.c)),base,-larchive -lisal -lzstd -lz -lcrypto -lcjson -ldl))
$(eval $(call program,coracle-net,$(call obj_of,$(wildcard net/helper/*.c)),net base,-lslirp -lmnl -lcjson -ldl))
# Half of its start is the loader looking for the symbols that libcurl's thirty libraries want of each other, in this order;
# most are of these two.
FIRST := -Wl$(comma)--push-state$(comma)--no-as-needed -lc -lcrypto -Wl$(comma)--pop-state
$(eval $(call program,coracle-fetch,$(call obj_of,$(wildcard src/fetch/*.c)),base,$(FIRST) -lcurl -lcjson -ldl))

# Runs inside any image, so it is static and needs nothing.
$(B)/coracle-init: src/runtime/init/init.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -Os $(WARN) $(if $(WERROR),-Werror) -fstack-protector-strong -static -Wl,--build-id=none -s -o $@ $<

# The seccomp tables: names and numbers of system calls from the build machine's libseccomp, rules from src/gen.
$(B)/gen/seccomp_gen: src/gen/seccomp_gen.c src/gen/seccomp_default.h $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O1 $(WARN) $(if $(WERROR),-Werror) -Isrc -o $@ $< -lseccomp
$(B)/gen/seccomp_table.h: $(B)/gen/seccomp_gen
	@echo "  GEN   $@"
	$(Q)$< > $@
$(B)/obj/src/runtime/seccomp_table.o: $(B)/gen/seccomp_table.h

# The default filter, compiled by what compiles the others.
FILTER_GEN := $(call obj_of,src/gen/filter_gen.c src/runtime/seccomp_bpf.c src/runtime/seccomp_table.c src/runtime/seccomp_profile.c)
$(eval $(call program,gen/filter_gen,$(FILTER_GEN),spec base,-lcjson))
$(B)/gen/seccomp_filter.h: $(B)/gen/filter_gen
	@echo "  GEN   $@"
	$(Q)$< > $@
$(B)/obj/src/runtime/seccomp.o: $(B)/gen/seccomp_filter.h

-include $(shell find $(B)/obj $(B)/unit $(B)/gen -name '*.d' 2>/dev/null)

include tests/tests.mk

.PHONY: install
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/coracle $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(PREFIX)/lib/systemd/user
	install -m 755 $(B)/coracle $(B)/coracle-runtime $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(addprefix $(B)/,$(filter-out coracle-net,$(HELPERS))) $(DESTDIR)$(PREFIX)/libexec/coracle/
	install -m 711 $(B)/coracle-net $(DESTDIR)$(PREFIX)/libexec/coracle/ # not readable: see net/start.c
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 completions/coracle.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/coracle
	install -m 644 completions/_coracle $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_coracle
	install -m 644 completions/coracle.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/coracle.fish
	sed 's|@PREFIX@|$(PREFIX)|' docs/boot/coracle-restart.service >$(DESTDIR)$(PREFIX)/lib/systemd/user/coracle-restart.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/user/coracle-restart.service

# What is derived from the command table: man pages, completions, docs/compat.md. `make lint` tells when they are stale.
$(eval $(call program,gen/docs,$(call obj_of,src/gen/docs.c),$(LAYERS),-lcjson -ldl))
.PHONY: docs
docs: $(B)/gen/docs
	$(B)/gen/docs .

.PHONY: clean
clean:
	rm -rf build
