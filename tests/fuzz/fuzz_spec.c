/*
 * spec_build over a hostile image config and, behind a NUL, a resolv.conf of the host: what it makes must be JSON that
 * reads back, and the container's resolv.conf must have no lines but those that resolv.conf(5) knows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(const struct json *j) {
    autostr struct str text = STR_INIT;
    autojson again = NULL;
    json_render(j, JSON_COMPACT, &text);
    autoerr e = json_parse(str_c(&text), text.len, "spec", JSON_REFUSE_DUPLICATES, &again);
    if (e)
        abort();
}

static void check_resolv(const struct json *config) {
    const char *s = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_RESOLV));
    for (; s && *s; s += strcspn(s, "\n") + 1)
        if (!str_starts(s, "nameserver ") && !str_starts(s, "search ") && !str_starts(s, "options "))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char root[] = "/store", name[] = "host", secret[] = "SECRET=x";
    static char *const environ_of_host[] = {secret, NULL};
    static const struct host host = {.data_root = root,
                                     .hostname = name,
                                     .arch = "amd64",
                                     .variant = "",
                                     .cgroup = CGROUP_V2,
                                     .environ = environ_of_host};
    const struct container_options options = {.stop_timeout = -1};
    autofree char *text = mem_dupn((const char *)data, size);
    size_t len = strlen(text);
    autojson image = NULL;
    autoerr bad = json_parse(text, len, "image", JSON_REFUSE_DUPLICATES, &image);
    if (bad)
        return 0;
    const struct spec_input in = {.options = &options,
                                  .image_config = image,
                                  .image_id = "11",
                                  .image_name = "x",
                                  .host = &host,
                                  .host_resolv = len < size ? text + len + 1 : NULL,
                                  .id = "0123456789abcdef",
                                  .containers_root = root,
                                  .name = "n"};
    struct spec *s = NULL;
    autoerr e = spec_build(&in, &s);
    if (e)
        return 0;
    read_back(s->config);
    check_resolv(s->config);
    read_back(s->options);
    read_back(s->summary);
    spec_free(s);
    return 0;
}
