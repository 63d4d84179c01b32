/* A made-up host and image for the spec tests: nothing of the machine the test runs on gets in. */
#pragma once

#include "base/config.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
#include "spec/spec.h"
#include "unit.h"

#define FIXTURE_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FIXTURE_IMAGE "1111111111111111111111111111111111111111111111111111111111111111"

static const char fixture_image[] =
    "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{"
    "\"Env\":[\"PATH=/usr/bin:/bin\",\"LANG=C.UTF-8\",\"SECRET\",\"=odd\"],\"Cmd\":[\"bash\"],\"WorkingDir\":\"/srv/../"
    "app/\","
    "\"User\":\"app:web\",\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/data\":{}},\"StopSignal\":\"SIGQUIT\","
    "\"Labels\":{\"z\":\"image\",\"b\":\"image\"},\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"]}}}";

static char fixture_home[] = "HOME=/home/user", fixture_secret[] = "SECRET=hunter2", fixture_lang[] = "EDITOR=vi";
static char *const fixture_environ[] = {fixture_home, fixture_secret, fixture_lang, NULL};
static char fixture_root[] = "/home/user/.local/share/coracle", fixture_name[] = "workstation";

static const struct host fixture_host = {
    .uid = 1000,
    .gid = 1000,
    .data_root = fixture_root,
    .hostname = fixture_name,
    .arch = "amd64",
    .variant = "",
    .cgroup = CGROUP_V2,
    .environ = fixture_environ,
};

struct fixture {
    struct container_options o;
    struct config config;
    struct host host;
    const char *image;  /* JSON text of the image config, or NULL */
    const char *others; /* JSON text of `volumes_from`, or NULL */
    const char *map_user;
    const struct host_account *account;
    const struct selinux_machine *selinux;
};

static inline struct fixture fixture_new(void) {
    return (struct fixture){.o = {.cwd = mem_dup("/home/user/src"),
                                  .stop_timeout = -1,
                                  .attach_stdout = true,
                                  .attach_stderr = true}, /* as the CLI leaves them when no flag is given */
                            .host = fixture_host,
                            .image = fixture_image};
}

static inline void fixture_done(struct fixture *f) {
    container_options_done(&f->o);
    strv_done(&f->config.dns);
    strv_done(&f->config.default_ulimits);
    strmap_done(&f->config.log_opts);
}
#define autofixture __attribute__((cleanup(fixture_done))) struct fixture

static inline struct err *fixture_build(const struct fixture *f, struct spec **ret) {
    autojson image = NULL;
    autojson others = NULL;
    autostrv struct strv layers = {0}, nodes = {0}, names = {0};
    for (size_t i = 0; i < 8; i++)
        strv_pushf(&names, "%zu333333333333333333333333333333333333333333333333333333333333333", i);
    if (f->others)
        TRY(json_parse(f->others, strlen(f->others), "volumes from", 0, &others));
    strv_push(&layers, "2222222222222222222222222222222222222222222222222222222222222222");
    strv_push(&nodes, "/dev/fuse");
    if (f->image)
        TRY(json_parse(f->image, strlen(f->image), "image config", 0, &image));
    const struct spec_input in = {
        .options = &f->o,
        .image_config = image,
        .image_id = FIXTURE_IMAGE,
        .image_name = "app:1",
        .layers = &layers,
        .host = &f->host,
        .config = &f->config,
        .id = FIXTURE_ID,
        .containers_root = f->host.data_root,
        .name = "jolly_boat",
        .created = INT64_C(1767323045123000000),
        .host_resolv = "# made by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch lan\nsearch example.org "
                       "example.net\noptions edns0\n",
        .host_hosts = "127.0.0.1 localhost workstation",
        .host_devices = &nodes,
        .volume_names = &names,
        .volumes_from = others,
        .map_user = f->map_user,
        .selinux = f->selinux,
        .account = f->account,
    };
    return spec_build(&in, ret);
}
