/* References: the cases of distribution/reference, docker's defaults and docker's error texts. */
#include "unit.h"

#include "base/mem.h"
#include "image/image.h"
#include "image/ref_int.h"

#define HEX64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST "sha256:" HEX64
#define A10 "aaaaaaaaaa"
#define A100 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

static const struct {
    const char *text, *domain, *path, *tag, *digest, *familiar_name, *canonical;
} good[] = {
    {"debian", "docker.io", "library/debian", "latest", NULL, "debian", "docker.io/library/debian:latest"},
    {"debian:12", "docker.io", "library/debian", "12", NULL, "debian", "docker.io/library/debian:12"},
    {"library/debian", "docker.io", "library/debian", "latest", NULL, "debian", "docker.io/library/debian:latest"},
    {"docker.io/debian", "docker.io", "library/debian", "latest", NULL, "debian", "docker.io/library/debian:latest"},
    {"docker.io/library/debian", "docker.io", "library/debian", "latest", NULL, "debian",
     "docker.io/library/debian:latest"},
    {"index.docker.io/debian", "docker.io", "library/debian", "latest", NULL, "debian",
     "docker.io/library/debian:latest"},
    {"index.docker.io/user/x", "docker.io", "user/x", "latest", NULL, "user/x", "docker.io/user/x:latest"},
    {"user/x", "docker.io", "user/x", "latest", NULL, "user/x", "docker.io/user/x:latest"},
    {"user/a/b/c", "docker.io", "user/a/b/c", "latest", NULL, "user/a/b/c", "docker.io/user/a/b/c:latest"},
    {"library/a/b", "docker.io", "library/a/b", "latest", NULL, "library/a/b", "docker.io/library/a/b:latest"},
    {"localhost/x", "localhost", "x", "latest", NULL, "localhost/x", "localhost/x:latest"},
    {"localhost", "docker.io", "library/localhost", "latest", NULL, "localhost", "docker.io/library/localhost:latest"},
    {"localhost:5000/x", "localhost:5000", "x", "latest", NULL, "localhost:5000/x", "localhost:5000/x:latest"},
    {"localhost:5000/x:y", "localhost:5000", "x", "y", NULL, "localhost:5000/x", "localhost:5000/x:y"},
    {"localhost:5000", "docker.io", "library/localhost", "5000", NULL, "localhost", "docker.io/library/localhost:5000"},
    {"quay.io/a/b:v1.2-rc_3", "quay.io", "a/b", "v1.2-rc_3", NULL, "quay.io/a/b", "quay.io/a/b:v1.2-rc_3"},
    {"UPPER/x", "UPPER", "x", "latest", NULL, "UPPER/x", "UPPER/x:latest"},
    {"Example.Com:443/x", "Example.Com:443", "x", "latest", NULL, "Example.Com:443/x", "Example.Com:443/x:latest"},
    {"[::1]:5000/x", "[::1]:5000", "x", "latest", NULL, "[::1]:5000/x", "[::1]:5000/x:latest"},
    {"[fe80::1]/x/y:t", "[fe80::1]", "x/y", "t", NULL, "[fe80::1]/x/y", "[fe80::1]/x/y:t"},
    {"127.0.0.1:5000/x", "127.0.0.1:5000", "x", "latest", NULL, "127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"},
    {"xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com", NULL, "xn--n3h.com/myimage",
     "xn--n3h.com/myimage:xn--n3h.com"},
    {"debian@" DIGEST, "docker.io", "library/debian", NULL, DIGEST, "debian", "docker.io/library/debian@" DIGEST},
    {"debian:12@" DIGEST, "docker.io", "library/debian", "12", DIGEST, "debian", "docker.io/library/debian@" DIGEST},
    {"localhost:5000/x@" DIGEST, "localhost:5000", "x", NULL, DIGEST, "localhost:5000/x", "localhost:5000/x@" DIGEST},
    {"a", "docker.io", "library/a", "latest", NULL, "a", "docker.io/library/a:latest"},
    {"a__b", "docker.io", "library/a__b", "latest", NULL, "a__b", "docker.io/library/a__b:latest"},
    {"a---b", "docker.io", "library/a---b", "latest", NULL, "a---b", "docker.io/library/a---b:latest"},
    {"a.b_c-d", "docker.io", "library/a.b_c-d", "latest", NULL, "a.b_c-d", "docker.io/library/a.b_c-d:latest"},
    {"x:_tag", "docker.io", "library/x", "_tag", NULL, "x", "docker.io/library/x:_tag"},
    {"x:" A100 A10 A10 "aaaaaaaa", "docker.io", "library/x", A100 A10 A10 "aaaaaaaa", NULL, "x",
     "docker.io/library/x:" A100 A10 A10 "aaaaaaaa"},
    {"cafe", "docker.io", "library/cafe", "latest", NULL, "cafe", "docker.io/library/cafe:latest"},
    {"foo.bar/x", "foo.bar", "x", "latest", NULL, "foo.bar/x", "foo.bar/x:latest"},
    {"registry:443", "docker.io", "library/registry", "443", NULL, "registry", "docker.io/library/registry:443"},
    {"a/" HEX64, "docker.io", "a/" HEX64, "latest", NULL, "a/" HEX64, "docker.io/a/" HEX64 ":latest"},
    {HEX64 ":x", "docker.io", "library/" HEX64, "x", NULL, HEX64, "docker.io/library/" HEX64 ":x"},
};

#define FORMAT "invalid reference format"
static const struct {
    const char *text, *message;
} refused[] = {
    {"", FORMAT},
    {" ", FORMAT},
    {":tag", FORMAT},
    {"@" DIGEST, FORMAT},
    {"x:", FORMAT},
    {"x@", FORMAT},
    {"x:a:b", FORMAT},
    {"x:-a", FORMAT},
    {"x:.a", FORMAT},
    {"x:a/b", FORMAT},
    {"x:" A100 A10 A10 "aaaaaaaaa", FORMAT},
    {"-x", FORMAT},
    {"x-", FORMAT},
    {"x..y", FORMAT},
    {"x___y", FORMAT},
    {"x._y", FORMAT},
    {"a//b", FORMAT},
    {"/a", FORMAT},
    {"a/", FORMAT},
    {"a b", FORMAT},
    {"a\nb", FORMAT},
    {"a$b", FORMAT},
    {"../a", FORMAT},
    {"a/../b", FORMAT},
    {"foo_bar.com/x", FORMAT},
    {"-foo.com/x", FORMAT},
    {"foo-.com/x", FORMAT},
    {"foo..com/x", FORMAT},
    {"foo.com:/x", FORMAT},
    {"foo.com:http/x", FORMAT},
    {"foo.com:80:80/x", FORMAT},
    {"[::1/x", FORMAT},
    {"[]/x.y", FORMAT},
    {"[::1]5000/x", FORMAT},
    {"[fe80::1%eth0]:5000/x", FORMAT},
    {"https://github.com/docker/docker", FORMAT},
    {"docker/Docker", FORMAT ": repository name (docker/Docker) must be lowercase"},
    {"Debian", FORMAT ": repository name (library/Debian) must be lowercase"},
    {"localhost:5000/Uppercase", FORMAT ": repository name (Uppercase) must be lowercase"},
    {"docker.io/x/Y:z", FORMAT ": repository name (x/Y) must be lowercase"},
    {HEX64, "invalid repository name (" HEX64 "), cannot specify 64-byte hexadecimal strings"},
    {"x@sha256:abc", FORMAT},
    {"x@sha256:" HEX64 "a", "invalid checksum digest length"},
    {"x@sha256:" A10 A10 A10 "aa", "invalid checksum digest length"},
    {"x@sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "invalid checksum digest format"},
    {"x@sha512:" HEX64 HEX64, "unsupported digest algorithm in sha512:" HEX64 HEX64},
    {"x@" DIGEST "@" DIGEST, FORMAT},
    {"x@:" HEX64, FORMAT},
    {"x@" HEX64, FORMAT},
    {A100 A100 A10 A10 A10 A10 "aaaaaaaa/" A10, "repository name must not be more than 255 characters"},
    {A100 A100 A100 A100 A100 A100 A100, "repository name must not be more than 255 characters"},
};

static void test_good(void) {
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct image_ref r = {0};
        CHECK_OK(image_ref_parse(good[i].text, &r));
        if (!r.domain)
            continue;
        autofree char *familiar = image_ref_familiar_name(&r), *canonical = image_ref_canonical(&r);
        CHECK_STR(r.domain, good[i].domain);
        CHECK_STR(r.path, good[i].path);
        CHECK(str_eq(r.tag, good[i].tag));
        CHECK(str_eq(r.digest, good[i].digest));
        CHECK_STR(familiar, good[i].familiar_name);
        CHECK_STR(canonical, good[i].canonical);
        /* The canonical form means itself. */
        struct image_ref again = {0};
        CHECK_OK(image_ref_parse(canonical, &again));
        autofree char *twice = again.domain ? image_ref_canonical(&again) : NULL;
        CHECK_STR(twice, canonical);
        image_ref_done(&again);
        image_ref_done(&r);
    }
}

static void test_bad(void) {
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct image_ref r = {0};
        autoerr e = image_ref_parse(refused[i].text, &r);
        autostr struct str text = STR_INIT;
        if (e)
            err_format(e, &text);
        if (!e || !str_eq(str_c(&text), refused[i].message) || err_kind(e) != ERR_USAGE) {
            fprintf(stderr, "\"%s\": got \"%s\", want \"%s\"\n", refused[i].text, str_c(&text), refused[i].message);
            unit_failures++;
        }
        CHECK(!r.domain && !r.path && !r.tag && !r.digest);
        image_ref_done(&r);
    }
}

static void test_familiar(void) {
    static const char *const cases[][2] = {
        {"docker.io/library/debian:12", "debian:12"},           {"docker.io/user/x:1", "user/x:1"},
        {"docker.io/library/a/b:1", "library/a/b:1"},           {"localhost:5000/x:1", "localhost:5000/x:1"},
        {"docker.io/library/debian@" DIGEST, "debian@" DIGEST},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autofree char *f = image_ref_familiar(cases[i][0]);
        CHECK_STR(f, cases[i][1]);
    }
}

UNIT_MAIN({"good", test_good}, {"bad", test_bad}, {"familiar", test_familiar})
