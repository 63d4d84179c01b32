/* YAML as a JSON tree. */
#include "unit.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/yaml.h"

static const char *const numbers[] = {"n", "list", NULL};

static void test_values(void) {
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        {"", "null"},
        {"---\n...\n", "null"},
        {"a: b\nc: 'd'", "{\"a\":\"b\",\"c\":\"d\"}"},
        {"a: 1\nb: no\nc: 1.10\nd: 0x10\ne: true", /* texts all of them */
         "{\"a\":\"1\",\"b\":\"no\",\"c\":\"1.10\",\"d\":\"0x10\",\"e\":\"true\"}"},
        {"n: 12\nx: {n: '12'}", "{\"n\":12,\"x\":{\"n\":\"12\"}}"},
        {"n: -1", "{\"n\":\"-1\"}"},
        {"list: [1, x, 2]\nother: [1]", "{\"list\":[1,\"x\",2],\"other\":[\"1\"]}"},
        {"list: [{a: 1}]", "{\"list\":[{\"a\":\"1\"}]}"},
        {"a:\nb: ~\nc: null\nd: 'null'", "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"null\"}"},
        {"a: |\n  x\n  y\nb: >-\n  x\n  y", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"},
        {"- - a\n  - b\n- []", "[[\"a\",\"b\"],[]]"},
        {"{\"as\": [\"json\"]}", "{\"as\":[\"json\"]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autojson j = NULL;
        autostr struct str text = STR_INIT;
        CHECK_OK(yaml_parse(cases[i].yaml, strlen(cases[i].yaml), numbers, &j));
        json_render(j, JSON_COMPACT, &text);
        CHECK_STR(str_c(&text), cases[i].json);
    }
}

static void refused(const char *yaml, size_t n, const char *why) {
    autojson j = NULL;
    autostr struct str text = STR_INIT;
    autoerr e = yaml_parse(yaml, n, numbers, &j);
    CHECK(e != NULL && j == NULL);
    if (e)
        err_format(e, &text);
    if (!strstr(str_c(&text), why))
        fprintf(stderr, "for %.60s: %s\n", yaml, str_c(&text));
    CHECK(strstr(str_c(&text), why) != NULL);
}

static void test_refused(void) {
    static const struct {
        const char *yaml, *why;
    } cases[] = {
        {"a: &x [1]\nb: *x", "line 1: anchors and tags are not read"},
        {"a: 1\nb: *x", "line 2: aliases are not read"},
        {"a: !!int 1", "anchors and tags"},
        {"a: 1\na: 2", "line 2: the key \"a\" is there twice"},
        {"? [a]\n: b", "a key that is not text"},
        {"a: 1\n---\nb: 2", "line 2: a second document"},
        {"a: [", "line 2: did not find"},
        {"a: \x01", "control characters are not allowed"},
        {"a: \xc3(", "invalid trailing UTF-8"},
        {"a: \"\\0\"", "a NUL character"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refused(cases[i].yaml, strlen(cases[i].yaml), cases[i].why);
}

static void test_bounds(void) {
    autostr struct str deep = STR_INIT, wide = STR_INIT, many = STR_INIT, big = STR_INIT;
    for (int i = 0; i <= YAML_DEPTH_MAX; i++)
        str_append(&deep, "[");
    refused(deep.ptr, deep.len, "more than 32 levels");
    for (int i = 0; i <= YAML_MEMBERS_MAX; i++)
        str_appendf(&wide, "k%d: v\n", i);
    refused(wide.ptr, wide.len, "more values");
    for (int i = 0; i < 1000; i++) {
        str_append(&many, "-");
        for (int k = 0; k < 100; k++)
            str_append(&many, k ? "  - a\n" : " - a\n");
    }
    refused(many.ptr, many.len, "more values");
    while (big.len <= YAML_SIZE_MAX)
        str_append(&big, "# a comment of some length, which is nothing but that, over and over again\n");
    refused(big.ptr, big.len, "bytes");
}

UNIT_MAIN({"values", test_values}, {"refused", test_refused}, {"bounds", test_bounds})
