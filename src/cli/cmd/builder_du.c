/* buildx du: what the cache of builds holds. docker has it in buildx alone; builder takes it, too. */
#include "cli/cli_int.h"

#include <string.h>

#include "build/build.h"

static void totals(struct cli_ctx *c, const struct json *cache) {
    int64_t shared = 0, own = 0;
    autostr struct str reclaimable = STR_INIT, total = STR_INIT, common = STR_INIT, mine = STR_INIT;
    JSON_EACH(it, cache) {
        int64_t size = json_int_value(json_get(it, "Size"), 0);
        *(json_bool_value(json_get(it, "Shared"), false) ? &shared : &own) += size;
    }
    cli_human_size(shared, 4, &common);
    cli_human_size(own, 4, &mine);
    cli_human_size(own, 4, &reclaimable);
    cli_human_size(own + shared, 4, &total);
    fprintf(c->out, "Shared:\t\t%s\nPrivate:\t%s\nReclaimable:\t%s\nTotal:\t\t%s\n", str_c(&common), str_c(&mine),
            str_c(&reclaimable), str_c(&total));
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    static const char *const headers[][2] = {
        {"ID", "ID"},     {"Reclaimable", "RECLAIMABLE"}, {"Size", "SIZE"}, {"LastUsedSince", "LAST ACCESSED"},
        {"Type", "TYPE"}, {"Description", "DESCRIPTION"}, {NULL, NULL}};
    static const struct cli_table table = {.default_format = "table {{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t"
                                                             "{{.LastUsedSince}}\t{{.Type}}\t{{.Description}}",
                                           .headers = headers};
    autojson cache = NULL;
    autojson rows = json_array();
    int64_t now = clock_now();
    TRY(build_cache_list(c->engine, &cache));
    JSON_EACH(it, cache) {
        autostr struct str size = STR_INIT, used = STR_INIT;
        struct json *row = json_object();
        bool kept = json_bool_value(json_get(it, "Shared"), false) || json_bool_value(json_get(it, "InUse"), false);
        cli_human_size(json_int_value(json_get(it, "Size"), 0), 4, &size);
        clock_format_ago(json_int_value(json_get(it, "LastUsed"), 0), now, &used);
        json_set_str(row, "ID", json_text(it, "ID"));
        json_set_str(row, "Reclaimable", kept ? "false" : "true");
        json_set_str(row, "Size", str_c(&size));
        json_set_str(row, "LastUsedSince", str_c(&used));
        json_set_str(row, "Type", json_text(it, "Type"));
        json_set_str(row, "Description", json_text(it, "Step"));
        json_push(rows, row);
    }
    TRY(cli_render_rows(c, &table, rows, NULL, false));
    totals(c, cache);
    return NULL;
}

#define DU(group_)                                                                                                     \
    {                                                                                                                  \
        .name = "du", .group = (group_), .summary = "Disk usage of the build cache", .usage = "", .max_args = 0,       \
        .usage_exit = 1, .run = run,                                                                                   \
    }

const struct cmd cmd_builder_du = DU("builder");
const struct cmd cmd_buildx_du = DU("buildx");
