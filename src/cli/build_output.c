/* build_output: see build_output.h. */
#include "cli/build_output.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "build/build.h"
#include "cli/cli_int.h"
#include "engine/build.h"
#include "engine/images.h"
#include "engine/registries.h"

static const char *const types[] = {[OUTPUT_IMAGE] = "image", [OUTPUT_DOCKER] = "docker", [OUTPUT_OCI] = "oci",
                                    [OUTPUT_LOCAL] = "local", [OUTPUT_TAR] = "tar",       [OUTPUT_NONE] = "cacheonly"};

static void output_done(struct build_output *o) {
    free(o->dest);
    strv_done(&o->names);
}

void build_outputs_done(struct build_outputs *o) {
    for (size_t i = 0; i < o->n; i++)
        output_done(&o->v[i]);
    free(o->v);
}

/* ---- parsing ---- */

static struct err *set_type(struct build_output *o, const char *value) {
    if (str_eq(value, "registry")) {
        o->type = OUTPUT_IMAGE;
        o->push = true;
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!str_eq(types[i], value))
            continue;
        o->type = (enum build_output_type)i;
        return NULL;
    }
    return err_hint(err_new(ERR_USAGE, "exporter \"%s\" could not be found", value),
                    "it is one of local, tar, oci, docker, image, registry and cacheonly");
}

static struct err *set_bool(const char *key, const char *value, bool *ret) {
    return str_to_truth(value, ret) ? NULL : err_new(ERR_USAGE, "non-bool value specified for %s: %s", key, value);
}

static struct err *set_field(struct build_output *o, const char *key, const char *value) {
    bool archive = true;
    if (str_eq(key, "type"))
        return set_type(o, value);
    if (str_eq(key, "dest"))
        mem_set(&o->dest, value);
    else if (str_eq(key, "name"))
        strv_push(&o->names, value);
    else if (str_eq(key, "push"))
        return set_bool(key, value, &o->push);
    else if (str_eq(key, "rewrite-timestamp"))
        return set_bool(key, value, &o->rewrite_times);
    else if (str_eq(key, "tar"))
        TRY(set_bool(key, value, &archive));
    else
        return err_new(ERR_UNSUPPORTED, "--output: there is no option %s=%s here", key, value);
    o->directory |= !archive;
    return NULL;
}

static struct err *parse_fields(const char *text, struct build_output *o) {
    autostrv struct strv fields = {.n = 0};
    bool typed = false;
    strv_split(&fields, text, ',');
    for (size_t i = 0; i < fields.n; i++) {
        const char *eq = strchr(fields.v[i], '=');
        autofree char *key = mem_dupn(fields.v[i], strcspn(fields.v[i], "="));
        if (!eq)
            return err_new(ERR_USAGE, "invalid value %s", fields.v[i]);
        typed |= str_eq(key, "type");
        TRY(set_field(o, key, eq + 1));
    }
    return typed ? NULL : err_new(ERR_USAGE, "type is required for output");
}

static struct err *check_dest(const struct build_output *o) {
    bool none = !o->dest, output = str_eq(o->dest, "-");
    if (o->type == OUTPUT_LOCAL && (none || output))
        return err_new(ERR_USAGE, "dest is required for local exporter");
    if (!none && (o->type == OUTPUT_IMAGE || o->type == OUTPUT_NONE))
        return err_new(ERR_USAGE, "dest not supported for type %s", types[o->type]);
    if (none && (o->type == OUTPUT_TAR || o->type == OUTPUT_OCI))
        return err_new(ERR_USAGE, "dest is required for type %s", types[o->type]);
    return o->directory && output ? err_new(ERR_USAGE, "tar=false writes a directory: dest cannot be -") : NULL;
}

static struct err *check(const struct build_output *o) {
    if (o->directory && o->type != OUTPUT_OCI)
        return err_new(ERR_USAGE, "tar=false is for type=oci");
    if (o->push && o->type != OUTPUT_IMAGE)
        return err_new(ERR_USAGE, "push is for type=image: type=%s is not sent anywhere", types[o->type]);
    return check_dest(o);
}

/* "DIR", "-" and "type=…". */
static struct err *parse_one(const char *text, struct build_output *o) {
    if (str_eq(text, "-"))
        *o = (struct build_output){.type = OUTPUT_TAR, .dest = mem_dup("-")};
    else if (!strpbrk(text, "=,"))
        *o = (struct build_output){.type = OUTPUT_LOCAL, .dest = mem_dup(text)};
    else
        TRY(parse_fields(text, o));
    return check(o);
}

static struct build_output *add(struct build_outputs *all) {
    all->v = mem_resize(all->v, all->n + 1, sizeof *all->v);
    all->v[all->n] = (struct build_output){.type = OUTPUT_IMAGE};
    return &all->v[all->n++];
}

struct err *build_outputs_parse(const struct build_output_flags *f, struct build_outputs *ret) {
    bool pushed = false;
    for (size_t i = 0; i < f->output->n; i++) {
        struct build_output *o = add(ret);
        TRY(parse_one(f->output->v[i], o));
        if (f->push && o->type == OUTPUT_IMAGE)
            pushed = o->push = true;
    }
    if (f->push && !pushed)
        add(ret)->push = true;
    if (f->load)
        add(ret)->type = OUTPUT_DOCKER;
    return NULL;
}

bool build_outputs_keep(const struct build_outputs *o) {
    for (size_t i = 0; i < o->n; i++)
        if (o->v[i].type == OUTPUT_IMAGE || (o->v[i].type == OUTPUT_DOCKER && !o->v[i].dest))
            return true;
    return !o->n;
}

bool build_outputs_files(const struct build_outputs *o) {
    for (size_t i = 0; i < o->n; i++)
        if (o->v[i].type == OUTPUT_LOCAL || o->v[i].type == OUTPUT_TAR)
            return true;
    return false;
}

bool build_outputs_rewrite_times(const struct build_outputs *o) {
    for (size_t i = 0; i < o->n; i++)
        if (o->v[i].rewrite_times)
            return true;
    return false;
}

void build_outputs_names(const struct build_outputs *o, const struct strv *tags, struct strv *ret) {
    strv_extend(ret, tags);
    for (size_t i = 0; i < o->n; i++)
        for (size_t k = 0; k < o->v[i].names.n; k++)
            strv_add(ret, o->v[i].names.v[k]);
}

static struct err *check_one(const struct cli_ctx *c, const struct build_output *o, bool index, bool attested) {
    if (str_eq(o->dest, "-") && c->host->stdout_tty)
        return err_new(ERR_USAGE, "dest file is required for %s exporter. refusing to write to console",
                       types[o->type]);
    if (index && o->type == OUTPUT_DOCKER && o->dest)
        return err_hint(err_new(ERR_UNSUPPORTED, "docker exporter does not currently support exporting manifest lists"),
                        "type=oci does");
    if (attested && (o->type == OUTPUT_LOCAL || o->type == OUTPUT_TAR))
        return err_hint(
            err_new(ERR_UNSUPPORTED, "attestations are kept beside images, and type=%s is files alone", types[o->type]),
            "use type=oci, type=image or type=registry");
    return NULL;
}

struct err *build_outputs_check(const struct cli_ctx *c, const struct build_outputs *o, const struct strv *tags,
                                bool index, bool attested) {
    autostrv struct strv names = {.n = 0};
    build_outputs_names(o, tags, &names);
    for (size_t i = 0; i < o->n; i++) {
        if (o->v[i].push && !names.n)
            return err_hint(err_new(ERR_USAGE, "tag is needed when pushing to registry"), "give one with -t");
        TRY(check_one(c, &o->v[i], index, attested));
    }
    return NULL;
}

/* ---- writing ---- */

struct writing {
    struct cli_ctx *c;
    const struct build_output *o;
    const struct build_result *r;
    const struct strv *names;
};

/* BuildKit's: "linux_arm64", where there are several. Owned. */
static char *platform_directory(const struct build_member *m) {
    char *name = mem_dup(m->platform);
    for (char *p = name; (p = strchr(p, '/'));)
        *p = '_';
    return name;
}

static struct err *write_tar(const struct writing *w, int fd) {
    const struct build_result *r = w->r;
    autostrv struct strv names = {.n = 0};
    if (r->n_members < 2)
        return engine_image_files(w->c->engine, r->id, fd, -1);
    autofree struct engine_part *parts = mem_array(r->n_members, sizeof *parts);
    for (size_t i = 0; i < r->n_members; i++)
        strv_push_take(&names, platform_directory(&r->members[i]));
    for (size_t i = 0; i < r->n_members; i++)
        parts[i] = (struct engine_part){.id = r->members[i].id, .directory = names.v[i]};
    return engine_images_tar(w->c->engine, parts, r->n_members, fd);
}

static struct err *write_archive(void *ctx, int fd) {
    const struct writing *w = ctx;
    struct image_location to = {.transport = w->o->type == OUTPUT_DOCKER ? IMAGE_DOCKER_ARCHIVE
                                             : w->o->directory           ? IMAGE_OCI
                                                                         : IMAGE_OCI_ARCHIVE,
                                .path = w->o->dest,
                                .reference = w->names->n ? w->names->v[0] : NULL};
    if (w->o->type == OUTPUT_TAR)
        return write_tar(w, fd);
    return *w->r->index ? engine_index_write(w->c->engine, w->r->id, w->r->index, &to, fd)
                        : engine_image_write(w->c->engine, w->r->id, &to, fd);
}

static struct err *write_platform(struct writing *w, int dir, const struct build_member *m) {
    autofree char *name = platform_directory(m);
    autofd int sub = -1;
    TRY(io_mkdirs(dir, name, 0755));
    TRY(fd_open_dir(dir, name, &sub));
    return engine_image_files(w->c->engine, m->id, -1, sub);
}

static struct err *write_files(struct writing *w, int dir) {
    if (w->r->n_members < 2)
        return engine_image_files(w->c->engine, w->r->id, -1, dir);
    for (size_t i = 0; i < w->r->n_members; i++)
        TRY_CTX(write_platform(w, dir, &w->r->members[i]), "%s", w->r->members[i].platform);
    return NULL;
}

static struct err *write_directory(struct writing *w) {
    autofd int dir = -1;
    TRY(io_mkdirs(AT_FDCWD, w->o->dest, 0755));
    TRY(fd_open_dir(AT_FDCWD, w->o->dest, &dir));
    return w->o->type == OUTPUT_LOCAL ? write_files(w, dir) : write_archive(w, dir);
}

static struct err *push(const struct writing *w) {
    int interrupted = -1;
    TRY(cli_interrupt_fd(&interrupted));
    for (size_t i = 0; i < w->names->n; i++) {
        const struct engine_push p = {.reference = w->names->v[i],
                                      .image = w->r->id,
                                      .index = *w->r->index ? w->r->index : NULL,
                                      .interrupted_fd = &interrupted};
        struct image_pushed got = {.size = 0};
        autofree char *tag = NULL;
        TRY_CTX(engine_image_push(w->c->engine, &p, &got, &tag), "push %s", w->names->v[i]);
        log_info("pushed %s: %s", w->names->v[i], got.digest);
    }
    return NULL;
}

static struct err *make_one(struct writing *w) {
    const struct build_output *o = w->o;
    if (o->type == OUTPUT_NONE || (o->type == OUTPUT_DOCKER && !o->dest))
        return NULL;
    if (o->type == OUTPUT_IMAGE)
        return o->push ? push(w) : NULL;
    if (o->type == OUTPUT_LOCAL || o->directory)
        return write_directory(w);
    return cli_to_file(w->c, str_eq(o->dest, "-") ? NULL : o->dest, write_archive, w);
}

struct err *build_outputs_make(struct cli_ctx *c, const struct build_outputs *o, const struct build_result *r,
                               const struct strv *tags) {
    autostrv struct strv names = {.n = 0};
    struct err *e = NULL;
    build_outputs_names(o, tags, &names);
    for (size_t i = 0; !e && i < o->n; i++) {
        struct writing w = {c, &o->v[i], r, &names};
        e = make_one(&w);
        e = e ? err_wrap(e, "output type=%s", types[o->v[i].type]) : NULL;
    }
    return e;
}
