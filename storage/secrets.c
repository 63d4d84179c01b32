/* secrets: see secrets.h. */
#include "storage/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "storage/store_int.h"

enum { HEAD_MAX = 1 << 16, NAME_LEN_MAX = 253 };

void store_secret_done(struct store_secret *x) {
    free(x->name);
    strmap_done(&x->labels);
    *x = (struct store_secret){.name = NULL};
}

struct err *store_secret_name_check(const char *name) {
    if (*name && strlen(name) <= NAME_LEN_MAX && !strpbrk(name, "=/,") && *name != '.')
        return NULL;
    return err_new(ERR_USAGE,
                   "secret name \"%s\" can not include '=', '/', ',', begin with '.', and must be between 1 and %d "
                   "characters",
                   name, NAME_LEN_MAX);
}

static struct err *no_such(const char *name) {
    return err_new(ERR_NOT_FOUND, "no secret with name or id \"%s\": no such secret", name);
}

struct err *store_secret_write(const struct store *s, const struct store_secret *x, const struct str *data,
                               bool replace) {
    int secrets;
    autojson head = json_object();
    autostr struct str text = STR_INIT;
    TRY(store_secret_name_check(x->name));
    if (!data->len || data->len > STORE_SECRET_MAX)
        return err_new(ERR_USAGE, "secret data must be larger than 0 and less than %d bytes", STORE_SECRET_MAX);
    json_set_str(head, "ID", x->id);
    json_set_int(head, "Created", x->created);
    json_set_int(head, "Updated", x->updated);
    json_set_strmap(head, "Labels", &x->labels);
    json_render(head, JSON_COMPACT, &text);
    str_append_c(&text, '\n');
    str_append_n(&text, data->ptr, data->len);
    TRY(store_dir(s, STORE_SECRETS, &secrets));
    if (replace)
        return io_write_file(secrets, x->name, text.ptr, text.len, 0600, IO_DURABLE);
    struct err *e = io_create_file(secrets, x->name, text.ptr, text.len, 0600, IO_DURABLE);
    return e && err_kind(e) == ERR_CONFLICT ? (err_free(e), err_new(ERR_CONFLICT, "%s: secret name in use", x->name))
                                            : e;
}

static struct err *parse_head(const char *text, size_t n, struct store_secret *ret) {
    autojson head = NULL;
    const char *id;
    TRY(json_parse(text, n, "secret", 0, &head));
    TRY(json_get_str(head, "ID", &id));
    TRY(json_get_i64_opt(head, "Created", 0, &ret->created));
    TRY(json_get_i64_opt(head, "Updated", 0, &ret->updated));
    TRY(json_get_strmap_opt(head, "Labels", &ret->labels));
    if (strlen(id) != STORE_SECRET_ID_LEN)
        return err_new(ERR_CORRUPT, "its id has not %d characters", STORE_SECRET_ID_LEN);
    memcpy(ret->id, id, STORE_SECRET_ID_LEN);
    return NULL;
}

struct err *store_secret_read(const struct store *s, const char *name, struct store_secret *ret, struct str *data) {
    int secrets;
    autosecret x = {.name = mem_dup(name)};
    autostr struct str text = STR_INIT_MAX(HEAD_MAX + STORE_SECRET_MAX);
    autoerr bad_name = store_secret_name_check(name);
    if (bad_name)
        return no_such(name);
    TRY(store_dir(s, STORE_SECRETS, &secrets));
    if (!store_exists(secrets, name))
        return no_such(name);
    TRY(io_read_file(secrets, name, HEAD_MAX + STORE_SECRET_MAX, &text));
    const char *end = text.len ? memchr(text.ptr, '\n', text.len) : NULL;
    if (!end)
        return err_new(ERR_CORRUPT, "the record of secret %s is damaged", name);
    TRY_CTX(parse_head(text.ptr, (size_t)(end - text.ptr), &x), "the record of secret %s is damaged", name);
    if (data)
        str_append_n(data, end + 1, text.len - (size_t)(end + 1 - text.ptr));
    *ret = x;
    x = (struct store_secret){.name = NULL};
    return NULL;
}

static struct err *add_name(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    autoerr other = store_secret_name_check(name); /* what a crash left of a write */
    if (!other)
        strv_push(ctx, name);
    return NULL;
}

struct err *store_secret_names(const struct store *s, struct strv *out) {
    int secrets;
    TRY(store_dir(s, STORE_SECRETS, &secrets));
    TRY(io_each_entry(secrets, add_name, out));
    strv_sort(out);
    return NULL;
}

struct err *store_secret_remove(const struct store *s, const char *name) {
    int secrets;
    TRY(store_dir(s, STORE_SECRETS, &secrets));
    if (unlinkat(secrets, name, 0) < 0)
        return errno == ENOENT ? no_such(name) : err_sys(errno, "remove secret %s", name);
    return io_sync(secrets);
}
