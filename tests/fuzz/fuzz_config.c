/*
 * Files of the user's: the first byte chooses between coracle's config.json and docker's. What is taken of the first
 * keeps what its header promises; of the second, credentials are whole or there are none.
 */
#include "base/config.c"

#include <stdint.h>

#include "image/auth_int.h"
#include "require_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void own(const struct json *j) {
    struct config *c = mem_alloc(sizeof *c);
    c->max_concurrent_downloads = c->max_concurrent_uploads = 1;
    autoerr e = read_all(j, c);
    autoerr wrong = e ? NULL : check(c);
    for (size_t i = 0; !e && !wrong && i < c->n_registries; i++) {
        const struct config_registry *r = &c->registries[i];
        require(config_registry(c, r->name) != NULL && !r->cert == !r->key);
        for (size_t k = 0; k < r->headers.n; k++)
            require(strchr(r->headers.v[k], ':') && !strpbrk(r->headers.v[k], "\r\n"));
    }
    config_free(c);
}

static void docker(const struct json *j) {
    static const char *const registries[] = {"docker.io", "r.test", "localhost:5000"};
    for (size_t i = 0; i < ARRAY_LEN(registries); i++) {
        struct creds c = {.user = NULL};
        autoerr e = creds_from_auths(json_get(j, "auths"), registries[i], &c);
        const char *helper = creds_helper(j, registries[i]);
        require((!e || !creds_have(&c)) && !c.user == !c.password && (!helper || *helper));
        creds_done(&c);
    }
    autostrv struct strv env = {.n = 0};
    proxies_add(json_get(j, "proxies"), &env);
    for (size_t i = 0; i < env.n; i++)
        require(strchr(env.v[i], '=') != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autojson j = NULL;
    if (size < 1)
        return 0;
    autoerr e = json_parse((const char *)data + 1, size - 1, "config.json", 0, &j);
    if (!e)
        (data[0] == 'd' ? docker : own)(j);
    return 0;
}
