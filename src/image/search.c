/*
 * search: repositories by a word. Docker's index answers /v1/search; of registries only old ones and a few products do,
 * so that others are asked for their catalog (distribution-spec's extension), in which the word is looked for here.
 */
#include "image/accounts.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/client_int.h"
#include "image/ref_int.h"
#include "image/registry_int.h"

#define INDEX "index.docker.io"
#define PAGES_MAX 100
#define TEXT_MAX 4096

/* "host[:port]/rest" where it begins with a registry; else docker's index and all of it. */
static void split_term(const char *term, char **ret_registry, const char **ret_rest) {
    size_t n = strcspn(term, "/");
    autofree char *first = mem_dupn(term, n);
    bool named = term[n] && (strpbrk(first, ".:") || str_eq(first, "localhost"));
    bool index = str_eq(first, REF_DOCKER_DOMAIN) || str_eq(first, INDEX);
    *ret_registry = mem_dup(named && !index ? first : INDEX);
    *ret_rest = named ? term + n + 1 : term;
}

/* Words of the registry's: of a sane length, without anything that a terminal would obey. */
static void set_words(struct json *row, const char *key, const char *words) {
    autostr struct str visible = STR_INIT;
    size_t n = words ? strlen(words) : 0;
    autofree char *cut = mem_dupn(words ? words : "", n < TEXT_MAX ? n : TEXT_MAX);
    str_append_visible(&visible, cut);
    json_set_str(row, key, str_c(&visible));
}

static void push_row(struct json *out, const char *name, const struct json *r) {
    struct json *row = json_object();
    set_words(row, "name", name);
    set_words(row, "description", json_str_value(json_get(r, "description")));
    json_set_int(row, "star_count", json_int_value(json_get(r, "star_count"), 0));
    json_set_bool(row, "is_official", json_bool_value(json_get(r, "is_official"), false));
    json_set_bool(row, "is_automated", json_bool_value(json_get(r, "is_automated"), false));
    json_push(out, row);
}

static struct err *by_index(struct registry *r, const char *term, int64_t limit, struct json *out) {
    autostr struct str path = STR_INIT_MAX(16384);
    struct registry_answer a = {0};
    autojson j = NULL;
    str_append(&path, "v1/search?q=");
    str_append_escaped(&path, term);
    str_appendf(&path, "&n=%lld", (long long)limit);
    TRY(registry_get(r, str_c(&path), "search", &a));
    struct err *e = json_parse(str_c(&a.body), a.body.len, "search results", 0, &j);
    registry_answer_done(&a);
    TRY(e);
    JSON_EACH(it, json_get(j, "results")) {
        const char *name = json_str_value(json_get(it, "name"));
        if (name && json_count(out) < (size_t)limit)
            push_row(out, name, it);
    }
    return NULL;
}

static struct err *take_page(const struct registry_answer *a, const char *term, int64_t limit, struct json *out) {
    autojson j = NULL;
    TRY(json_parse(str_c(&a->body), a->body.len, "catalog", 0, &j));
    JSON_EACH(it, json_get(j, "repositories")) {
        const char *name = json_str_value(it);
        if (name && strstr(name, term) && json_count(out) < (size_t)limit)
            push_row(out, name, NULL);
    }
    return NULL;
}

static struct err *by_catalog(struct registry *r, const char *term, int64_t limit, struct json *out) {
    autofree char *query = mem_dup("");
    for (int page = 0; page < PAGES_MAX && json_count(out) < (size_t)limit; page++) {
        struct registry_answer a = {0};
        autofree char *path = mem_printf("v2/_catalog%s", query), *next = NULL;
        TRY(registry_get(r, path, "catalog", &a));
        struct err *e = take_page(&a, term, limit, out);
        if (!e)
            e = registry_next_page(a.link, &next);
        registry_answer_done(&a);
        if (e || !*next || str_eq(next, query))
            return e;
        mem_set(&query, next);
    }
    return NULL;
}

struct err *image_search(const struct image_search *s, struct json *out) {
    autofree char *host = NULL;
    const char *term;
    autoclient client = NULL;
    struct registry *r = NULL;
    split_term(s->term, &host, &term);
    if (!ref_domain_ok(host))
        return err_new(ERR_USAGE, "invalid registry address \"%s\"", host);
    TRY(fetch_client_new(s->host, s->interrupted_fd, &client));
    TRY(registry_new(s->host, s->config, client, host, "", NULL, &r));
    struct err *e = by_index(r, term, s->limit, out);
    if (e && !str_eq(host, INDEX) && (err_kind(e) == ERR_NOT_FOUND || err_kind(e) == ERR_UNSUPPORTED)) {
        err_free(e);
        e = by_catalog(r, term, s->limit, out);
    }
    registry_free(r);
    return e;
}
