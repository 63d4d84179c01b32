/* Command lines of `run`, an argument a line, to the container that they make: each option's own grammar, and what they
 * mean together. What is made is JSON that reads back, and the host's secrets are not in it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/host.h"
#include "base/mem.h"
#include "spec/spec.h"
#include "tests/fuzz/run_flags_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char image[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"PATH=/bin\"],\"Cmd\":"
                            "[\"sh\"],\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/data\":{}}}}";
static char root[] = "/store", name[] = "host", home[] = "HOME=/home/user";
static char *const environ_of_host[] = {home, NULL};
static const struct host host = {.uid = 1000,
                                 .gid = 1000,
                                 .data_root = root,
                                 .hostname = name,
                                 .arch = "amd64",
                                 .variant = "",
                                 .cgroup = CGROUP_V2,
                                 .environ = environ_of_host};

static void read_back(const struct json *j) {
    autostr struct str text = STR_INIT;
    autojson again = NULL;
    if (!j)
        return;
    json_render(j, JSON_COMPACT, &text);
    autoerr e = json_parse(str_c(&text), text.len, "spec", JSON_REFUSE_DUPLICATES, &again);
    if (e)
        abort();
}

static void build(struct container_options *o) {
    autojson config = NULL;
    autostrv struct strv volumes = {.n = 0};
    struct spec *s = NULL;
    autoerr bad = json_parse(image, strlen(image), "image", 0, &config);
    for (int i = 0; i < 64; i++)
        strv_pushf(&volumes, "volume%d", i);
    const struct spec_input in = {.options = o,
                                  .image_config = config,
                                  .image_id = "11",
                                  .image_name = "x",
                                  .host = &host,
                                  .id = "0123456789abcdef",
                                  .containers_root = root,
                                  .volume_names = &volumes,
                                  .name = "n"};
    autoerr e = bad ? NULL : spec_build(&in, &s);
    if (e || bad)
        return;
    read_back(s->config);
    read_back(s->options);
    read_back(s->summary);
    read_back(s->network);
    read_back(s->volumes);
    spec_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run_line r;
    run_line_begin(&r, data, size);
    if (r.args.n <= 32) { /* as many volumes and more are named above */
        autoerr e = cli_flags_parse(&r.p, (int)r.args.n, r.args.v);
        mem_set(&r.f.o.cwd, "/home/user");
        strv_extend(&r.f.o.command, &r.positionals);
        if (!e && !r.p.help)
            build(&r.f.o);
    }
    run_line_end(&r);
    return 0;
}
