/* Manifests, indexes, image configs and the choice of a platform. */
#include "unit.h"

#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/manifest_int.h"
#include "storage/store.h"

#define D(c) "sha256:" c c c c c c c c
#define A "aaaaaaaa"
#define B "bbbbbbbb"
#define CONFIG "{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D(A) "\",\"size\":2}"
#define LAYER "{\"mediaType\":\"" MEDIA_OCI_LAYER "+gzip\",\"digest\":\"" D(B) "\",\"size\":5}"
#define MANIFEST(type, config, layers)                                                                                 \
    "{\"schemaVersion\":2,\"mediaType\":\"" type "\",\"config\":" config ",\"layers\":[" layers "]}"

static struct err *parse(const char *text, const char *content_type) {
    struct str s = STR_INIT;
    struct manifest m = {0};
    str_append(&s, text);
    struct err *e = manifest_parse(&s, content_type, &m);
    str_done(&s);
    CHECK(!e || !m.json);
    manifest_done(&m);
    return e;
}

static void test_good(void) {
    CHECK_OK(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, LAYER), NULL));
    CHECK_OK(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, LAYER), MEDIA_OCI_MANIFEST));
    CHECK_OK(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, ""), "text/plain"));
    CHECK_OK(parse("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "]}", NULL));
    CHECK_OK(parse("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/octet-stream\",\"digest\":\"" D(
                       A) "\","
                          "\"size\":2},\"layers\":[]}",
                   MEDIA_DOCKER_MANIFEST));
    CHECK_OK(parse("{\"schemaVersion\":2,\"manifests\":[]}", NULL));
    CHECK_OK(
        parse("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_DOCKER_LIST "\",\"manifests\":[]}", MEDIA_DOCKER_LIST));
}

static void test_layer_types(void) {
#define TYPED(t) "{\"mediaType\":\"" t "\",\"digest\":\"" D(B) "\",\"size\":5}"
    CHECK_OK(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED(MEDIA_OCI_LAYER)), NULL));
    CHECK_OK(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED(MEDIA_OCI_LAYER "+zstd")), NULL));
    CHECK_OK(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED(MEDIA_DOCKER_LAYER ".gzip")), NULL));
    CHECK_OK(
        parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
              NULL));
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED(MEDIA_OCI_LAYER "+lz4")), NULL), ERR_UNSUPPORTED);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED(MEDIA_OCI_LAYER "+gzip+encrypted")), NULL),
              ERR_UNSUPPORTED);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED("text/plain")), NULL), ERR_UNSUPPORTED);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, TYPED("")), NULL), ERR_UNSUPPORTED);
}

static void test_refused(void) {
    CHECK_ERR(parse("", NULL), ERR_CORRUPT);
    CHECK_ERR(parse("[]", NULL), ERR_CORRUPT);
    CHECK_ERR(parse("{\"schemaVersion\":2}", NULL), ERR_CORRUPT);
    CHECK_ERR(parse("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL), ERR_UNSUPPORTED);
    CHECK_ERR(parse("{\"schemaVersion\":3,\"manifests\":[]}", NULL), ERR_CORRUPT);
    /* CVE-2021-41190: an index and an image at once */
    CHECK_ERR(parse("{\"schemaVersion\":2,\"manifests\":[],\"config\":" CONFIG ",\"layers\":[]}", NULL), ERR_CORRUPT);
    CHECK_ERR(parse("{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", NULL), ERR_CORRUPT);
    CHECK_ERR(
        parse("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"config\":" CONFIG ",\"layers\":[]}", NULL),
        ERR_CORRUPT);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, ""), MEDIA_OCI_INDEX), ERR_CORRUPT);
    CHECK_ERR(parse("{\"schemaVersion\":2,\"manifests\":[]}", MEDIA_OCI_MANIFEST), ERR_CORRUPT);
    CHECK_ERR(parse(MANIFEST("application/x", CONFIG, ""), NULL), ERR_UNSUPPORTED);
    /* duplicate keys: two readers would see two manifests */
    CHECK_ERR(parse("{\"schemaVersion\":2,\"config\":" CONFIG ",\"config\":" CONFIG ",\"layers\":[]}", NULL),
              ERR_CORRUPT);
    /* not images */
    CHECK_ERR(
        parse(MANIFEST(MEDIA_OCI_MANIFEST,
                       "{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"" D(A) "\",\"size\":2}", ""),
              NULL),
        ERR_UNSUPPORTED);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST,
                             "{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\"" D(
                                 A) "\",\"size\":2}",
                             ""),
                    NULL),
              ERR_UNSUPPORTED);
    /* descriptors */
#define BAD_LAYER(digest, size) "{\"mediaType\":\"" MEDIA_OCI_LAYER "\",\"digest\":\"" digest "\",\"size\":" size "}"
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, BAD_LAYER("sha256:../../x", "1")), NULL), ERR_CORRUPT);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, BAD_LAYER("sha512:" A A A A A A A A, "1")), NULL),
              ERR_CORRUPT);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, BAD_LAYER(D(B), "-1")), NULL), ERR_CORRUPT);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, BAD_LAYER(D(B), "9223372036854775807")), NULL), ERR_CORRUPT);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, BAD_LAYER(D(B), "99999999999999999999")), NULL), ERR_CORRUPT);
    CHECK_ERR(parse(MANIFEST(MEDIA_OCI_MANIFEST, CONFIG, BAD_LAYER(D(B), "\"1\"")), NULL), ERR_CORRUPT);
}

static void test_too_many_layers(void) {
    autostr struct str s = STR_INIT;
    str_append(&s, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER);
    for (int i = 0; i < MANIFEST_LAYERS_MAX; i++)
        str_append(&s, "," LAYER);
    str_append(&s, "]}");
    CHECK_ERR(parse(str_c(&s), NULL), ERR_UNSUPPORTED);
}

/* ---- records ---- */

static struct err *build(const char *config, const char *layers, int64_t size_lie, struct store_image **ret) {
    autostr struct str c = STR_INIT, m = STR_INIT;
    char digest[DIGEST_LEN + 1], manifest_digest[DIGEST_LEN + 1];
    str_append(&c, config);
    CHECK_OK(digest_of(config, strlen(config), digest));
    str_appendf(&m,
                "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
                "\",\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG
                "\",\"digest\":\"%s\",\"size\":%lld},\"layers\":[%s]}",
                digest, (long long)strlen(config) + size_lie, layers);
    CHECK_OK(digest_of(str_c(&m), m.len, manifest_digest));
    return image_build_record(&m, manifest_digest, &c, ret);
}

#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"

static void test_record(void) {
    struct store_image *img = NULL;
    CHECK_OK(build(
        "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\",\"created\":\"2024-01-02T03:04:05Z\"," ROOTFS(
            "\"" D(A) "\",\"" D(B) "\"") "}",
        LAYER "," LAYER, 0, &img));
    if (!img)
        return;
    CHECK_STR(img->os, "linux");
    CHECK_STR(img->arch, "arm64");
    CHECK_STR(img->variant, "v8");
    CHECK_INT(img->created, INT64_C(1704164645) * 1000000000);
    CHECK_INT((long long)img->n_layers, 2);
    CHECK_STR(img->layers[0].chain_id, D(A));
    /* sha256("sha256:aaa… sha256:bbb…"), as image-spec's config.md defines a chain id */
    char chain[72];
    CHECK_OK(store_chain_id(D(A), D(B), chain));
    CHECK_STR(img->layers[1].chain_id, chain);
    CHECK_STR(img->layers[1].blob, D(B));
    CHECK_INT(img->layers[1].size, 5);
    store_image_free(img);
}

static void test_record_refused(void) {
    struct store_image *img = NULL;
    CHECK_ERR(build("{" ROOTFS("\"" D(A) "\"") "}", "", 0, &img), ERR_CORRUPT); /* layers ≠ diff_ids */
    CHECK_ERR(build("{" ROOTFS("") "}", LAYER, 0, &img), ERR_CORRUPT);
    CHECK_ERR(build("{" ROOTFS("") "}", "", 1, &img), ERR_CORRUPT); /* size lies */
    CHECK_ERR(build("{" ROOTFS("\"sha256:x\"") "}", LAYER, 0, &img), ERR_CORRUPT);
    CHECK_ERR(build("{" ROOTFS("7") "}", LAYER, 0, &img), ERR_CORRUPT);
    CHECK_ERR(build("{}", "", 0, &img), ERR_CORRUPT);
    CHECK_ERR(build("{\"os\":\"windows\"," ROOTFS("") "}", "", 0, &img), ERR_UNSUPPORTED);
    CHECK_ERR(build("{\"rootfs\":{\"type\":\"layers\",\"type\":\"x\",\"diff_ids\":[]}}", "", 0, &img), ERR_CORRUPT);
    CHECK(!img);
}

/* ---- platforms ---- */

#define ENTRY(letter, os, arch, more)                                                                                  \
    "{\"digest\":\"" D(letter) "\",\"size\":1,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}}"
#define VARIANT(v) ",\"variant\":\"" v "\""

#define ATTESTATION ENTRY("00000001", "unknown", "unknown", "")
#define AMD64 ENTRY("00000002", "linux", "amd64", "")
#define ARM64 ENTRY("00000003", "linux", "arm64", VARIANT("v8"))
#define ARM5 ENTRY("00000004", "linux", "arm", VARIANT("v5"))
#define ARM7 ENTRY("00000005", "linux", "arm", VARIANT("v7"))
#define I386 ENTRY("00000006", "linux", "386", "")
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"

static const char index_text[] = INDEX(ATTESTATION "," AMD64 "," ARM64 "," ARM5 "," ARM7 "," I386);

static void test_choose(void) {
    static const struct {
        const char *platform, *digest;
    } cases[] = {
        {"linux/amd64", D("00000002")},    {"amd64", D("00000002")},          {"x86_64", D("00000002")},
        {"linux/arm64", D("00000003")},    {"linux/arm64/v8", D("00000003")}, {"aarch64", D("00000003")},
        {"linux/arm64/v9", D("00000003")}, {"linux/arm", D("00000005")},      {"linux/arm/v7", D("00000005")},
        {"linux/arm/v6", D("00000004")},   {"linux/arm/v5", D("00000004")},   {"linux/386", D("00000006")},
        {"i686", D("00000006")},           {"linux/arm/v8", D("00000005")},   {"linux/s390x", NULL},
        {"windows/amd64", NULL},           {"linux/arm64/v7", NULL},          {"unknown/unknown", NULL},
    };
    autojson index = NULL;
    CHECK_OK(json_parse(index_text, strlen(index_text), "index", 0, &index));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct image_platform p = {0};
        autofree char *digest = NULL;
        int64_t size = 0;
        CHECK_OK(image_platform_parse(NULL, cases[i].platform, &p));
        if (cases[i].digest) {
            CHECK_OK(image_index_choose(index, &p, &digest, &size));
            CHECK_STR(digest, cases[i].digest);
        } else if (!str_eq(cases[i].platform, "linux/arm64/v7")) {
            CHECK_ERR(image_index_choose(index, &p, &digest, &size), ERR_NOT_FOUND);
        }
        image_platform_done(&p);
    }
}

static void test_no_match_lists(void) {
    autojson index = NULL;
    struct image_platform p = {0};
    autofree char *digest = NULL;
    int64_t size = 0;
    autostr struct str text = STR_INIT;
    CHECK_OK(json_parse(index_text, strlen(index_text), "index", 0, &index));
    CHECK_OK(image_platform_parse(NULL, "linux/s390x", &p));
    autoerr e = image_index_choose(index, &p, &digest, &size);
    CHECK(e);
    if (e)
        err_format(e, &text);
    CHECK_STR(str_c(&text),
              "no matching manifest for linux/s390x in the manifest list entries: linux/amd64, linux/arm64/v8, "
              "linux/arm/v5, linux/arm/v7, linux/386");
    image_platform_done(&p);
}

static void test_platform_bad(void) {
    static const char *const bad[] = {"a/b/c/d", "linux/", "/amd64", "linux/amd 64", "linux/../x", "linux//v7"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct image_platform p = {0};
        CHECK_ERR(image_platform_parse(NULL, bad[i], &p), ERR_USAGE);
    }
}

UNIT_MAIN({"good", test_good}, {"layer_types", test_layer_types}, {"refused", test_refused},
          {"too_many_layers", test_too_many_layers}, {"record", test_record}, {"record_refused", test_record_refused},
          {"choose", test_choose}, {"no_match_lists", test_no_match_lists}, {"platform_bad", test_platform_bad})
