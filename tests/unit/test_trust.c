/* Trust: scopes of containers-policy.json(5), what a signature may be about, and the YAML of registries.d. */
#include "unit.h"

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/trust_int.h"

#define ZEROES "0000000000000000000000000000000000000000000000000000000000000000"

static char *scopes_of(const char *text) {
    struct image_ref ref;
    struct strv scopes = {.n = 0};
    CHECK_OK(image_ref_parse(text, &ref));
    const struct trust_source source = {.transport = "docker", .ref = &ref};
    trust_scopes(&source, &scopes);
    char *joined = strv_join(&scopes, " ");
    strv_done(&scopes);
    image_ref_done(&ref);
    return joined;
}

static void test_scopes(void) {
    static const char *const cases[][2] = {
        {"busybox", "docker.io/library/busybox:latest docker.io/library/busybox docker.io/library docker.io *.io "},
        {"a.b.test:5000/x/y:1", "a.b.test:5000/x/y:1 a.b.test:5000/x/y a.b.test:5000/x a.b.test:5000 *.b.test *.test "},
        {"localhost/x@sha256:" ZEROES, "localhost/x@sha256:" ZEROES " localhost/x localhost "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autofree char *got = scopes_of(cases[i][0]);
        CHECK_STR(got, cases[i][1]);
    }
    struct strv scopes = {.n = 0};
    const struct trust_source source = {.transport = "oci", .path = "/a/b", .tag = "1"};
    trust_scopes(&source, &scopes);
    autofree char *joined = strv_join(&scopes, " ");
    CHECK_STR(joined, "/a/b:1 /a/b /a ");
    strv_done(&scopes);
}

static void test_identity(void) {
    static const struct {
        const char *identity, *image, *signed_as;
        bool good;
    } cases[] = {
        {NULL, "r.test/x:1", "r.test/x:1", true},
        {NULL, "r.test/x:1", "r.test/x:2", false},
        {NULL, "r.test/x:latest", "r.test/x", false}, /* no tag is no claim of one */
        {NULL, "r.test/x", "r.test/x:latest", true},
        {NULL, "r.test/x@sha256:" ZEROES, "r.test/x:7", true},
        {NULL, "r.test/x@sha256:" ZEROES, "r.test/y:7", false},
        {NULL, "busybox:1", "docker.io/library/busybox:1", true},
        {NULL, "r.test/x:1", "UPPER CASE", false},
        {NULL, "r.test/x:1", "", false},
        {"{\"type\":\"matchExact\"}", "r.test/x:1", "r.test/x:1", true},
        {"{\"type\":\"matchExact\"}", "r.test/x@sha256:" ZEROES, "r.test/x:1", false},
        {"{\"type\":\"matchRepository\"}", "r.test/x:1", "r.test/x", true},
        {"{\"type\":\"matchRepository\"}", "r.test/x:1", "r.test/x/y", false},
        {"{\"type\":\"exactReference\",\"dockerReference\":\"v.test/a:1\"}", "r.test/x:1", "v.test/a:1", true},
        {"{\"type\":\"exactReference\",\"dockerReference\":\"v.test/a:1\"}", "r.test/x:1", "r.test/x:1", false},
        {"{\"type\":\"exactReference\",\"dockerReference\":\"v.test/a:1\"}", NULL, "v.test/a:1", true},
        {"{\"type\":\"exactRepository\",\"dockerRepository\":\"v.test/a\"}", "r.test/x:1", "v.test/a:9", true},
        {"{\"type\":\"remapIdentity\",\"prefix\":\"r.test\",\"signedPrefix\":\"v.test/m\"}", "r.test/x:1",
         "v.test/m/x:1", true},
        {"{\"type\":\"remapIdentity\",\"prefix\":\"r.te\",\"signedPrefix\":\"v.te\"}", "r.test/x:1", "v.test/x:1",
         false},
        {"{\"type\":\"remapIdentity\",\"prefix\":\"q.test\",\"signedPrefix\":\"v.test\"}", "r.test/x:1", "r.test/x:1",
         true},
        {"{\"type\":\"unheardOf\"}", "r.test/x:1", "r.test/x:1", false},
        {"{\"type\":\"matchRepository\"}", NULL, "r.test/x:1", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct image_ref ref = {.domain = NULL};
        autojson identity = NULL;
        if (cases[i].identity)
            CHECK_OK(json_parse(cases[i].identity, strlen(cases[i].identity), "identity", 0, &identity));
        if (cases[i].image)
            CHECK_OK(image_ref_parse(cases[i].image, &ref));
        struct err *e = trust_identity(identity, cases[i].image ? &ref : NULL, cases[i].signed_as);
        if (!e != cases[i].good)
            fprintf(stderr, "case %zu\n", i);
        CHECK(!e == cases[i].good);
        err_free(e);
        image_ref_done(&ref);
    }
}

static void test_lookaside(void) {
    static const struct {
        const char *text, *want; /* NULL: refused; "": nothing is said */
    } cases[] = {
        {"docker:\n  r.test/a:\n    lookaside: https://s/\n", "https://s"},
        {"default-docker:\n  sigstore: 'file:///d'\ndocker:\n  r.test/b:\n    lookaside: no\n", "file:///d"},
        {"docker:\n  r.test:\n    lookaside: host\n  r.test/a/x:\n    lookaside: repo\n", "repo"},
        {"---\ndocker:  # all of them\n\n  \"r.test\":\r\n    lookaside: \"q\" # the host's\n", "q"},
        {"docker:\n  r.test:\n    lookaside-staging: w\n    use-sigstore-attachments: true\n", ""},
        {"lookaside: x\n", ""},
        {"", ""},
        {"docker:\n  - a\n", NULL},
        {"docker: {r.test: {lookaside: x}}\n", NULL},
        {"docker:\n\tr.test: x\n", NULL},
        {"docker:\n  r.test:\n    lookaside: |\n      x\n", NULL},
        {"no colon\n", NULL},
        {"a:\n b:\n  c:\n   d:\n", NULL},
    };
    struct strv scopes = {.n = 0};
    strv_split(&scopes, "r.test/a/x:1 r.test/a/x r.test/a r.test", ' ');
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t rank = 0;
        char *got = NULL;
        struct err *e = lookaside_parse(cases[i].text, &scopes, &rank, &got);
        if (!e != (cases[i].want != NULL))
            fprintf(stderr, "case %zu\n", i);
        CHECK(!e == (cases[i].want != NULL));
        if (cases[i].want)
            CHECK_STR(got ? got : "", cases[i].want);
        err_free(e);
        free(got);
    }
    strv_done(&scopes);
}

UNIT_MAIN({"scopes", test_scopes}, {"identity", test_identity}, {"lookaside", test_lookaside})
