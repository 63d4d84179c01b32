/* Byte strings, vectors, maps, number parsing. */
#include "unit.h"

#include "base/mem.h"

static void test_append(void) {
    autostr struct str s = STR_INIT;
    CHECK_STR(str_c(&s), "");
    str_append(&s, "a");
    str_append_c(&s, 'b');
    str_appendf(&s, "%d-%s", 42, "x");
    CHECK_STR(str_c(&s), "ab42-x");
    str_append_n(&s, "\0z", 2);
    CHECK_INT(s.len, 8);
    str_clear(&s);
    CHECK_STR(str_c(&s), "");
    for (int i = 0; i < 10000; i++)
        str_append_c(&s, 'q');
    CHECK_INT(s.len, 10000);
    CHECK_INT(strlen(str_c(&s)), 10000);
    autofree char *taken = str_take(&s);
    CHECK_INT(strlen(taken), 10000);
    CHECK_INT(s.len, 0);
    autofree char *empty = str_take(&s);
    CHECK_STR(empty, "");
}

static void test_maximum(void) {
    autostr struct str s = STR_INIT_MAX(4);
    str_append(&s, "abc");
    CHECK(str_ok(&s));
    str_append(&s, "de");
    CHECK(!str_ok(&s));
    CHECK_STR(str_c(&s), "abc");
    str_append(&s, "f"); /* would fit, but something before it is missing already */
    str_append_c(&s, 'f');
    str_appendf(&s, "%s", "f");
    CHECK_STR(str_c(&s), "abc");
    CHECK(str_reserve(&s, 1) == NULL);
    str_clear(&s);
    str_append(&s, "abcd");
    CHECK(str_ok(&s));
    str_appendf(&s, "%d", 1);
    CHECK(!str_ok(&s));
    CHECK_STR(str_c(&s), "abcd");
    autostr struct str big = STR_INIT;
    CHECK(str_reserve(&big, SIZE_MAX) == NULL);
}

static void test_visible(void) {
    autostr struct str s = STR_INIT;
    str_append_visible(&s, "a\033[31m\n\x7f\xc3\xa4\xc2\x9b\xff\xe2\x82");
    CHECK_STR(str_c(&s), "a\\x1b[31m\\x0a\\x7f\xc3\xa4\\xc2\\x9b\\xff\\xe2\\x82");
}

static void test_utf8(void) {
    static const struct {
        const char *s;
        bool ok;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa3", true},
        {"\xc0\x80", false},         /* overlong NUL */
        {"\xe0\x80\xaf", false},     /* overlong slash */
        {"\xed\xa0\x80", false},     /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* beyond U+10FFFF */
        {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false},
        {"\xc3", false},
        {"\xf8\x88\x80\x80\x80", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_INT(str_utf8_ok(cases[i].s, strlen(cases[i].s)), cases[i].ok);
    CHECK(!str_utf8_ok("a\0b", 3));
}

static void test_vector(void) {
    autostrv struct strv v = {0};
    strv_split(&v, "a:b::c", ':');
    CHECK_INT(v.n, 4);
    CHECK_STR(v.v[2], "");
    CHECK(v.v[4] == NULL);
    autofree char *joined = strv_join(&v, ", ");
    CHECK_STR(joined, "a, b, , c");
    strv_remove(&v, 2);
    strv_remove(&v, 2);
    CHECK_INT(v.n, 2);
    CHECK(v.v[2] == NULL);
    strv_extend(&v, &v);
    strv_pushf(&v, "%03d", 7);
    CHECK_INT(v.n, 5);
    strv_sort(&v);
    CHECK_STR(v.v[0], "007");
    CHECK_STR(v.v[4], "b");
    CHECK(strv_has(&v, "a") && !strv_has(&v, "c"));
    size_t at = 99;
    CHECK(!strv_find_sorted(&v, "c", &at) && !strv_find_sorted(&v, "", &at));
    CHECK_INT(at, 99);
    CHECK(strv_find_sorted(&v, "b", NULL) && strv_find_sorted(&v, "007", &at));
    CHECK_INT(at, 0);
    autostrv struct strv one = {0};
    strv_split(&one, "", ',');
    CHECK_INT(one.n, 1);
    autostrv struct strv none = {0};
    strv_sort(&none);
    CHECK(!strv_find_sorted(&none, "", NULL));
    autofree char *nothing = strv_join(&none, ",");
    CHECK_STR(nothing, "");
}

static void test_env(void) {
    autostrv struct strv v = {0};
    strv_env_set(&v, "A=1");
    strv_env_set(&v, "AB=2");
    strv_env_set(&v, "A=3=4");
    CHECK_INT(v.n, 2);
    CHECK_STR(strv_env_get(&v, "A"), "3=4");
    CHECK(strv_env_get(&v, "B") == NULL);
    strv_env_unset(&v, "A");
    strv_env_unset(&v, "nothing");
    CHECK_INT(v.n, 1);
    CHECK_STR(strv_env_get(&v, "AB"), "2");
}

static void test_map(void) {
    autostrmap struct strmap m = {0};
    for (int i = 0; i < 20; i++) {
        autofree char *k = mem_printf("k%d", i % 10);
        autofree char *v = mem_printf("v%d", i);
        strmap_set(&m, k, v);
    }
    CHECK_INT(m.n, 10);
    CHECK_STR(m.e[0].key, "k0");
    CHECK_STR(strmap_get(&m, "k3"), "v13");
    strmap_set(&m, "k3", strmap_get(&m, "k4")); /* a value of its own */
    CHECK_STR(strmap_get(&m, "k3"), "v14");
    strmap_set(&m, "k3", strmap_get(&m, "k3"));
    CHECK_STR(strmap_get(&m, "k3"), "v14");
    CHECK(strmap_get(&m, "nope") == NULL);
}

static void test_numbers(void) {
    int64_t i = 99;
    CHECK(str_to_i64("0", 0, 10, &i) && i == 0);
    CHECK(str_to_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &i) && i == INT64_MIN);
    CHECK(str_to_i64("9223372036854775807", INT64_MIN, INT64_MAX, &i) && i == INT64_MAX);
    i = 99;
    static const char *const bad[] = {
        "", "-", "+1", " 1", "1 ", "0x1", "1.0", "9223372036854775808", "99999999999999999999", "--1"};
    for (size_t k = 0; k < ARRAY_LEN(bad); k++)
        CHECK(!str_to_i64(bad[k], INT64_MIN, INT64_MAX, &i));
    CHECK(!str_to_i64("-1", 0, 10, &i));
    CHECK(!str_to_i64("11", 0, 10, &i));
    CHECK(!str_to_i64(NULL, 0, 10, &i));
    CHECK_INT(i, 99);
    uint64_t u = 99;
    CHECK(str_to_u64("18446744073709551615", 10, UINT64_MAX, &u) && u == UINT64_MAX);
    CHECK(!str_to_u64("18446744073709551616", 10, UINT64_MAX, &u));
    CHECK(str_to_u64("0755", 8, 07777, &u) && u == 0755);
    CHECK(!str_to_u64("0758", 8, 07777, &u));
    CHECK(!str_to_u64("-0", 10, 5, &u));
}

static void test_compare(void) {
    CHECK(str_starts("sha256:x", "sha256:") && !str_starts("sha", "sha256:"));
    CHECK(str_ends("a.tar.gz", ".gz") && !str_ends("gz", ".gz"));
    CHECK(str_eq(NULL, NULL) && !str_eq(NULL, "") && str_eq("a", "a"));
    autofree char *p = mem_dup("abc");
    mem_set(&p, p + 1);
    CHECK_STR(p, "bc");
    mem_set(&p, NULL);
    CHECK(p == NULL);
}

static void check_assigned(const char *text, const char *want) {
    autofree char *value = str_assigned(text, "ID");
    CHECK(str_eq(value, want) || (!value && !want));
}

static void test_assigned(void) {
    check_assigned("# ID=no\nID_LIKE=no\nVERSION_ID=no\nID=debian\nNAME=x\n", "debian");
    check_assigned("ID=\"Some Linux's 1\"\n", "Some Linux's 1");
    check_assigned("ID='a \"b\"'", "a \"b\"");
    check_assigned(" ID\t= a b\r\n", "a");
    check_assigned("ID=one\nID=two", "two");
    check_assigned("ID=\"open\nNAME=y\"", "open");
    check_assigned("ID=\n", "");
    check_assigned("ID\n=x\nID: y\n", NULL);
    check_assigned("", NULL);
}

UNIT_MAIN({"append", test_append}, {"maximum", test_maximum}, {"visible", test_visible}, {"utf8", test_utf8},
          {"vector", test_vector}, {"env", test_env}, {"map", test_map}, {"numbers", test_numbers},
          {"assigned", test_assigned}, {"compare", test_compare})
