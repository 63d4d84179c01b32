/* proxies: those that docker's config.json has for containers and builds. See accounts.h. */
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/accounts.h"
#include "image/auth_int.h"

/* "NAME", alone or with a value. */
static bool named(const struct strv *env, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < env->n; i++)
        if (!strncmp(env->v[i], name, n) && (env->v[i][n] == '=' || !env->v[i][n]))
            return true;
    return false;
}

void proxies_add(const struct json *proxies, struct strv *env) {
    static const char *const names[][3] = {{"httpProxy", "HTTP_PROXY", "http_proxy"},
                                           {"httpsProxy", "HTTPS_PROXY", "https_proxy"},
                                           {"noProxy", "NO_PROXY", "no_proxy"},
                                           {"ftpProxy", "FTP_PROXY", "ftp_proxy"},
                                           {"allProxy", "ALL_PROXY", "all_proxy"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = json_text(proxies, names[i][0]);
        for (size_t k = 1; *value && k < ARRAY_LEN(names[i]); k++)
            if (!named(env, names[i][k]))
                strv_pushf(env, "%s=%s", names[i][k], value);
    }
}

struct err *image_proxies(const struct host *h, struct strv *env) {
    autojson j = NULL;
    TRY(creds_read_config(h, &j));
    proxies_add(json_get(json_get(j, "proxies"), "default"), env);
    return NULL;
}
