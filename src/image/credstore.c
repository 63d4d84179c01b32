/*
 * credstore: docker's config.json written: login and logout. What is not ours to know in that file stays as it was. It
 * appears whole, readable by its owner alone; where it is a link (dotfiles), what it leads to is replaced.
 */
#include "image/auth_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

/* Where the file really is; its directory is made. */
static struct err *place_of(const struct host *h, char **ret_path, int *ret_dir) {
    if (!h->docker_config_dir)
        return err_hint(err_new(ERR_USAGE, "there is no place for credentials"), "set HOME or DOCKER_CONFIG");
    if (mkdir(h->docker_config_dir, 0700) < 0 && errno != EEXIST)
        return err_sys(errno, "make the directory %s", h->docker_config_dir);
    autofree char *asked = path_join(h->docker_config_dir, "config.json");
    autofree char *real = realpath(asked, NULL);
    autofree char *path = mem_dup(real ? real : asked);
    autofree char *dir = mem_dupn(path, (size_t)(path_base(path) - path));
    TRY(fd_open_dir(AT_FDCWD, dir, ret_dir));
    *ret_path = take_ptr(&path);
    return NULL;
}

/* Two logins at once: the second waits, so that neither forgets the other's. */
static struct err *lock(int dir) {
    TRY_CTX(io_lock_dir(dir, IO_LOCK_EXCLUSIVE), "lock docker's configuration directory");
    return NULL;
}

static struct json *auths_of(struct json *config) {
    if (json_type(json_get(config, "auths")) != JSON_OBJECT)
        json_set(config, "auths", json_object());
    return json_get(config, "auths");
}

/* Other spellings of the same registry would be found instead of what is about to be written. True when one was there.
 */
static bool forget_all(struct json *auths, const char *registry) {
    autofree char *want = creds_hostname(creds_key(registry));
    autostrv struct strv gone = {0};
    JSON_EACH(entry, auths) {
        autofree char *have = creds_hostname(json_key(entry));
        if (str_eq(have, want))
            strv_push(&gone, json_key(entry));
    }
    for (size_t i = 0; i < gone.n; i++)
        json_remove(auths, gone.v[i]);
    return gone.n > 0;
}

static struct json *plain_entry(const struct creds *c) {
    autostr struct str pair = STR_INIT, auth = STR_INIT;
    struct json *entry = json_object();
    str_appendf(&pair, "%s:%s", c->user, c->identity_token ? "" : c->password);
    base64_encode(str_c(&pair), pair.len, &auth);
    json_set_str(entry, "auth", str_c(&auth));
    if (c->identity_token)
        json_set_str(entry, "identitytoken", c->identity_token);
    return entry;
}

static struct err *helper_store(const struct host *h, const char *helper, const char *registry, const struct creds *c) {
    autojson j = json_object();
    autostr struct str text = STR_INIT, out = STR_INIT_MAX(CREDS_HELPER_MAX);
    bool found;
    json_set_str(j, "ServerURL", creds_key(registry));
    json_set_str(j, "Username", c->identity_token ? "<token>" : c->user);
    json_set_str(j, "Secret", c->identity_token ? c->identity_token : c->password);
    json_render(j, JSON_COMPACT, &text);
    return creds_helper_run(h, helper, "store", str_c(&text), &out, &found);
}

static struct err *read_config(const struct host *h, struct json **ret) {
    autojson j = NULL;
    TRY(creds_read_config(h, &j));
    if (j && json_type(j) != JSON_OBJECT)
        return err_new(ERR_CORRUPT, "docker's config.json: expected an object");
    *ret = j ? take_ptr(&j) : json_object();
    return NULL;
}

struct err *creds_store(const struct host *h, const char *registry, const struct creds *c, char **ret_plain) {
    autofree char *path = NULL;
    autofd int dir = -1;
    autojson j = NULL;
    TRY(place_of(h, &path, &dir));
    TRY(lock(dir));
    TRY(read_config(h, &j));
    const char *helper = creds_helper(j, registry);
    if (helper)
        TRY_CTX(helper_store(h, helper, registry, c), "saving credentials");
    struct json *auths = auths_of(j);
    forget_all(auths, registry);
    json_set(auths, creds_key(registry), helper ? json_object() : plain_entry(c));
    TRY(json_write_file(dir, path_base(path), j, 0600, IO_DURABLE));
    *ret_plain = helper || c->identity_token ? NULL : take_ptr(&path);
    return NULL;
}

struct err *creds_erase(const struct host *h, const char *registry) {
    autofree char *path = NULL;
    autofd int dir = -1;
    autojson j = NULL;
    TRY(place_of(h, &path, &dir));
    TRY(lock(dir));
    TRY(read_config(h, &j));
    const char *helper = creds_helper(j, registry);
    struct err *e = NULL;
    if (helper) {
        autostr struct str out = STR_INIT_MAX(CREDS_HELPER_MAX);
        bool found;
        e = creds_helper_run(h, helper, "erase", creds_key(registry), &out, &found);
    }
    if (forget_all(auths_of(j), registry))
        e = err_first(e, json_write_file(dir, path_base(path), j, 0600, IO_DURABLE));
    return e;
}
