/* Git URLs of contexts and ADD, and what is taken for an archive. */
#include "unit.h"

#include "base/mem.h"
#include "build/context_int.h"
#include "build/git_int.h"

static const struct {
    const char *text;
    bool is;
    const char *remote, *ref, *subdir; /* remote NULL: refused */
} cases[] = {
    {"https://host/a/repo.git", true, "https://host/a/repo.git", NULL, NULL},
    {"https://host/a/repo.git#v1:sub/dir", true, "https://host/a/repo.git", "v1", "sub/dir"},
    {"http://host/repo.git#:sub", true, "http://host/repo.git", NULL, "sub"},
    {"https://host/a/repo", false, "https://host/a/repo", NULL, NULL},
    {"https://host/x.git.tar", false, "https://host/x.git.tar", NULL, NULL},
    {"git://host/repo#main", true, "git://host/repo", "main", NULL},
    {"ssh://git@host:22/repo.git", true, "ssh://git@host:22/repo.git", NULL, NULL},
    {"git@host:a/repo.git#b:c", true, "git@host:a/repo.git", "b", "c"},
    {"git@host:repo.git", true, "git@host:repo.git", NULL, NULL},
    {"github.com/a/b", true, "https://github.com/a/b", NULL, NULL},
    {"dir/with@at:colon", false, "dir/with@at:colon", NULL, NULL},
    {".", false, ".", NULL, NULL},
    {"#x@host:a", false, "", "x@host", "a"},
    {"https://host/r.git#--upload-pack=x", true, NULL, NULL, NULL},
    {"-x@host:a.git", true, NULL, NULL, NULL},
    {"https://host/a b.git", true, NULL, NULL, NULL},
};

static void test_urls(void) {
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autogiturl u = {.remote = NULL};
        CHECK_INT(git_url_is(cases[i].text), cases[i].is);
        autoerr e = git_url_parse(cases[i].text, &u);
        CHECK_INT(e == NULL, cases[i].remote != NULL);
        if (e)
            continue;
        CHECK_STR(u.remote, cases[i].remote);
        CHECK(str_eq(u.ref, cases[i].ref));
        CHECK(str_eq(u.subdir, cases[i].subdir));
    }
}

static void test_archives(void) {
    char block[512] = "FROM busybox\n";
    CHECK(!context_is_archive("FROM x\n", 7));
    CHECK(!context_is_archive("", 0));
    CHECK(!context_is_archive(block, sizeof block));
    CHECK(context_is_archive("\x1f\x8b", 2));
    CHECK(context_is_archive("BZh9", 4));
    CHECK(context_is_archive("\x28\xb5\x2f\xfd", 4));
    CHECK(context_is_archive("\xfd"
                             "7zXZ\0",
                             6));
    memset(block, 0, sizeof block);
    memcpy(block, "name", 4);
    memcpy(block + 148, "000665 ", 8); /* 'n'+'a'+'m'+'e' and eight blanks */
    snprintf(block + 148, 8, "%06o", 'n' + 'a' + 'm' + 'e' + 8 * ' ');
    CHECK(context_is_archive(block, sizeof block));
    CHECK(!context_is_archive(block, 511));
}

UNIT_MAIN({"urls", test_urls}, {"archives", test_archives})
