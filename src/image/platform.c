/*
 * platform: which image of an index a machine can run. Spellings are normalised first (as containerd does), then each
 * candidate gets a score: the exact variant wins, older variants of the same architecture follow, the 32-bit sibling
 * of a 64-bit machine comes last.
 */
#include "image/image.h"

#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/manifest_int.h"

static const struct {
    const char *alias, *arch, *variant;
} arch_aliases[] = {
    {"x86_64", "amd64", NULL}, {"x86-64", "amd64", NULL},    {"aarch64", "arm64", NULL}, {"armhf", "arm", "v7"},
    {"armel", "arm", "v6"},    {"i386", "386", NULL},        {"i686", "386", NULL},      {"armv7l", "arm", "v7"},
    {"armv6l", "arm", "v6"},   {"ppc64el", "ppc64le", NULL},
};

void platform_normalise(struct image_platform *p) {
    for (size_t i = 0; i < ARRAY_LEN(arch_aliases); i++)
        if (str_eq(p->arch, arch_aliases[i].alias)) {
            mem_set(&p->arch, arch_aliases[i].arch);
            if (arch_aliases[i].variant && !*p->variant)
                mem_set(&p->variant, arch_aliases[i].variant);
            break;
        }
    if (p->variant[0] >= '0' && p->variant[0] <= '9') {
        autofree char *bare = take_ptr(&p->variant);
        p->variant = mem_printf("v%s", bare);
    }
    if (str_eq(p->arch, "arm64") && str_eq(p->variant, "v8"))
        mem_set(&p->variant, "");
    if (str_eq(p->arch, "arm") && !*p->variant)
        mem_set(&p->variant, "v7");
    if (str_eq(p->arch, "amd64") && str_eq(p->variant, "v1"))
        mem_set(&p->variant, "");
}

/* The number in "v7"; `none` for an empty variant; -1 for anything else. */
static int variant_level(const char *variant, int none) {
    if (!*variant)
        return none;
    if (variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9' && !variant[2])
        return variant[1] - '0';
    return -1;
}

static int default_level(const char *arch) {
    if (str_eq(arch, "arm64"))
        return 8;
    return str_eq(arch, "arm") ? 7 : 1;
}

int platform_score(const struct image_platform *want, const char *os, const char *arch, const char *variant) {
    struct image_platform have = {mem_dup(os), mem_dup(arch), mem_dup(variant)};
    platform_normalise(&have);
    int score = 0;
    int none = default_level(have.arch);
    int have_level = variant_level(have.variant, none), want_level = variant_level(want->variant, none);
    if (!str_eq(have.os, want->os))
        score = 0;
    else if (!str_eq(have.arch, want->arch))
        score = (str_eq(want->arch, "amd64") && str_eq(have.arch, "386")) ||
                        (str_eq(want->arch, "arm64") && str_eq(have.arch, "arm") && have_level > 0 && have_level <= 8)
                    ? 1 + (have_level > 0 ? have_level : 0)
                    : 0;
    else if (str_eq(have.variant, want->variant))
        score = 100;
    else if (have_level > 0 && want_level > 0 && have_level <= want_level)
        score = 50 + have_level;
    image_platform_done(&have);
    return score;
}

bool image_platform_suits(const struct image_platform *p, const char *os, const char *arch, const char *variant) {
    struct image_platform have = {mem_dup(os), mem_dup(arch), mem_dup(variant ? variant : "")};
    platform_normalise(&have);
    bool same = str_eq(have.os, p->os) && str_eq(have.arch, p->arch) &&
                (!*p->variant || !*have.variant || str_eq(have.variant, p->variant));
    image_platform_done(&have);
    return same;
}

#if defined(__x86_64__)
#define BUILD_ARCH "amd64"
#elif defined(__aarch64__)
#define BUILD_ARCH "arm64"
#elif defined(__arm__)
#define BUILD_ARCH "arm"
#elif defined(__i386__)
#define BUILD_ARCH "386"
#elif defined(__riscv) && __riscv_xlen == 64
#define BUILD_ARCH "riscv64"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define BUILD_ARCH "ppc64le"
#elif defined(__s390x__)
#define BUILD_ARCH "s390x"
#else
#define BUILD_ARCH "unknown"
#endif

static bool known_word(const char *s, const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, words[i]))
            return true;
    return false;
}

static bool is_os(const char *s) {
    static const char *const words[] = {"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "wasi"};
    return known_word(s, words, ARRAY_LEN(words));
}

static bool word_ok(const char *s) {
    return *s && *s != '.' && strlen(s) <= 64 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(s);
}

static struct err *bad_platform(const char *text) {
    return err_hint(
        err_new(ERR_USAGE, "invalid platform: \"%s\": cannot parse platform specifier: invalid argument", text),
        "write os/arch[/variant], for example linux/arm64 or linux/arm/v7");
}

/* "os/arch[/variant]", "arch", or "os" (which leaves the architecture to `arch_here`). */
static struct err *parse_text(const char *text, const char *arch_here, struct image_platform *ret) {
    autostrv struct strv parts = {0};
    strv_split(&parts, text, '/');
    for (size_t i = 0; i < parts.n; i++)
        if (!word_ok(parts.v[i]))
            return bad_platform(text);
    if (parts.n > 3)
        return bad_platform(text);
    *ret = (struct image_platform){mem_dup("linux"), mem_dup(arch_here), mem_dup(parts.n > 2 ? parts.v[2] : "")};
    if (parts.n > 1 || is_os(parts.v[0]))
        mem_set(&ret->os, parts.v[0]);
    if (parts.n > 1)
        mem_set(&ret->arch, parts.v[1]);
    else if (!is_os(parts.v[0]))
        mem_set(&ret->arch, parts.v[0]);
    return NULL;
}

struct err *image_platform_parse(const struct host *h, const char *text, struct image_platform *ret) {
    const char *arch = h ? h->arch : BUILD_ARCH, *variant = h && h->variant ? h->variant : "";
    if (!text || !*text)
        text = h ? h->default_platform : NULL;
    if (text && *text)
        TRY(parse_text(text, arch, ret));
    else
        *ret = (struct image_platform){mem_dup("linux"), mem_dup(arch), mem_dup(variant)};
    platform_normalise(ret);
    return NULL;
}

void image_platform_done(struct image_platform *p) {
    free(p->os);
    free(p->arch);
    free(p->variant);
    *p = (struct image_platform){0};
}

/* os, arch and variant of an index entry; false for attestations ("unknown/unknown") and what is no platform at all. */
static bool entry_platform(const struct json *entry, const char *ret[3]) {
    const struct json *platform = json_get(entry, "platform");
    static const char *const keys[3] = {"os", "architecture", "variant"};
    for (size_t i = 0; i < 3; i++) {
        const char *v = json_str_value(json_get(platform, keys[i]));
        ret[i] = v ? v : "";
    }
    return *ret[0] && *ret[1] && !str_eq(ret[0], "unknown");
}

static struct err *no_match(const struct json *manifests, const struct image_platform *p) {
    autostr struct str have = STR_INIT_MAX(4096);
    JSON_EACH(entry, manifests) {
        const char *v[3];
        if (entry_platform(entry, v))
            str_appendf(&have, "%s%s/%s%s%s", have.len ? ", " : "", v[0], v[1], *v[2] ? "/" : "", v[2]);
    }
    return err_new(ERR_NOT_FOUND, "no matching manifest for %s/%s%s%s in the manifest list entries: %s", p->os, p->arch,
                   *p->variant ? "/" : "", p->variant, have.len ? str_c(&have) : "none");
}

struct err *image_index_choose(const struct json *index, const struct image_platform *p, char **ret_digest,
                               int64_t *ret_size) {
    struct json *manifests = NULL;
    TRY(json_get_array(index, "manifests", &manifests));
    const struct json *best = NULL, *only = NULL;
    size_t n_plain = 0;
    int best_score = 0;
    JSON_EACH(entry, manifests) {
        const char *v[3];
        if (!json_get(entry, "platform")) {
            only = entry;
            n_plain++;
            continue;
        }
        int score = entry_platform(entry, v) ? platform_score(p, v[0], v[1], v[2]) : 0;
        if (score > best_score) { /* the first of equals, as docker does */
            best = entry;
            best_score = score;
        }
    }
    /* An index with one entry that names no platform (skopeo and umoci write such layouts) means that one. */
    if (!best && n_plain == 1 && json_count(manifests) == 1)
        best = only;
    if (!best)
        return no_match(manifests, p);
    struct descriptor d = {0};
    TRY(descriptor_parse(best, &d));
    *ret_digest = take_ptr(&d.digest);
    *ret_size = d.size;
    descriptor_done(&d);
    return NULL;
}
