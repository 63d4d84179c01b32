/* Variables and quotes of a Dockerfile's words. */
#include "unit.h"

#include "base/mem.h"
#include "build/expand_int.h"

static const char *get(void *ctx, const char *name) {
    (void)ctx;
    static const char *const vars[][2] = {
        {"A", "one"},       {"EMPTY", ""}, {"SP", "a b"},   {"F", "foobarbaz"}, {"P", "/usr/lib/x.tar.gz"},
        {"STARS", "a*b?c"}, {"U", "äöü"},  {"_x1", "under"}};
    for (size_t i = 0; i < ARRAY_LEN(vars); i++)
        if (str_eq(vars[i][0], name))
            return vars[i][1];
    return NULL;
}

static void test_words(void) {
    static const struct {
        const char *word, *want;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"$A", "one"},
        {"${A}", "one"},
        {"x${A}y$A.z", "xoney"
                       "one.z"},
        {"$AB", ""},
        {"$_x1-$NONE", "under-"},
        {"\\$A", "$A"},
        {"\\${A}", "${A}"},
        {"'$A'", "$A"},
        {"\"$A\"", "one"},
        {"\"\\$A\"", "$A"},
        {"\"a\\nb\"", "a\\nb"},
        {"a\\nb", "anb"},
        {"\"\\\"\\\\\"", "\"\\"},
        {"a\\", "a"},
        {"a'b\"c'd\"e'f\"", "ab\"cde'f"},
        {"a  b", "a  b"},
        {"$", "$"},
        {"a$ b", "a$ b"},
        {"$%", "$%"},
        {"$1$@$*$#$?$-$$$!", ""},
        {"${A:-x}", "one"},
        {"${EMPTY:-x}", "x"},
        {"${EMPTY-x}", ""},
        {"${NONE-x}", "x"},
        {"${NONE:-a b}", "a b"},
        {"${NONE:-${A}}", "one"},
        {"${NONE:-${NO2:-${A:+deep}}}", "deep"},
        {"${NONE:-'}'}", "}"},
        {"${NONE:-\\}}", "}"},
        {"${A:+x}", "x"},
        {"${EMPTY:+x}", ""},
        {"${EMPTY+x}", "x"},
        {"${NONE+x}", ""},
        {"${A:?no}", "one"},
        {"${EMPTY?no}", ""},
        {"${F#f*b}", "arbaz"},
        {"${F##f*b}", "az"},
        {"${F%b*}", "foobar"},
        {"${F%%b*}", "foo"},
        {"${F#x}", "foobarbaz"},
        {"${F#*}", "foobarbaz"},
        {"${F##*}", ""},
        {"${F%?}", "foobarba"},
        {"${F#???}", "barbaz"},
        {"${P##*/}", "x.tar.gz"},
        {"${P%/*}", "/usr/lib"},
        {"${P%%.*}", "/usr/lib/x"},
        {"${STARS#a\\*}", "b?c"},
        {"${STARS%\\?c}", "a*b"},
        {"${STARS#a\\?}", "a*b?c"},
        {"${NONE#x}", ""},
        {"${F/ba/fo}", "fooforbaz"},
        {"${F//ba/fo}", "fooforfoz"},
        {"${F//ba/}", "foorz"},
        {"${F/b*/X}", "fooX"},
        {"${F//?/x}", "xxxxxxxxx"},
        {"${P//\\//-}", "-usr-lib-x.tar.gz"},
        {"${F/$NONE/x}", "foobarbaz"},
        {"${F/foo/$A}", "onebarbaz"},
        {"${U#?}", "öü"},
        {"${U%?}", "äö"},
        {"${U//?/x}", "xxx"},
    };
    const struct expand x = {.get = get, .escape = '\\'};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostr struct str out = STR_INIT;
        CHECK_OK(expand_word(&x, cases[i].word, &out));
        if (!str_eq(str_c(&out), cases[i].want))
            fprintf(stderr, "%s:\n", cases[i].word);
        CHECK_STR(str_c(&out), cases[i].want);
    }
}

static void test_bad(void) {
    static const struct {
        const char *word, *why;
    } cases[] = {
        {"${", "syntax error: missing '}'"},
        {"${A", "syntax error: missing '}'"},
        {"${A:-x", "syntax error: missing '}'"},
        {"${}", "syntax error: bad substitution"},
        {"${:x}", "syntax error: bad substitution"},
        {"${{A}}", "syntax error: bad substitution"},
        {"${A=x}", "unsupported modifier (=) in substitution"},
        {"${A:x}", "unsupported modifier (:x) in substitution"},
        {"${A:#x}", "unsupported modifier (:#) in substitution"},
        {"${A^}", "unsupported modifier (^) in substitution"},
        {"${NONE?}", "NONE: is not allowed to be unset"},
        {"${NONE:?}", "NONE: is not allowed to be unset"},
        {"${EMPTY:?}", "EMPTY: is not allowed to be empty"},
        {"${NONE:?set $A}", "NONE: set one"},
        {"'abc", "unexpected end of statement while looking for matching single-quote"},
        {"\"abc", "unexpected end of statement while looking for matching double-quote"},
        {"${A/x}", "syntax error: missing '}'"},
    };
    const struct expand x = {.get = get, .escape = '\\'};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostr struct str out = STR_INIT, said = STR_INIT;
        autofree char *want = mem_printf("failed to process \"%s\": %s", cases[i].word, cases[i].why);
        autoerr e = expand_word(&x, cases[i].word, &out);
        CHECK(e && err_kind(e) == ERR_USAGE);
        if (e)
            err_format(e, &said);
        CHECK_STR(str_c(&said), want);
        str_done(&said);
    }
}

static void test_split(void) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a b", "a|b"},         {"$SP", "a|b"}, {"\"$SP\"", "a b"}, {"x$SP", "xa|b"}, {"  ", ""},
        {"a'  'b c", "a  b|c"}, {"'' a", "|a"}, {"$EMPTY a", "a"},  {"a\\ b", "a b"},
    };
    const struct expand x = {.get = get, .escape = '\\'};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostrv struct strv words = {.n = 0};
        CHECK_OK(expand_words(&x, cases[i].text, &words));
        autofree char *joined = strv_join(&words, "|");
        CHECK_STR(joined, cases[i].want);
    }
}

static void test_ways(void) {
    const struct expand keep = {.get = get, .escape = '\\', .keep_unset = true};
    const struct expand tick = {.get = get, .escape = '`'};
    const struct expand doc = {.get = get, .escape = '\\', .raw_quotes = true};
    const struct {
        const struct expand *x;
        const char *text, *want;
    } cases[] = {
        {&keep, "$NONE ${NONE} ${NONE:-x} $A", "$NONE ${NONE} ${NONE:-x} one"},
        {&tick, "c:\\$A `$A `x \"``\"", "c:\\one $A x `"},
        {&doc, "it's \"$A\" \\$A \\\\", "it's \"one\" $A \\"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostr struct str out = STR_INIT;
        CHECK_OK(expand_word(cases[i].x, cases[i].text, &out));
        CHECK_STR(str_c(&out), cases[i].want);
    }
}

static void test_depth(void) {
    const struct expand x = {.get = get, .escape = '\\'};
    autostr struct str text = STR_INIT, out = STR_INIT;
    for (int i = 0; i < 1000; i++)
        str_append(&text, "${N:-");
    CHECK_ERR(expand_word(&x, str_c(&text), &out), ERR_USAGE);
    str_done(&out);
}

UNIT_MAIN({"words", test_words}, {"bad", test_bad}, {"split", test_split}, {"ways", test_ways}, {"depth", test_depth})
