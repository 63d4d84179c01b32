/* spec_build over a hostile image config: what it makes must be JSON that reads back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
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
    autojson image = NULL;
    autoerr bad = json_parse(size ? (const char *)data : "", size, "image", JSON_REFUSE_DUPLICATES, &image);
    if (bad)
        return 0;
    const struct spec_input in = {.options = &options,
                                  .image_config = image,
                                  .image_id = "11",
                                  .image_name = "x",
                                  .host = &host,
                                  .id = "0123456789abcdef",
                                  .containers_root = root,
                                  .name = "n"};
    struct spec *s = NULL;
    autoerr e = spec_build(&in, &s);
    if (e)
        return 0;
    read_back(s->config);
    read_back(s->options);
    read_back(s->summary);
    spec_free(s);
    return 0;
}
