/* .dockerignore: docker's pattern rules. */
#include "unit.h"

#include "base/mem.h"
#include "build/glob_int.h"
#include "build/ignore_int.h"

static void test_paths(void) {
    static const struct {
        const char *list, *out, *in; /* paths that are left out, and that are not */
    } cases[] = {
        {"", "", "a a/b"},
        {"# a\n\n  \n", "", "a #"},
        {" #a", "#a", "a"},
        {"a", "a a/b a/b/c", "b b/a ab"},
        {"/a", "a a/b", "b/a"},
        {"a/", "a a/b", "b/a"},
        {"./a/../b", "b b/c", "a"},
        {"../a", "", "a"},
        {".", "", "a a/b"},
        {"*.o", "x.o .o x.o/y", "a/x.o x.oo"},
        {"*/*.o", "a/x.o", "x.o a/b/x.o"},
        {"**/*.o", "x.o a/x.o a/b/x.o", "x.c"},
        {"**", "a a/b .x", ""},
        {"a/**", "a/b a/b/c", "a b/a"},
        {"a/**/z", "a/z a/b/z a/b/c/z", "z a/zz b/a/z"},
        {"**/a", "a x/a x/a/y", "xa ax"},
        {"a**b", "ab ax/b", "axb"},
        {"?b", "ab", "b aab"},
        {"[a-c]x", "ax cx", "dx x"},
        {"[^a]x", "bx", "ax"},
        {"a\\*b", "a*b", "axb"},
        {"*\n!keep", "a b/c", "keep keep/x"},
        {"*\n!a/keep", "a b a/b", "a/keep a/keep/x"},
        {"!keep\n*", "keep a", ""},
        {"a\n!a\na/x", "a/x", "a a/y"},
        {"*.md\n!README*.md\nREADME-secret.md", "x.md README-secret.md", "README.md README-a.md"},
        {"\xef\xbb\xbf"
         "a\r\nb \n\tc",
         "a b c", "d"},
        {"ä?", "äö", "ä äöx"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autoignore ig = NULL;
        CHECK_OK(ignore_parse(cases[i].list, &ig));
        for (int in = 0; in < 2; in++) {
            autostrv struct strv paths = {.n = 0};
            strv_split(&paths, in ? cases[i].in : cases[i].out, ' ');
            for (size_t p = 0; p < paths.n; p++) {
                if (!*paths.v[p] || ignore_path(ig, paths.v[p]) == !in)
                    continue;
                fprintf(stderr, "%zu: %s: %s is %s\n", i, cases[i].list, paths.v[p], in ? "left out" : "taken");
                unit_failures++;
            }
        }
    }
    CHECK(!ignore_path(NULL, "a"));
}

static void test_bad(void) {
    static const char *const cases[] = {"!", "a\n! ", "[", "[a", "[]a]", "[-a]", "a\\"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autoignore ig = NULL;
        CHECK_ERR(ignore_parse(cases[i], &ig), ERR_USAGE);
    }
}

static void test_below(void) {
    static const struct {
        const char *list, *directory;
        bool may;
    } cases[] = {
        {"*", "a", false},           {"*\n!a", "a", true},     {"*\n!a/b/c", "a", true}, {"*\n!a/b/c", "a/b", true},
        {"*\n!a/b/c", "a/x", false}, {"*\n!ab", "a", false},   {"*\n!**/x", "a", true},  {"*\n!a*/x", "abc", true},
        {"*\n!a*/x", "b", false},    {"*\n!a", "a/b/c", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autoignore ig = NULL;
        CHECK_OK(ignore_parse(cases[i].list, &ig));
        CHECK_INT(ignore_may_keep_below(ig, cases[i].directory), cases[i].may);
    }
}

/* A pattern that makes a matcher that tries everything work for years. */
static void test_time(void) {
    autoglob g = {.n = 0};
    autostr struct str text = STR_INIT;
    for (int i = 0; i < 1000; i++)
        str_append_c(&text, 'a');
    CHECK_OK(glob_compile("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", GLOB_PATHS, &g));
    CHECK(!glob_matches(&g, str_c(&text)));
}

UNIT_MAIN({"paths", test_paths}, {"bad", test_bad}, {"below", test_below}, {"time", test_time})
