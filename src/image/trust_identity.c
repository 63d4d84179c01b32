/* trust_identity: is what a signature vouches for what was asked for? containers-policy.json(5), "signedIdentity". */
#include "image/trust_int.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/image.h"

/* A name as a signature or a policy writes it. docker's default tag is nobody's claim: one that is not written is
 * none. */
struct claim {
    char *repository; /* "docker.io/library/busybox" */
    char *whole;      /* with tag or digest; NULL without */
};

static void claim_done(struct claim *c) {
    free(c->repository);
    free(c->whole);
}
#define autoclaim __attribute__((cleanup(claim_done))) struct claim

static void claim_of(const struct image_ref *ref, bool tagged, struct claim *ret) {
    ret->repository = mem_printf("%s/%s", ref->domain, ref->path);
    if (ref->digest)
        ret->whole = mem_printf("%s@%s", ret->repository, ref->digest);
    else if (tagged)
        ret->whole = mem_printf("%s:%s", ret->repository, ref->tag);
}

static struct err *claim_parse(const char *text, struct claim *ret) {
    struct image_ref ref = {.domain = NULL};
    const char *slash = strrchr(text, '/');
    TRY_CTX(image_ref_parse(text, &ref), "identity \"%.200s\"", text);
    claim_of(&ref, strchr(slash ? slash : text, ':') != NULL, ret);
    image_ref_done(&ref);
    return NULL;
}

static struct err *mismatch(const struct claim *signed_as, const char *wanted) {
    return err_new(ERR_DENIED, "the signature is for %s, which is not %s",
                   signed_as->whole ? signed_as->whole : signed_as->repository, wanted);
}

static struct err *same_repository(const struct claim *signed_as, const char *repository) {
    return str_eq(signed_as->repository, repository) ? NULL : mismatch(signed_as, repository);
}

static struct err *same_whole(const struct claim *signed_as, const struct claim *wanted) {
    bool same = wanted->whole && signed_as->whole && str_eq(wanted->whole, signed_as->whole);
    return same ? NULL : mismatch(signed_as, wanted->whole ? wanted->whole : wanted->repository);
}

/* A tag must be the signature's; a digest has been checked by itself. */
static struct err *digest_or_exact(const struct image_ref *ref, const struct claim *wanted,
                                   const struct claim *signed_as) {
    return ref->digest ? same_repository(signed_as, wanted->repository) : same_whole(signed_as, wanted);
}

/* "a/b" with the prefix "a" put in the place of `signed_prefix`: whole components only. */
static void remap(const struct json *identity, struct claim *c) {
    const char *prefix = json_text(identity, "prefix"), *to = json_text(identity, "signedPrefix");
    size_t n = strlen(prefix);
    if (!str_starts(c->repository, prefix) || (c->repository[n] && c->repository[n] != '/'))
        return;
    autofree char *repository = take_ptr(&c->repository);
    c->repository = mem_printf("%s%s", to, repository + n);
    if (!c->whole)
        return;
    autofree char *whole = take_ptr(&c->whole);
    c->whole = mem_printf("%s%s", to, whole + n);
}

static struct err *exact_other(const struct json *identity, const struct claim *signed_as, const char *key) {
    autoclaim wanted = {.whole = NULL};
    TRY(claim_parse(json_text(identity, key), &wanted));
    return str_eq(key, "dockerRepository") ? same_repository(signed_as, wanted.repository)
                                           : same_whole(signed_as, &wanted);
}

struct err *trust_identity(const struct json *identity, const struct image_ref *ref, const char *signed_as) {
    autoclaim said = {.whole = NULL};
    autoclaim wanted = {.whole = NULL};
    const char *type = identity ? json_text(identity, "type") : "matchRepoDigestOrExact";
    TRY(claim_parse(signed_as, &said));
    if (str_eq(type, "exactReference"))
        return exact_other(identity, &said, "dockerReference");
    if (str_eq(type, "exactRepository"))
        return exact_other(identity, &said, "dockerRepository");
    if (!ref)
        return err_new(ERR_DENIED, "an image without a name cannot be matched by %s", type);
    claim_of(ref, true, &wanted);
    if (str_eq(type, "matchExact"))
        return same_whole(&said, &wanted);
    if (str_eq(type, "matchRepository"))
        return same_repository(&said, wanted.repository);
    if (str_eq(type, "remapIdentity"))
        remap(identity, &wanted);
    else if (!str_eq(type, "matchRepoDigestOrExact"))
        return err_new(ERR_DENIED, "signedIdentity %s is not known", type);
    return digest_or_exact(ref, &wanted, &said);
}
