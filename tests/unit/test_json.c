/* JSON: what is accepted, exact integers, errors with a path, printing as Go does. */
#include "unit.h"

#include <fcntl.h>
#include <time.h>

#include "base/json.h"
#include "base/mem.h"

static struct json *parsed(const char *text) {
    struct json *j = NULL;
    CHECK_OK(json_parse(text, strlen(text), "test", 0, &j));
    return j;
}

static char *rendered(const struct json *j, enum json_style style) {
    autostr struct str s = STR_INIT;
    json_render(j, style, &s);
    return str_take(&s);
}

/* Parses and prints. */
static char *round_trip(const char *text) {
    autojson j = parsed(text);
    return rendered(j, JSON_COMPACT);
}

static void test_round_trip(void) {
    static const char *const same[] = {
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "0",
        "-1",
        "\"\"",
        "\"a\\\"\\\\\\n\\u0001\"",
        "[1,2,[3,{}]]",
        "{\"a\":{\"b\":[]},\"A\":1}",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "184467440737095516160",
        "1.5",
        "0.1",
        "1e+21",
        "1.5e-7",
        "\"\xc3\xa4\xf0\x9f\x9a\xa3<>&\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        autofree char *out = round_trip(same[i]);
        CHECK_STR(out, same[i]);
    }
    autofree char *spaced = round_trip(" \t\r\n{ \"a\" : [ 1 , 2 ] } \n");
    CHECK_STR(spaced, "{\"a\":[1,2]}");
    autofree char *escapes = round_trip("\"\\u00e4\\/\\ud83d\\udea3\\u2028\"");
    CHECK_STR(escapes, "\"\xc3\xa4/\xf0\x9f\x9a\xa3\\u2028\"");
}

static void test_refused(void) {
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\n\"",
        "\"\t\"",
        "tru",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "1 2",
        "{} {}",
        "[] x",
        "null,",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\xef\xbb\xbf{}x",
        "[1}",
        "{\"a\":1]",
        "\v1",
        "1\f",
        "1e400",
        "[-1e999]",
        "/* c */ 1",
        "[1 2]",
        "{\"a\" 1}",
        "--1",
        "1-2",
        "\"\\",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct json *j = NULL;
        struct err *e = json_parse(bad[i], strlen(bad[i]), "x", 0, &j);
        if (!e || err_kind(e) != ERR_CORRUPT)
            fprintf(stderr, "accepted: %s\n", bad[i]);
        CHECK(e && err_kind(e) == ERR_CORRUPT && !j);
        err_free(e);
        json_free(j);
    }
    struct json *j = NULL;
    CHECK_ERR(json_parse("1\0", 2, "x", 0, &j), ERR_CORRUPT);
    CHECK_ERR(json_parse("\"a\0b\"", 5, "x", 0, &j), ERR_CORRUPT);
}

static void test_truncations(void) {
    static const char text[] =
        "{\"a\\u00e4\":[1.5e3,-2,true,null,\"\\ud83d\\udea3\xc3\xa4\"],\"b\":{\"c\":18446744073709551615}}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        autofree char *copy = mem_alloc(n ? n : 1); /* exactly n bytes: a sanitizer sees any read beyond */
        memcpy(copy, text, n);
        struct json *j = NULL;
        CHECK_ERR(json_parse(copy, n, "x", 0, &j), ERR_CORRUPT);
    }
    struct json *j = NULL;
    CHECK_OK(json_parse(text, sizeof text - 1, "x", JSON_REFUSE_DUPLICATES, &j));
    json_free(j);
}

static char *nested(int depth, char open, char close) {
    autostr struct str s = STR_INIT;
    for (int i = 0; i < depth; i++)
        str_append(&s, open == '{' ? "{\"a\":" : "[");
    str_append_c(&s, '1');
    for (int i = 0; i < depth; i++)
        str_append_c(&s, close);
    return str_take(&s);
}

static void test_depth(void) {
    struct json *j = NULL;
    autofree char *ok = nested(JSON_DEPTH_MAX, '[', ']'), *bad = nested(JSON_DEPTH_MAX + 1, '{', '}');
    autofree char *huge = nested(1000000, '[', ']');
    CHECK_OK(json_parse(ok, strlen(ok), "x", JSON_REFUSE_DUPLICATES, &j));
    json_free(j);
    CHECK_ERR(json_parse(bad, strlen(bad), "x", 0, &j), ERR_CORRUPT);
    CHECK_ERR(json_parse(huge, strlen(huge), "x", 0, &j), ERR_CORRUPT);
}

static void test_size(void) {
    struct json *j = NULL;
    autofree char *big = mem_alloc(JSON_SIZE_MAX + 1);
    memset(big, ' ', JSON_SIZE_MAX + 1);
    big[0] = '1';
    CHECK_OK(json_parse(big, JSON_SIZE_MAX, "x", 0, &j));
    json_free(j);
    CHECK_ERR(json_parse(big, JSON_SIZE_MAX + 1, "x", 0, &j), ERR_CORRUPT);
}

static void test_duplicates(void) {
    struct json *j = NULL;
    static const char dup[] = "[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]", similar[] = "{\"a\":1,\"A\":2,\"\\u0061a\":3}";
    CHECK_ERR(json_parse(dup, sizeof dup - 1, "x", JSON_REFUSE_DUPLICATES, &j), ERR_CORRUPT);
    CHECK_OK(json_parse(dup, sizeof dup - 1, "x", 0, &j));
    json_free(j);
    CHECK_OK(json_parse(similar, sizeof similar - 1, "x", JSON_REFUSE_DUPLICATES, &j));
    json_free(j);
    static const char escaped[] = "{\"a\":1,\"\\u0061\":2}";
    CHECK_ERR(json_parse(escaped, sizeof escaped - 1, "x", JSON_REFUSE_DUPLICATES, &j), ERR_CORRUPT);
}

/* Half a million keys must not take quadratic time. */
static void test_many_keys(void) {
    autostr struct str s = STR_INIT;
    str_append_c(&s, '{');
    for (int i = 0; i < 400000; i++)
        str_appendf(&s, "%s\"k%d\":1", i ? "," : "", i);
    str_append_c(&s, '}');
    clock_t start = clock();
    struct json *j = NULL;
    CHECK_OK(json_parse(str_c(&s), s.len, "x", JSON_REFUSE_DUPLICATES, &j));
    autostr struct str out = STR_INIT;
    json_render(j, JSON_COMPACT, &out);
    CHECK_STR(str_c(&out), str_c(&s));
    json_free(j);
    CHECK(clock() - start < 5 * CLOCKS_PER_SEC);
}

static void test_integers(void) {
    autojson j = parsed("{\"u\":18446744073709551615,\"i\":9223372036854775807,\"m\":-9223372036854775808,"
                        "\"f\":1.5,\"over\":18446744073709551616,\"neg\":-1,\"e\":1e3,\"p\":9007199254740993}");
    uint64_t u = 0;
    int64_t i = 0;
    CHECK_OK(json_get_u64_opt(j, "u", 0, &u));
    CHECK(u == UINT64_MAX);
    CHECK_OK(json_get_i64(j, "i", &i));
    CHECK(i == INT64_MAX);
    CHECK_OK(json_get_i64(j, "m", &i));
    CHECK(i == INT64_MIN);
    CHECK_OK(json_get_i64(j, "p", &i));
    CHECK_INT(i, 9007199254740993);
    CHECK_OK(json_get_i64(j, "e", &i));
    CHECK_INT(i, 1000);
    CHECK_ERR(json_get_i64(j, "u", &i), ERR_CORRUPT);
    CHECK_ERR(json_get_i64(j, "f", &i), ERR_CORRUPT);
    CHECK_ERR(json_get_u64_opt(j, "over", 0, &u), ERR_CORRUPT);
    CHECK_ERR(json_get_u64_opt(j, "neg", 0, &u), ERR_CORRUPT);
    CHECK_INT(json_int_value(json_get(j, "f"), 7), 7);
    CHECK_INT(json_int_value(json_get(j, "i"), 7), INT64_MAX);
    CHECK(json_num_value(json_get(j, "f"), 0) == 1.5);
    autojson copy = json_copy(j);
    autofree char *a = rendered(j, JSON_COMPACT), *b = rendered(copy, JSON_COMPACT);
    CHECK_STR(a, b);
    autojson built = json_array();
    json_push(built, json_uint(UINT64_MAX));
    json_push(built, json_int(INT64_MIN));
    json_push(built, json_int(-9007199254740993));
    json_push(built, json_int(7));
    json_push(built, json_double(0.25));
    autofree char *c = rendered(built, JSON_COMPACT);
    CHECK_STR(c, "[18446744073709551615,-9223372036854775808,-9007199254740993,7,0.25]");
}

static void check_message(struct err *e, const char *want) {
    autostr struct str s = STR_INIT;
    if (e)
        err_format(e, &s);
    CHECK_STR(str_c(&s), want);
    err_free(e);
}

static void test_getters(void) {
    autojson root =
        parsed("{\"config\":{\"Env\":[\"a\",\"b\",\"c\",4],\"Cmd\":null,\"User\":5,\"user\":\"x\",\"Ok\":[\"y\"],"
               "\"Labels\":{\"a\":\"1\",\"b\":2},\"L\":{\"k\":\"v\"},\"T\":true}}");
    struct json *c = json_get(root, "config"), *out = NULL;
    autostrv struct strv v = {0};
    autostrmap struct strmap m = {0};
    const char *s = NULL;
    bool b = false;
    int64_t i;
    check_message(json_get_strv_opt(c, "Env", &v), "config.Env[3]: expected a string");
    CHECK_INT(v.n, 0);
    check_message(json_get_str(c, "User", &s), "config.User: expected a string");
    check_message(json_get_str(c, "Cmd", &s), "config.Cmd: expected a string");
    check_message(json_get_str(root, "nope", &s), "nope: expected a value, but it is missing");
    check_message(json_get_strmap_opt(c, "Labels", &m), "Labels.b: expected a string");
    check_message(json_get_i64(c, "user", &i), "config.user: expected a number");
    CHECK_OK(json_get_str(c, "user", &s));
    CHECK_STR(s, "x");
    CHECK_OK(json_get_str_opt(c, "Cmd", "def", &s));
    CHECK_STR(s, "def");
    CHECK_OK(json_get_bool_opt(c, "T", false, &b));
    CHECK(b);
    CHECK_ERR(json_get_bool_opt(c, "user", false, &b), ERR_CORRUPT);
    CHECK_OK(json_get_strv_opt(c, "Cmd", &v));
    CHECK_OK(json_get_strv_opt(c, "Ok", &v));
    CHECK_INT(v.n, 1);
    CHECK_OK(json_get_strmap_opt(c, "L", &m));
    CHECK_STR(strmap_get(&m, "k"), "v");
    CHECK_OK(json_get_object(root, "config", &out));
    CHECK(out == c);
    CHECK_OK(json_get_array_opt(c, "Cmd", &out));
    CHECK(out == NULL);
    CHECK_ERR(json_get_array(c, "Cmd", &out), ERR_CORRUPT);
    CHECK_ERR(json_get_object(c, "Env", &out), ERR_CORRUPT);
    CHECK(json_path(root, "config.L.k") && !json_path(root, "config.l.k") && !json_path(root, "config.L.k.z"));
    CHECK(json_get(NULL, "x") == NULL && json_count(NULL) == 0 && json_str_value(NULL) == NULL);
    CHECK_STR(json_text(NULL, "x"), "");
    CHECK_INT(json_count(c), 8);
}

static void test_build(void) {
    autojson o = json_object();
    json_set_str(o, "b", "1");
    json_set_int(o, "a", 2);
    json_set_str(o, "b", NULL);
    json_set(o, json_key(json_first(o)), json_string("again")); /* the key is the member's own */
    json_set_bool(o, "t", true);
    json_remove(o, "a");
    json_remove(o, "a");
    autostrv struct strv v = {0};
    autostrmap struct strmap m = {0};
    json_set_strv(o, "v", &v);
    json_set_strmap(o, "m", &m);
    strv_push(&v, "x");
    strmap_set(&m, "k", "w");
    json_set_strv(o, "V", &v);
    json_set_strmap(o, "M", &m);
    autofree char *text = rendered(o, JSON_COMPACT);
    CHECK_STR(text, "{\"b\":\"again\",\"t\":true,\"v\":[],\"m\":{},\"V\":[\"x\"],\"M\":{\"k\":\"w\"}}");
    autofree char *pretty = rendered(o, JSON_PRETTY);
    CHECK_STR(pretty, "{\n    \"b\": \"again\",\n    \"t\": true,\n    \"v\": [],\n    \"m\": {},\n    \"V\": [\n      "
                      "  \"x\"\n    ],\n"
                      "    \"M\": {\n        \"k\": \"w\"\n    }\n}");
}

static void test_files(void) {
    char dir[] = "/tmp/coracle-test-json-XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    autofree char *path = mem_printf("%s/x.json", dir);
    autojson o = json_object();
    json_set_int(o, "a", 1);
    CHECK_OK(json_write_file(AT_FDCWD, path, o, 0600, 0));
    autojson back = NULL;
    CHECK_OK(json_read_file(AT_FDCWD, path, &back));
    CHECK_INT(json_int_value(json_get(back, "a"), 0), 1);
    CHECK_INT(remove(path), 0);
    CHECK_ERR(json_read_file(AT_FDCWD, path, &back), ERR_NOT_FOUND);
    CHECK_INT(remove(dir), 0);
}

/*
 * Random bytes and random mutations of a valid text: no crash, and what is accepted prints and parses again the same.
 */
static void test_mutations(void) {
    static const char seed[] = "{\"a\":[1,-2.5e10,\"x\\n\\u00e4\",true,false,null,{}],\"b\":{\"c\":[[]],\"d\":\"\"}}";
    unsigned state = 12345;
    for (int round = 0; round < 50000; round++) {
        char text[sizeof seed];
        memcpy(text, seed, sizeof seed);
        for (int k = 0; k < 1 + round % 3; k++) {
            state = state * 1103515245U + 12345U;
            text[(state >> 16) % (sizeof seed - 1)] = "\"{}[],:\\0129ntu.e+- \xc3\x01"[(state >> 8) % 23];
        }
        struct json *j = NULL;
        struct err *e = json_parse(text, sizeof seed - 1, "x", JSON_REFUSE_DUPLICATES, &j);
        if (!e) {
            autofree char *once = rendered(j, JSON_COMPACT);
            autofree char *twice = round_trip(once);
            CHECK_STR(once, twice);
        }
        err_free(e);
        json_free(j);
    }
}

struct cut {
    const char *text, *a, *b;
};

/* Members of the names "a" and "b", as json_cut() gives them from a copy of the text. */
static bool cut(const char *text, struct json_field f[2], char **ret_copy) {
    *ret_copy = mem_dup(text);
    f[0] = (struct json_field){.key = "a"};
    f[1] = (struct json_field){.key = "b"};
    return json_cut(*ret_copy, strlen(*ret_copy), f, 2);
}

static void test_cut(void) {
    static const struct cut good[] = {
        {"{\"a\":\"x\",\"b\":1}", "x", "1"},
        {"{\"b\":[1,\"]\",{\"a\":2}],\"c\":null,\"a\":\"\"}", "", "[1,\"]\",{\"a\":2}]"},
        {"{\"c\":\"q\\\"\",\"a\":\"\\\"\\\\\\n\\u0001\\u00e4\\u2028\"}", "\"\\\n\x01\xc3\xa4\xe2\x80\xa8", NULL},
        {"{\"a\":\"one\",\"a\":\"two\"}", "one", NULL},
        {"{\"x\":{}}", NULL, NULL},
        {"{\"a\":\"\xc3\xa4\",\"b\":true}", "\xc3\xa4", "true"},
    };
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{}",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\": 1}",
                                      "{\"a\":\"x}",
                                      "{\"a\":1}x",
                                      "{\"a\":1,}",
                                      "{\"a\":[1}",
                                      "{\"a\":\"\\ud83d\\udea3\"}",
                                      "{\"a\":\"\\u0000\"}",
                                      "{\"a\":\"\n\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\\q\"}",
                                      "{\"a\":\"\\u00\"}",
                                      "{\"c\":\"\\"};
    struct json_field f[2];
    char *copy;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        CHECK(cut(good[i].text, f, &copy));
        CHECK_STR(f[0].text ? f[0].text : "-", good[i].a ? good[i].a : "-");
        CHECK_STR(f[1].text ? f[1].text : "-", good[i].b ? good[i].b : "-");
        free(copy);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK(!cut(bad[i], f, &copy));
        free(copy);
    }
}

/* Whatever json_cut() takes of mutated texts and cJSON, too, they read alike; and nothing is read beyond the end. */
static void test_cut_mutations(void) {
    static const char seed[] = "{\"a\":\"x\\n\\u00e4y\",\"c\":[{\"d\":\"\"},-2.5e10],\"b\":{\"a\":[[]]},\"e\":true}";
    unsigned state = 4711;
    for (int round = 0; round < 50000; round++) {
        autofree char *text = mem_dup(seed);
        for (int k = 0; k < 1 + round % 3; k++) {
            state = state * 1103515245U + 12345U;
            text[(state >> 16) % (sizeof seed - 1)] = "\"{}[],:\\0129ntu.e+- \xc3\x01"[(state >> 8) % 23];
        }
        struct json_field f[2];
        char *copy;
        autojson j = NULL;
        bool taken = cut(text, f, &copy);
        autoerr e = json_parse(text, strlen(text), "x", 0, &j);
        if (taken && !e) {
            const char *want = json_str_value(json_get(j, "a"));
            CHECK_STR(f[0].text && f[0].string ? f[0].text : "-", want ? want : "-");
            CHECK((f[1].text != NULL) == (json_get(j, "b") != NULL));
        }
        free(copy);
    }
}

UNIT_MAIN({"round_trip", test_round_trip}, {"refused", test_refused}, {"truncations", test_truncations},
          {"depth", test_depth}, {"size", test_size}, {"duplicates", test_duplicates}, {"many_keys", test_many_keys},
          {"integers", test_integers}, {"getters", test_getters}, {"build", test_build}, {"files", test_files},
          {"mutations", test_mutations}, {"cut", test_cut}, {"cut_mutations", test_cut_mutations})
