/* What --platform says, and which programs of others binfmt_misc runs. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/platforms_int.h"
#include "unit.h"

#define MASK64 "ffffffffffffff00fffffffffffffffffeffffff"

static const char arm64[] = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POCF\noffset 0\n"
                            "magic 7f454c460201010000000000000000000200b700\nmask " MASK64 "\n";
static const char s390x[] =
    "enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: F\noffset 0\n"
    "magic 7f454c4602020100000000000000000000020016\nmask ffffffffffffff00fffffffffffffffffffeffff\n";

static void test_binfmt(void) {
    CHECK(binfmt_entry_runs(arm64, "arm64"));
    CHECK(!binfmt_entry_runs(arm64, "arm"));
    CHECK(!binfmt_entry_runs(arm64, "s390x"));
    CHECK(binfmt_entry_runs(s390x, "s390x"));
    CHECK(!binfmt_entry_runs(s390x, "ppc64"));
    CHECK(!binfmt_entry_runs(arm64, "pdp11"));
    CHECK(binfmt_known("riscv64") && !binfmt_known("pdp11"));
}

/* Switched off, without F, for scripts, by extension, not at the beginning, with what is no hexadecimal number. */
static void test_others(void) {
    static const char *const texts[] = {
        "disabled\ninterpreter /q\nflags: F\noffset 0\nmagic 7f454c460201010000000000000000000200b700\n",
        "enabled\ninterpreter /F\nflags: OC\noffset 0\nmagic 7f454c460201010000000000000000000200b700\n",
        "enabled\ninterpreter /q\nflags: F\noffset 0\nmagic 2321\n",
        "enabled\ninterpreter /q\nflags: F\nextension .exe\n",
        "enabled\ninterpreter /q\nflags: F\noffset 16\nmagic 0200b700\n",
        "enabled\ninterpreter /q\nflags: F\noffset 0\nmagic 7f4\n",
        "enabled\ninterpreter /q\nflags: F\noffset 0\nmagic 7fzz\n",
        "enabled\ninterpreter /q\nflags: F\noffset 0\nmagic \n",
        "enabled\n",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        CHECK(!binfmt_entry_runs(texts[i], "arm64"));
}

static char *parsed(const char *text) {
    autostrv struct strv typed = {.n = 0};
    autostrv struct strv out = {.n = 0};
    strv_push(&typed, text);
    autoerr e = platforms_parse(NULL, &typed, &out);
    return e ? mem_dup("error") : strv_join(&out, " ");
}

static void test_parse(void) {
    static const char *const cases[][2] = {
        {"linux/amd64", "linux/amd64"},
        {"x86_64,arm64/v8", "error"},
        {"x86_64,linux/arm64/v8,arm,linux/arm/6", "linux/amd64 linux/arm64 linux/arm/v7 linux/arm/v6"},
        {"windows/amd64,wasi/wasm", "windows/amd64 wasi/wasm"},
        {"linux/arm,linux/arm/v7", "error"},
        {"linux/amd64,", "error"},
        {"linux/none", "error"},
        {"a/b/c/d", "error"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autofree char *got = parsed(cases[i][0]);
        CHECK_STR(got, cases[i][1]);
    }
}

UNIT_MAIN({"binfmt_misc", test_binfmt}, {"what is no interpreter for it", test_others}, {"--platform", test_parse})
