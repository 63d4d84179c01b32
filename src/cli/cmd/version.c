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

static struct err *version(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    autojson v = NULL;
    TRY(cli_check_format(o->format, ret_code));
    TRY(engine_version(c->engine, &v));
    if (o->format)
        return cli_render_object(c, v, o->format);
    static const char *const halves[] = {"Client", "Server"};
    for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
        const struct json *h = json_get(v, halves[i]);
        fprintf(c->out, "%s%s: coracle\n Version:    %s\n API version: %s\n OS/Arch:    %s/%s\n", i ? "\n" : "",
                halves[i], json_text(h, "Version"), json_text(h, "ApiVersion"), json_text(h, "Os"),
                json_text(h, "Arch"));
    }
    return NULL;
}

static void print_member(struct cli_ctx *c, const struct json *o, const char *key, const char *label) {
    const struct json *v = json_get(o, key);
    autostr struct str text = STR_INIT;
    if (json_type(v) == JSON_STRING && !*json_str_value(v))
        return;
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
        {"DockerRootDir", "Root Dir"},
        {"RunDir", "Run Dir"},
    };
    const struct opts *o = c->opts;
    autojson v = NULL;
    TRY(cli_check_format(o->format, ret_code));
    TRY(engine_info(c->engine, &v));
    if (o->format)
        return cli_render_object(c, v, o->format);
    fputs("Server:\n", c->out);
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
