/* buildx imagetools inspect: what a registry has under a name, without pulling any of it. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "engine/manifests.h"

struct opts {
    bool raw;
    char *format;
};

static const struct cli_flag flags[] = {{.name = "builder",
                                         .type = CLI_STRING,
                                         .standing = CLI_IGNORED,
                                         .reason = "there is one builder",
                                         .help = "Override the configured builder instance"},
                                        {.name = "format",
                                         .type = CLI_STRING,
                                         .offset = offsetof(struct opts, format),
                                         .help = "Format the output using the given Go template"},
                                        {.name = "raw",
                                         .type = CLI_BOOL,
                                         .offset = offsetof(struct opts, raw),
                                         .help = "Show original, unformatted JSON manifest"},
                                        {.name = NULL}};

static void print_field(FILE *out, const char *indent, const char *name, const char *value) {
    autofree char *label = mem_printf("%s:", name);
    if (*value)
        fprintf(out, "%s%-10s %s\n", indent, label, value);
}

static void print_annotations(FILE *out, const struct json *annotations) {
    size_t width = 0;
    JSON_EACH(a, annotations) { width = strlen(json_key(a)) > width ? strlen(json_key(a)) : width; }
    if (width)
        fputs("  Annotations: \n", out);
    JSON_EACH(a, annotations) {
        const char *key = json_key(a);
        fprintf(out, "    %s:%*s %s\n", key, (int)(width - strlen(key)), "", json_text(annotations, key));
    }
}

static void print_entry(FILE *out, const char *name, const struct json *entry) {
    const struct json *p = json_get(entry, "platform");
    const char *variant = json_text(p, "variant");
    autofree char *full = mem_printf("%s@%s", name, json_text(entry, "digest"));
    autofree char *platform =
        p ? mem_printf("%s/%s%s%s", json_text(p, "os"), json_text(p, "architecture"), *variant ? "/" : "", variant)
          : mem_dup("");
    print_field(out, "  ", "Name", full);
    print_field(out, "  ", "MediaType", json_text(entry, "mediaType"));
    print_field(out, "  ", "Platform", platform);
    print_field(out, "  ", "OSVersion", json_text(p, "os.version"));
    print_annotations(out, json_get(entry, "annotations"));
}

/* As buildx prints it. */
static void print_look(FILE *out, const struct json *look) {
    const struct json *m = json_get(look, "Manifest"), *list = json_get(m, "manifests");
    autofree char *name = mem_dup(json_text(look, "Name"));
    print_field(out, "", "Name", name);
    print_field(out, "", "MediaType", json_text(m, "mediaType"));
    print_field(out, "", "Digest", json_text(m, "digest"));
    char *end = strchr(name, '@'), *slash = strrchr(name, '/');
    end = end ? end : strchr(slash ? slash : name, ':');
    if (end)
        *end = '\0';
    if (list)
        fputs("           \nManifests: \n", out);
    JSON_EACH(entry, list) {
        if (entry != json_first(list))
            fputs("             \n", out);
        print_entry(out, name, entry);
    }
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autojson look = NULL;
    autostr struct str raw = STR_INIT;
    if (!str_eq(c->args[0], "inspect"))
        return err_hint(err_new(ERR_USAGE, "unknown command \"%s\" of imagetools", c->args[0]),
                        "'coracle manifest create' and 'coracle manifest push' make lists of images");
    if (c->n_args != 2)
        return err_new(ERR_USAGE, "'coracle buildx imagetools inspect' requires 1 argument");
    if (o->raw && o->format)
        return err_new(ERR_USAGE, "--raw shows what there is: it has no --format");
    bool image = o->format && strstr(o->format, ".Image");
    TRY(engine_manifest_look(c->engine, c->args[1], image, &raw, &look));
    if (o->format)
        return cli_render_oci(c, look, o->format);
    if (o->raw)
        fwrite(str_c(&raw), 1, raw.len, c->out);
    else
        print_look(c->out, look);
    return NULL;
}

const struct cmd cmd_buildx_imagetools = {
    .name = "imagetools",
    .group = "buildx",
    .summary = "Look at images in registries",
    .description = "imagetools inspect shows what a registry has under a name: a manifest, or a list of those for "
                   "several platforms. Nothing is pulled. A --format has .Name, .Manifest and .Image",
    .usage = "inspect [OPTIONS] NAME",
    .examples = "coracle buildx imagetools inspect --raw debian:12\n"
                "coracle buildx imagetools inspect --format '{{json .Image}}' debian:12\n",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
