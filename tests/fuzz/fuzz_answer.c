/*
 * What a registry says beside manifests and blobs, and a token service: the first byte chooses between the reason of a
 * failure, the next page of a list, a token, tags and the results of a search. What becomes part of a request or is
 * shown has no byte that would end a header or that a terminal would obey.
 */
#include "image/auth.c"
#define take_page tags_page
#include "image/tags.c"
#undef take_page
#undef PAGES_MAX
#define take_page search_page
#include "image/search.c"
#undef take_page

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_visible(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            abort();
}

static void failure(int64_t status, char *body) {
    static char name[] = "r.test", repo[] = "a/x";
    const struct registry r = {.name = name, .repo = repo, .push = status & 1, .had_creds = status & 2};
    const struct fetch_xfer x = {.status = status, .body = body};
    autoerr e = registry_failure(&r, &x, "manifest for a/x");
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    require_visible(str_c(&text));
}

static void page(const char *link) {
    autofree char *next = NULL;
    autoerr e = registry_next_page(link, &next);
    if (!e != !!next || (next && *next && (*next != '?' || strpbrk(next, " \r\n#"))))
        abort();
}

static void token(const char *text, size_t n) {
    static char name[] = "r.test";
    struct registry r = {.name = name};
    autofree char *header = NULL;
    autofd int fd = sys_memfd("token", MFD_CLOEXEC);
    autoerr bad = io_write_all(fd, text, n);
    autoerr e = read_token(&r, fd, &header);
    if (bad || !e != !!header)
        abort();
    if (header)
        require_visible(header);
}

static void tags(const struct registry_answer *a) {
    autostrv struct strv out = {.n = 0};
    autoerr e = tags_page(a, &out);
    for (size_t i = 0; !e && i < out.n; i++)
        if (!ref_tag_ok(out.v[i]))
            abort();
}

static void results(const struct registry_answer *a) {
    autojson rows = json_array();
    err_free(search_page(a, "a", 25, rows));
    if (json_count(rows) > 25)
        abort();
    JSON_EACH(row, rows) { require_visible(json_text(row, "name")); }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t statuses[] = {401, 403, 404, 405, 416, 429, 500, 402};
    if (size < 1)
        return 0;
    autofree char *text = mem_dupn((const char *)data + 1, size - 1);
    struct registry_answer a = {.body = STR_INIT};
    str_append_n(&a.body, data + 1, size - 1);
    switch (data[0]) {
    case 'l':
        page(text);
        break;
    case 't':
        token(str_c(&a.body), size - 1);
        break;
    case 'g':
        tags(&a);
        break;
    case 's':
        results(&a);
        break;
    default:
        failure(statuses[data[0] % ARRAY_LEN(statuses)], text);
    }
    str_done(&a.body);
    return 0;
}
