/* Challenges, stored credentials, and which hosts are trusted with what. */
#include "unit.h"

#include "base/json.h"
#include "base/mem.h"
#include "image/registry_int.h"

static void test_proxies(void) {
    static const char text[] = "{\"httpProxy\":\"http://p:1\",\"noProxy\":\"x,y\",\"ftpProxy\":\"\",\"other\":\"z\"}";
    autojson j = NULL;
    autostrv struct strv env = {.n = 0};
    CHECK_OK(json_parse(text, strlen(text), "proxies", 0, &j));
    strv_push(&env, "HTTP_PROXY=mine");
    strv_push(&env, "no_proxy");
    proxies_add(j, &env);
    autofree char *all = strv_join(&env, " ");
    CHECK_STR(all, "HTTP_PROXY=mine no_proxy http_proxy=http://p:1 NO_PROXY=x,y");
    proxies_add(NULL, &env);
    CHECK_INT(env.n, 4);
}

static void test_challenge(void) {
    static const struct {
        const char *header;
        enum auth_scheme scheme;
        const char *realm, *service, *scope;
    } cases[] = {
        {"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:x:pull\"",
         AUTH_BEARER, "https://auth.docker.io/token", "registry.docker.io", "repository:x:pull"},
        {"bearer realm=https://a/t", AUTH_BEARER, "https://a/t", NULL, NULL},
        {"BEARER  realm = \"https://a/t\" , service = s", AUTH_BEARER, "https://a/t", "s", NULL},
        {"Basic realm=\"test\"", AUTH_BASIC, "test", NULL, NULL},
        {"Basic", AUTH_BASIC, NULL, NULL, NULL},
        {"Basic realm=\"a\", Bearer realm=\"https://b\"", AUTH_BEARER, "https://b", NULL, NULL},
        {"Bearer realm=\"https://b\", Basic realm=\"a\"", AUTH_BEARER, "https://b", NULL, NULL},
        {"Negotiate, Basic realm=\"a\"", AUTH_BASIC, "a", NULL, NULL},
        {"Bearer realm=\"a\\\"b\\\\c\"", AUTH_BEARER, "a\"b\\c", NULL, NULL},
        {"Bearer realm=\"a,b=c\",error=\"invalid_token\"", AUTH_BEARER, "a,b=c", NULL, NULL},
        {"Bearer service=x", AUTH_NONE, NULL, NULL, NULL}, /* nowhere to ask */
        {"Digest realm=\"x\", nonce=\"y\"", AUTH_NONE, NULL, NULL, NULL},
        {"", AUTH_NONE, NULL, NULL, NULL},
        {", ,", AUTH_NONE, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct challenge c = {0};
        CHECK_OK(challenge_parse(cases[i].header, &c));
        CHECK_INT(c.scheme, cases[i].scheme);
        CHECK(str_eq(c.realm, cases[i].realm));
        CHECK(str_eq(c.service, cases[i].service));
        CHECK(str_eq(c.scope, cases[i].scope));
        challenge_done(&c);
    }
}

static void test_challenge_bad(void) {
    static const char *const bad[] = {"Bearer realm=\"open", "=x", "Bearer realm=\"a\\", "\"x\"",
                                      "Bearer realm=\"a\" ; b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct challenge c = {0};
        CHECK_ERR(challenge_parse(bad[i], &c), ERR_NETWORK);
    }
}

static void test_base64(void) {
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostr struct str e = STR_INIT, d = STR_INIT;
        base64_encode(cases[i][0], strlen(cases[i][0]), &e);
        CHECK_STR(str_c(&e), cases[i][1]);
        CHECK(base64_decode(cases[i][1], &d));
        CHECK_STR(str_c(&d), cases[i][0]);
    }
    static const char *const bad[] = {"Z", "Zg=x", "Z*==", "Zm9v=Zg", "Zm9vY"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        autostr struct str d = STR_INIT;
        CHECK(!base64_decode(bad[i], &d));
    }
}

static void test_auths(void) {
    static const char text[] = "{\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnB3\"},"
                               "\"localhost:5000\":{\"auth\":\"dTpwOndpdGg6Y29sb25z\"},"
                               "\"https://quay.io\":{\"username\":\"q\",\"password\":\"r\"},"
                               "\"ghcr.io/v2/\":{\"identitytoken\":\"tok\"},"
                               "\"bad.io\":{\"auth\":\"####\"},\"nocolon.io\":{\"auth\":\"Zm9v\"},\"empty.io\":{}}";
    static const struct {
        const char *registry, *user, *password, *token;
    } cases[] = {
        {"docker.io", "hub", "pw", NULL},
        {"localhost:5000", "u", "p:with:colons", NULL},
        {"localhost", NULL, NULL, NULL},
        {"localhost:5001", NULL, NULL, NULL},
        {"quay.io", "q", "r", NULL},
        {"ghcr.io", NULL, NULL, "tok"},
        {"empty.io", NULL, NULL, NULL},
        {"evil-quay.io", NULL, NULL, NULL},
        {"quay.io.evil.com", NULL, NULL, NULL},
    };
    autojson auths = NULL;
    CHECK_OK(json_parse(text, strlen(text), "auths", 0, &auths));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct creds c = {0};
        CHECK_OK(creds_from_auths(auths, cases[i].registry, &c));
        CHECK(str_eq(c.user, cases[i].user));
        CHECK(str_eq(c.password, cases[i].password));
        CHECK(str_eq(c.identity_token, cases[i].token));
        creds_done(&c);
    }
    struct creds c = {0};
    CHECK_ERR(creds_from_auths(auths, "bad.io", &c), ERR_AUTH);
    CHECK_ERR(creds_from_auths(auths, "nocolon.io", &c), ERR_AUTH);
}

static void test_loopback(void) {
    static const char *const yes[] = {"localhost",    "localhost:5000", "LOCALHOST:1", "127.0.0.1",
                                      "127.9.9.9:80", "[::1]:5000",     "[::1]"};
    static const char *const no[] = {"localhost.evil.com", "127.0.0.1.evil.com", "128.0.0.1",
                                     "[::2]:5000",         "registry:5000",      "127.1",
                                     "10.0.0.1",           "[::ffff:10.0.0.1]"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        CHECK(host_is_loopback(yes[i]));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        CHECK(!host_is_loopback(no[i]));
}

static void test_insecure(void) {
    autostrv struct strv list = {0};
    strv_push(&list, "reg.example:5000");
    strv_push(&list, "plain.example");
    strv_push(&list, "10.1.0.0/16");
    strv_push(&list, "fd00::/9");
    strv_push(&list, "192.168.1.128/25");
    static const char *const yes[] = {"reg.example:5000", "plain.example",  "plain.example:80", "10.1.2.3",
                                      "10.1.255.255:500", "[fd12::1]:5000", "192.168.1.200:5"};
    static const char *const no[] = {"reg.example",    "reg.example:5001", "10.2.0.1",     "x.plain.example",
                                     "[fe80::1]:5000", "192.168.1.1",      "10.1.evil.com"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        CHECK(host_is_insecure(&list, yes[i]));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        CHECK(!host_is_insecure(&list, no[i]));
}

static void test_realm(void) {
    CHECK_OK(realm_check("https://auth.example/token", "reg.example", false));
    CHECK_OK(realm_check("http://localhost:5001/token", "reg.example", false));
    CHECK_OK(realm_check("http://reg.example:5000/token", "reg.example:5000", true));
    CHECK_ERR(realm_check("http://reg.example:5000/token", "reg.example:5000", false), ERR_AUTH);
    CHECK_ERR(realm_check("http://evil.example/token", "reg.example", false), ERR_AUTH);
    CHECK_ERR(realm_check("http://evil.example/token", "reg.example", true), ERR_AUTH);
    CHECK_ERR(realm_check("http://localhost@evil.example/token", "reg.example", true), ERR_NETWORK);
    CHECK_ERR(realm_check("file:///etc/passwd", "reg.example", true), ERR_NETWORK);
    CHECK_ERR(realm_check("token", "reg.example", true), ERR_NETWORK);
}

static void test_hostname(void) {
    static const char *const cases[][2] = {
        {"https://index.docker.io/v1/", "index.docker.io"}, {"http://a:5000/x/y", "a:5000"}, {"a.b", "a.b"}, {"", ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autofree char *h = creds_hostname(cases[i][0]);
        CHECK_STR(h, cases[i][1]);
    }
}

UNIT_MAIN({"challenge", test_challenge}, {"challenge_bad", test_challenge_bad}, {"base64", test_base64},
          {"auths", test_auths}, {"loopback", test_loopback}, {"insecure", test_insecure}, {"realm", test_realm},
          {"hostname", test_hostname}, {"proxies", test_proxies})
