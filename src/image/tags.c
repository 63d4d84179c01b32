/*
 * tags: what a repository has, page by page. Each page names the next one by a Link header (RFC 8288), of which only
 * the query is taken: where the list goes on is the registry's word, on which host and path is not.
 */
#include "image/image.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/client_int.h"
#include "image/manifest_int.h"
#include "image/ref_int.h"
#include "image/registry_int.h"

#define PAGES_MAX 1000
#define TAGS_MAX ((size_t)100000)
#define QUERY_MAX 1024

struct err *registry_next_page(const char *link, char **ret) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~%=&+:/-";
    const char *end = link ? strchr(link, '>') : NULL;
    const char *query = end && *link == '<' && strstr(end, "next") ? memchr(link, '?', (size_t)(end - link)) : NULL;
    if (!query) {
        *ret = mem_dup("");
        return NULL;
    }
    size_t n = (size_t)(end - query);
    if (n > QUERY_MAX || strspn(query + 1, allowed) < n - 1)
        return err_new(ERR_CORRUPT, "the registry names an unusable next page");
    *ret = mem_dupn(query, n);
    return NULL;
}

static struct err *take_page(const struct registry_answer *a, struct strv *out) {
    autojson j = NULL;
    autostrv struct strv tags = {.n = 0};
    TRY(json_parse(str_c(&a->body), a->body.len, "list of tags", JSON_REFUSE_DUPLICATES, &j));
    TRY(json_get_strv_opt(j, "tags", &tags));
    for (size_t i = 0; i < tags.n; i++) {
        if (!ref_tag_ok(tags.v[i]))
            return err_new(ERR_CORRUPT, "the registry lists a tag \"%.80s\", which is none", tags.v[i]);
        if (out->n >= TAGS_MAX)
            return err_new(ERR_UNSUPPORTED, "the repository has more than %zu tags", TAGS_MAX);
        strv_push(out, tags.v[i]);
    }
    return NULL;
}

static struct err *list_from(struct registry *r, struct strv *out) {
    autofree char *query = mem_dup("");
    for (int page = 0; page < PAGES_MAX; page++) {
        struct registry_answer a = {0};
        autofree char *next = NULL;
        TRY(registry_tags(r, query, &a));
        struct err *e = take_page(&a, out);
        if (!e)
            e = registry_next_page(a.link, &next);
        registry_answer_done(&a);
        if (e || !*next || str_eq(next, query))
            return e;
        mem_set(&query, next);
    }
    return err_new(ERR_UNSUPPORTED, "the list of tags has more than %d pages", PAGES_MAX);
}

struct err *image_tags(const struct image_pull *p, struct strv *out) {
    autoclient client = NULL;
    struct registry *r = NULL;
    TRY(fetch_client_new(p->host, p->interrupted_fd, &client));
    TRY(registry_new(p->host, p->config, client, p->ref->domain, p->ref->path, NULL, &r));
    struct err *e = list_from(r, out);
    registry_free(r);
    return e;
}
