/* Errors: kinds, wrapping, rendering, and the way over a socket. */
#include "unit.h"

#include <errno.h>

#include "base/mem.h"

static char *text_of(const struct err *e) {
    autostr struct str s = STR_INIT;
    err_format(e, &s);
    return str_take(&s);
}

static struct err *inner(bool fail) { return fail ? err_sys(ENOENT, "open %s", "/x") : NULL; }

static struct err *outer(bool fail) {
    TRY_CTX(inner(fail), "read config %d", 7);
    return NULL;
}

static void test_wrap(void) {
    CHECK_OK(outer(false));
    autoerr e = outer(true);
    CHECK(e != NULL);
    autofree char *text = text_of(e);
    CHECK_STR(text, "read config 7: open /x: no such file or directory");
    CHECK_INT(err_kind(e), ERR_NOT_FOUND);
    CHECK_INT(err_errno(e), ENOENT);
    CHECK(err_hint_text(e) == NULL);
    e = err_with_kind(e, ERR_CORRUPT);
    CHECK_INT(err_kind(e), ERR_CORRUPT);
}

static void test_kinds(void) {
    static const struct {
        int errnum;
        enum err_kind kind;
    } cases[] = {{ENOENT, ERR_NOT_FOUND},  {EACCES, ERR_DENIED},      {EPERM, ERR_DENIED},
                 {EEXIST, ERR_CONFLICT},   {EBUSY, ERR_IN_USE},       {ENOSPC, ERR_NO_SPACE},
                 {EDQUOT, ERR_NO_SPACE},   {ENOSYS, ERR_UNSUPPORTED}, {EOPNOTSUPP, ERR_UNSUPPORTED},
                 {ETIMEDOUT, ERR_TIMEOUT}, {EINTR, ERR_INTERRUPTED},  {EIO, ERR_SYSTEM}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_ERR(err_sys(cases[i].errnum, "x"), cases[i].kind);
    for (int k = 0; k < ERR_KIND_COUNT; k++)
        CHECK(err_kind_name((enum err_kind)k)[0]);
}

static void test_hint(void) {
    autoerr e = err_hint(err_new(ERR_USAGE, "inner"), "first");
    e = err_hint(e, "do %s", "this");
    e = err_hint(err_wrap(e, "outer"), "do that");
    CHECK_STR(err_hint_text(e), "do this");
    CHECK(err_first(NULL, NULL) == NULL);
    e = err_first(err_first(NULL, e), err_new(ERR_SYSTEM, "later"));
    CHECK_STR(err_hint_text(e), "do this");
}

static void test_visible(void) {
    autoerr e = err_new(ERR_NOT_FOUND, "no such image: \033]0;x\a");
    autofree char *text = text_of(e);
    CHECK_STR(text, "no such image: \\x1b]0;x\\x07");
}

static void test_wire(void) {
    autoerr e = err_wrap(err_hint(err_sys(EACCES, "open \"%s\"\n\xff", "a\\b"), "try \xc3\xa4"), "start");
    autostr struct str wire = STR_INIT;
    err_encode(e, &wire);
    CHECK(!strchr(str_c(&wire), '\n'));
    CHECK_STR(str_c(&wire), "{\"kind\":\"denied\",\"errno\":0,\"message\":\"start\",\"cause\":"
                            "{\"kind\":\"denied\",\"errno\":13,\"message\":\"open \\\"a\\\\b\\\"\\n\\ufffd\","
                            "\"hint\":\"try \xc3\xa4\"}}");
    autoerr back = err_decode(wire.ptr, wire.len);
    CHECK_INT(err_kind(back), ERR_DENIED);
    CHECK_INT(err_errno(back), EACCES);
    CHECK_STR(err_hint_text(back), "try \xc3\xa4");
    autofree char *text = text_of(back);
    CHECK_STR(text, "start: open \"a\\b\"\\x0a\xef\xbf\xbd: permission denied");
}

static void test_decode_rubbish(void) {
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{}",
                                      "{\"kind\":1,\"message\":\"x\"}",
                                      "{\"kind\":\"usage\"}",
                                      "null",
                                      "{\"kind\":\"usage\",\"message\":\"x\",\"cause\":{\"kind\":\"usage\"}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(err_decode(bad[i], strlen(bad[i])), ERR_CORRUPT);
    static const char newer[] = "{\"kind\":\"from_the_future\",\"message\":\"x\",\"errno\":999999}";
    autoerr e = err_decode(newer, sizeof newer - 1);
    CHECK_INT(err_kind(e), ERR_SYSTEM);
    CHECK_INT(err_errno(e), 0);
}

static void test_deep(void) {
    struct err *e = err_new(ERR_NETWORK, "bottom");
    for (int i = 0; i < 5000; i++)
        e = err_wrap(e, "level %d", i);
    autostr struct str wire = STR_INIT;
    err_encode(e, &wire);
    err_free(e);
    autoerr back = err_decode(wire.ptr, wire.len);
    CHECK_INT(err_kind(back), ERR_NETWORK);
}

UNIT_MAIN({"wrap", test_wrap}, {"kinds", test_kinds}, {"hint", test_hint}, {"visible", test_visible},
          {"wire", test_wire}, {"decode_rubbish", test_decode_rubbish}, {"deep", test_deep})
