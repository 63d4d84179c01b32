/* platforms: see platforms_int.h. */
#include "build/platforms_int.h"

#include "build/exec_int.h"
#include "build/export_int.h"

/* ---- --platform ---- */

static char *spell(const struct image_platform *p) {
    return mem_printf("%s/%s%s%s", p->os, p->arch, *p->variant ? "/" : "", p->variant);
}

static struct err *add_one(const struct host *h, const char *text, struct strv *out) {
    static const char *const systems[] = {"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "wasi"};
    struct image_platform p = {.os = NULL};
    bool local = str_eq(text, "local"), known = false;
    if (!*text)
        return err_hint(err_new(ERR_USAGE, "--platform: there is nothing between two commas"),
                        "write os/arch[/variant], for example linux/amd64,linux/arm64");
    TRY(image_platform_parse(local ? NULL : h, local ? NULL : text, &p));
    for (size_t i = 0; i < ARRAY_LEN(systems); i++)
        known |= str_eq(p.os, systems[i]);
    known &= binfmt_known(p.arch) || str_eq(p.arch, "wasm");
    autofree char *spelled = spell(&p);
    image_platform_done(&p);
    if (!known)
        return err_hint(err_new(ERR_USAGE, "--platform %s: unknown operating system or architecture", text),
                        "architectures have Go's names: amd64, arm64, arm/v7, 386, ppc64le, riscv64, s390x, …");
    if (strv_has(out, spelled))
        return err_new(ERR_USAGE, "--platform: %s stands there twice", spelled);
    strv_push(out, spelled);
    return NULL;
}

struct err *platforms_parse(const struct host *h, const struct strv *typed, struct strv *out) {
    for (size_t i = 0; i < typed->n; i++) {
        autostrv struct strv parts = {.n = 0};
        strv_split(&parts, typed->v[i], ',');
        for (size_t k = 0; k < parts.n; k++)
            TRY(add_one(h, parts.v[k], out));
    }
    return NULL;
}

/* ---- one after the other ---- */

static struct err *stages(struct exec *x) {
    x->state = mem_array(x->plan.n, sizeof *x->state);
    return exec_stages(x);
}

/* A cache elsewhere has one name, which the second platform would take from the first. */
static struct err *check_caches(const struct exec *x) {
    for (size_t i = 0; i < x->caches.n_to; i++)
        if (x->caches.to[i].kind != CACHE_INLINE)
            return err_hint(
                err_new(ERR_UNSUPPORTED, "--cache-to %s: it would be the last platform's alone", x->caches.to[i].text),
                "build each platform by itself with a --cache-to of its own, then all of them");
    return NULL;
}

static struct err *each(struct exec *x, struct export_index *index, const struct strv *names) {
    for (size_t i = 0;; i++) {
        struct err *e = stages(x);
        if (e)
            return x->platforms.n > 1 ? err_wrap(e, "%s", x->platform) : e;
        TRY(export_member(x, index, names));
        if (i + 1 >= x->platforms.n)
            return NULL;
        exec_forget_stages(x);
        x->platform = x->platforms.v[i + 1];
        TRY(exec_plan(x));
    }
}

struct err *platforms_build(struct exec *x, const struct strv *names, struct build_result *ret) {
    struct export_index index = {.bundle = {.store = x->store}};
    if (!export_wants_index(x)) {
        TRY(stages(x));
        return export_image(x, names, ret);
    }
    if (x->platforms.n > 1)
        TRY(check_caches(x));
    struct err *e = each(x, &index, names);
    if (!e)
        e = export_all(x, &index, names, ret);
    export_index_done(&index);
    return e;
}
