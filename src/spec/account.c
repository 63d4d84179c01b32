/*
 * account: the line that a container's passwd gets for who runs there, and its group's, where the image has none:
 * podman's, for --userns keep-id, where the user is himself, and for a --user given by number whose line
 * --passwd-entry writes. What the lines say is settled here; the runtime looks at the image's files.
 */
#include "spec/spec_int.h"

#include "base/path.h"

struct account {
    const char *name, *uid, *gid, *gecos, *group;
    char *home;
};

/* "1000[:100]": ids without a name. */
static bool numeric(const char *user, struct strv *ids) {
    strv_split(ids, user, ':');
    if (ids->n > 2)
        return false;
    for (size_t i = 0; i < ids->n; i++)
        if (!*ids->v[i] || ids->v[i][strspn(ids->v[i], "0123456789")])
            return false;
    if (ids->n == 1)
        strv_push(ids, "0");
    return true;
}

/* Whether what lies there is from outside: a mount at the directory or above it. */
static bool is_mounted(const struct spec_ctx *x, const char *dir) {
    for (size_t i = 0; i < x->n_mounts; i++) {
        const char *target = x->mounts[i].m.target;
        size_t n = strlen(target);
        if (strncmp(target, dir, n) == 0 && (!dir[n] || dir[n] == '/'))
            return true;
    }
    return false;
}

/* The user's own where it is mounted, as podman has it; else where the program starts. A colon would end the field. */
static char *home_of(const struct spec_ctx *x) {
    const char *own = x->in->account ? x->in->account->home : NULL;
    const char *home = own && is_mounted(x, own) ? own : x->workdir;
    return mem_dup(*home && !strchr(home, ':') && !spec_has_control(home) ? home : "/");
}

/* ---- --passwd-entry, --group-entry ---- */

struct variable {
    const char *name, *value;
};

static char *expand(const char *text, const struct variable *v, size_t n) {
    struct str out = STR_INIT;
    while (*text) {
        size_t i = 0;
        while (i < n && !str_starts(text, v[i].name))
            i++;
        if (i < n)
            str_append(&out, v[i].value);
        else
            str_append_c(&out, *text);
        text += i < n ? strlen(v[i].name) : 1;
    }
    return str_take(&out);
}

static struct err *check_entry(const char *flag, const char *line, size_t fields) {
    autostrv struct strv f = {.n = 0};
    strv_split(&f, line, ':');
    if (f.n == fields && *f.v[0] && !spec_has_control(line))
        return NULL;
    return err_new(ERR_USAGE, "invalid value for %s: '%s' is not one line of %zu fields with colons between them", flag,
                   line, fields);
}

static struct err *write_lines(struct spec_ctx *x, const struct account *a) {
    const char *passwd = x->o->passwd_entry, *group = x->o->group_entry;
    const struct variable user[] = {
        {"$USERNAME", a->name}, {"$UID", a->uid}, {"$GID", a->gid}, {"$NAME", a->gecos}, {"$HOME", a->home}};
    const struct variable of_group[] = {{"$GROUPNAME", a->group}, {"$GID", a->gid}, {"$USERLIST", a->name}};
    x->passwd_line = expand(passwd ? passwd : "$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh", user, ARRAY_LEN(user));
    x->group_line = expand(group ? group : "$GROUPNAME:x:$GID:$USERLIST", of_group, ARRAY_LEN(of_group));
    TRY(check_entry("--passwd-entry", x->passwd_line, 7));
    return check_entry("--group-entry", x->group_line, 4);
}

static struct err *check_flags(const struct spec_ctx *x, bool keep_id, bool by_number) {
    const struct container_options *o = x->o;
    const char *flag = o->passwd_entry ? "--passwd-entry" : "--group-entry";
    if (!o->passwd_entry && !o->group_entry)
        return NULL;
    if (o->no_passwd)
        return err_new(ERR_USAGE, "conflicting options: %s and --passwd=false", flag);
    if (x->in->rootfs && !x->in->rootfs_overlay)
        return err_hint(err_new(ERR_USAGE, "conflicting options: %s and --rootfs", flag),
                        "the directory's own files would be changed: put :O behind it");
    if (!keep_id && !by_number)
        return err_hint(err_new(ERR_USAGE, "%s: the image knows who runs there", flag),
                        "it is for --userns keep-id, and for a --user given by number");
    return NULL;
}

struct err *spec_resolve_account(struct spec_ctx *x) {
    const struct host_account *host = x->in->account;
    struct spec_userns mode;
    autostrv struct strv ids = {.n = 0};
    TRY(spec_parse_userns(x->o, &mode));
    bool keep_id = mode.kind == SPEC_USERNS_KEEP_ID;
    bool by_number = numeric(keep_id && x->in->map_user ? x->in->map_user : x->user, &ids);
    TRY(check_flags(x, keep_id, by_number));
    if (!by_number || x->o->no_passwd || (!host && !x->o->passwd_entry && !x->o->group_entry))
        return NULL;
    autofree char *home = home_of(x);
    const struct account a = {.name = host ? host->name : ids.v[0],
                              .uid = ids.v[0],
                              .gid = ids.v[1],
                              .gecos = host ? host->gecos : "container user",
                              .group = host ? host->group : ids.v[1],
                              .home = home};
    return write_lines(x, &a);
}
