/* --filter, as docker's client reads it. */
#include "cli/cli_int.h"
#include "unit.h"

static const char *const keys[] = {"status", "label", "name", NULL};

static char *parse(const char *const *texts, struct strmap *ret) {
    autostrv struct strv v = {0};
    for (; *texts; texts++)
        strv_push(&v, *texts);
    autoerr e = cli_filters_parse(&v, keys, ret);
    if (!e)
        return NULL;
    autostr struct str s = STR_INIT;
    err_format(e, &s);
    return str_take(&s);
}

static void test_good(void) {
    struct strmap m = {0};
    const char *const texts[] = {"status=running", "label=a=b", " LABEL =  c", "name=", "", NULL};
    autofree char *bad = parse(texts, &m);
    CHECK(bad == NULL);
    CHECK_STR(strmap_get(&m, "status"), "running");
    CHECK_STR(strmap_get(&m, "label"), "a=b\nc");
    CHECK_STR(strmap_get(&m, "name"), "");
    strmap_done(&m);
}

static void test_bad(void) {
    static const struct {
        const char *text, *error;
    } lines[] = {
        {"x", "bad format of filter (expected name=value): x"},
        {"a b", "bad format of filter (expected name=value): a b"},
        {"nope=x", "invalid filter 'nope'"},
        {"=x", "invalid filter ''"},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct strmap m = {0};
        const char *const texts[] = {lines[i].text, NULL};
        autofree char *bad = parse(texts, &m);
        CHECK_STR(bad, lines[i].error);
        strmap_done(&m);
    }
}

UNIT_MAIN({"good", test_good}, {"bad", test_bad})
