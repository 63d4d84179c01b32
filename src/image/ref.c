/*
 * ref: the grammar of distribution/reference with docker's defaults. The three questions of that grammar are answered
 * one after the other: where the domain ends (docker's heuristic), where tag and digest begin, and whether each part
 * is well-formed. There is no regular expression: each part has a character class and a separator rule.
 */
#include "image/image.h"

#include <ctype.h>
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/ref_int.h"

#define TAG_MAX 128

static bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
static bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }
static bool is_word(char c) { return is_alnum(c) || c == '_'; }

bool ref_tag_ok(const char *tag) {
    size_t n = strlen(tag);
    if (n == 0 || n > TAG_MAX || !is_word(tag[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!is_word(tag[i]) && tag[i] != '.' && tag[i] != '-')
            return false;
    return true;
}

static bool port_ok(const char *s) { return *s && strspn(s, "0123456789") == strlen(s); }

/* One label of a host name: alphanumeric at both ends, '-' inside. */
static bool label_ok(const char *s, size_t n) {
    if (n == 0 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && s[i] != '-')
            return false;
    return true;
}

bool ref_domain_ok(const char *domain) {
    if (*domain == '[') {
        size_t n = strspn(domain + 1, "0123456789abcdefABCDEF:");
        if (n == 0 || domain[1 + n] != ']')
            return false;
        const char *rest = domain + n + 2;
        return !*rest || (*rest == ':' && port_ok(rest + 1));
    }
    for (const char *p = domain;;) {
        size_t n = strcspn(p, ".:");
        if (!label_ok(p, n))
            return false;
        p += n;
        if (!*p)
            return true;
        if (*p++ == ':')
            return port_ok(p);
    }
}

/* Length of a separator inside a path component: '.', '_', '__' or any number of '-'; 0 when there is none. */
static size_t separator_len(const char *s) {
    if (*s == '-')
        return strspn(s, "-");
    if (*s == '.')
        return 1;
    if (*s == '_')
        return s[1] == '_' ? 2 : 1;
    return 0;
}

bool ref_path_ok(const char *path) {
    bool want_alnum = true; /* at the start and after each separator */
    for (const char *p = path; *p;) {
        if (is_lower_alnum(*p)) {
            want_alnum = false;
            p++;
            continue;
        }
        size_t n = *p == '/' ? 1 : separator_len(p);
        if (want_alnum || n == 0)
            return false;
        want_alnum = true;
        p += n;
    }
    return *path && !want_alnum;
}

static struct err *invalid(void) { return err_new(ERR_USAGE, "invalid reference format"); }

static bool has_upper(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i] >= 'A' && s[i] <= 'Z')
            return true;
    return false;
}

/* Docker's guess: the first component is a domain when it looks like one, else the name lives on docker.io. */
static void split_domain(const char *text, char **ret_domain, char **ret_rest) {
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : 0;
    autofree char *first = slash ? mem_dupn(text, n) : NULL;
    bool domain = first && (str_eq(first, "localhost") || strpbrk(first, ".:") || has_upper(first, n));
    const char *rest = domain ? slash + 1 : text;
    if (!domain || str_eq(first, "index.docker.io") || str_eq(first, REF_DOCKER_DOMAIN)) {
        *ret_domain = mem_dup(REF_DOCKER_DOMAIN);
        *ret_rest = strchr(rest, '/') ? mem_dup(rest) : mem_printf("library/%s", rest);
        return;
    }
    *ret_domain = take_ptr(&first);
    *ret_rest = mem_dup(rest);
}

/* Cuts "@digest" off `rest` and checks it. */
static struct err *cut_digest(char *rest, char **ret_digest) {
    char *at = strchr(rest, '@');
    if (!at)
        return NULL;
    const char *digest = at + 1;
    size_t algo = strcspn(digest, ":");
    if (!digest[algo] || algo == 0 || !isalpha((unsigned char)digest[0]))
        return invalid();
    const char *hex = digest + algo + 1;
    if (strspn(hex, "0123456789abcdefABCDEF") != strlen(hex) || strlen(hex) < 32)
        return invalid();
    if (!str_starts(digest, "sha256:"))
        return err_new(ERR_USAGE, "unsupported digest algorithm in %s", digest);
    if (strlen(hex) != ID_LEN)
        return err_new(ERR_USAGE, "invalid checksum digest length");
    if (!digest_ok(digest))
        return err_new(ERR_USAGE, "invalid checksum digest format");
    *ret_digest = mem_dup(digest);
    *at = 0;
    return NULL;
}

static struct err *check_parts(const struct image_ref *r) {
    if (!ref_domain_ok(r->domain) || !ref_path_ok(r->path))
        return invalid();
    if (strlen(r->domain) + 1 + strlen(r->path) > REF_NAME_MAX)
        return err_new(ERR_USAGE, "repository name must not be more than %d characters", REF_NAME_MAX);
    if (r->tag && !ref_tag_ok(r->tag))
        return invalid();
    return NULL;
}

static struct err *parse_parts(const char *text, struct image_ref *r) {
    autofree char *rest = NULL;
    split_domain(text, &r->domain, &rest);
    size_t name_len = strcspn(rest, ":");
    if (has_upper(rest, name_len))
        return err_new(ERR_USAGE, "invalid reference format: repository name (%.*s) must be lowercase", (int)name_len,
                       rest);
    TRY(cut_digest(rest, &r->digest));
    char *colon = strchr(rest, ':');
    if (colon) {
        *colon = 0;
        r->tag = mem_dup(colon + 1);
    } else if (!r->digest) {
        r->tag = mem_dup("latest");
    }
    r->path = take_ptr(&rest);
    return check_parts(r);
}

struct err *image_ref_parse(const char *text, struct image_ref *ret) {
    /* A digest, a tag, a name and their separators; whatever is longer is no reference and need not be scanned. */
    if (strlen(text) > REF_NAME_MAX + TAG_MAX + DIGEST_LEN + 2)
        return strcspn(text, ":@") > REF_NAME_MAX
                   ? err_new(ERR_USAGE, "repository name must not be more than %d characters", REF_NAME_MAX)
                   : invalid();
    if (path_is_hex64(text))
        return err_new(ERR_USAGE, "invalid repository name (%s), cannot specify 64-byte hexadecimal strings", text);
    struct image_ref r = {0};
    struct err *e = parse_parts(text, &r);
    if (e) {
        image_ref_done(&r);
        return e;
    }
    *ret = r;
    return NULL;
}

void image_ref_done(struct image_ref *r) {
    free(r->domain);
    free(r->path);
    free(r->tag);
    free(r->digest);
    *r = (struct image_ref){0};
}

char *image_ref_canonical(const struct image_ref *r) {
    if (r->digest)
        return image_ref_with_digest(r, r->digest);
    return mem_printf("%s/%s:%s", r->domain, r->path, r->tag ? r->tag : "latest");
}

char *image_ref_with_digest(const struct image_ref *r, const char *digest) {
    return mem_printf("%s/%s@%s", r->domain, r->path, digest);
}

char *image_ref_familiar_name(const struct image_ref *r) {
    if (!str_eq(r->domain, REF_DOCKER_DOMAIN))
        return mem_printf("%s/%s", r->domain, r->path);
    const char *path = r->path;
    const char *prefix = "library/";
    if (str_starts(path, prefix) && !strchr(path + strlen(prefix), '/'))
        path += strlen(prefix);
    return mem_printf("%s", path);
}

char *image_ref_familiar(const char *canonical) {
    const char *rest = canonical;
    if (str_starts(rest, REF_DOCKER_DOMAIN "/")) {
        rest += strlen(REF_DOCKER_DOMAIN "/");
        const char *prefix = "library/";
        if (str_starts(rest, prefix) && !strchr(rest + strlen(prefix), '/'))
            rest += strlen(prefix);
    }
    return mem_printf("%s", rest);
}
