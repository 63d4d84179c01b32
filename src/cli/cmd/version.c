/* version and info: one object, as text, JSON or through a template. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

struct opts {
    char *format;
};

static const struct cli_flag flags[] = {
    {.name = "format",
     .letter = 'f',
     .type = CLI_STRING,
     .offset = offsetof(struct opts, format),
     .help = "Format output: json, or a Go TEMPLATE"},
    {.name = NULL},
};

static void print_half(struct cli_ctx *c, const struct json *v, const char *half) {
    const struct json *h = json_get(v, half);
    const char *context = json_text(h, "Context");
    fprintf(c->out, "%s: coracle\n Version:           %s\n API version:       %s\n OS/Arch:           %s/%s\n", half,
            json_text(h, "Version"), json_text(h, "ApiVersion"), json_text(h, "Os"), json_text(h, "Arch"));
    if (*context)
        fprintf(c->out, " Context:           %s\n", context);
}

static struct err *version(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    autojson v = NULL;
    TRY(cli_check_format(o->format, ret_code));
    TRY(engine_version(c->engine, &v));
    if (o->format)
        return cli_render_object(c, v, o->format);
    print_half(c, v, "Client");
    fputc('\n', c->out);
    print_half(c, v, "Server");
    return NULL;
}

/* As docker does a security option: its name, and what it is set to below. */
static void print_option(struct cli_ctx *c, const char *option) {
    autostrv struct strv parts = {.n = 0};
    strv_split(&parts, option, ',');
    for (size_t i = 0; i < parts.n; i++) {
        const char *value = strchr(parts.v[i], '=');
        if (i == 0)
            fprintf(c->out, "  %s\n", value ? value + 1 : parts.v[i]);
        else if (value)
            fprintf(c->out, "   %c%.*s: %s\n", parts.v[i][0] & ~0x20, (int)(value - parts.v[i] - 1), parts.v[i] + 1,
                    value + 1);
    }
}

static void print_member(struct cli_ctx *c, const struct json *o, const char *key, const char *label) {
    const struct json *v = json_get(o, key);
    autostr struct str text = STR_INIT;
    if (json_type(v) == JSON_STRING && !*json_str_value(v))
        return;
    if (json_type(v) == JSON_ARRAY) {
        fprintf(c->out, " %s:\n", label);
        JSON_EACH(it, v)
        print_option(c, json_str_value(it));
        return;
    }
    if (json_type(v) == JSON_STRING)
        str_append_visible(&text, json_str_value(v));
    else if (!strcmp(key, "MemTotal"))
        str_appendf(&text, "%.4gGiB", (double)json_int_value(v, 0) / (double)(1 << 30));
    else
        json_render(v, JSON_COMPACT, &text);
    fprintf(c->out, " %s: %s\n", label, str_c(&text));
}

static struct err *info(struct cli_ctx *c, int *ret_code) {
    static const struct {
        const char *key, *label;
    } lines[] = {
        {"Containers", "Containers"},
        {"ContainersRunning", " Running"},
        {"ContainersPaused", " Paused"},
        {"ContainersStopped", " Stopped"},
        {"Images", "Images"},
        {"ServerVersion", "Server Version"},
        {"Driver", "Storage Driver"},
        {"FuseOverlayfs", "fuse-overlayfs"},
        {"NetworkLevel", "Network"},
        {"NetworkLacks", " Lacks"},
        {"LoggingDriver", "Logging Driver"},
        {"CgroupDriver", "Cgroup Driver"},
        {"CgroupVersion", "Cgroup Version"},
        {"SecurityOptions", "Security Options"},
        {"KernelVersion", "Kernel Version"},
        {"OperatingSystem", "Operating System"},
        {"OSType", "OSType"},
        {"Architecture", "Architecture"},
        {"NCPU", "CPUs"},
        {"MemTotal", "Total Memory"},
        {"Name", "Name"},
        {"DockerRootDir", "Docker Root Dir"},
        {"RunDir", "Run Dir"},
    };
    const struct opts *o = c->opts;
    autojson v = NULL;
    TRY(cli_check_format(o->format, ret_code));
    TRY(engine_info(c->engine, &v));
    if (o->format)
        return cli_render_object(c, v, o->format);
    fputs("Client: coracle\n", c->out);
    print_member(c, json_get(v, "ClientInfo"), "Version", "Version");
    print_member(c, json_get(v, "ClientInfo"), "Context", "Context");
    fputs("\nServer:\n", c->out);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        print_member(c, v, lines[i].key, lines[i].label);
    fflush(c->out);
    JSON_EACH(w, json_get(v, "Warnings"))
    fprintf(stderr, "WARNING: %s\n", json_str_value(w));
    return NULL;
}

const struct cmd cmd_version = {
    .name = "version",
    .top_level = true,
    .summary = "Show the version information",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = version,
};

const struct cmd cmd_info = {
    .name = "info",
    .group = "system",
    .top_level = true,
    .summary = "Display system-wide information",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = info,
};
