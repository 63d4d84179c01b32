/*
 * redirect: redirects are followed by hand, because libcurl's own idea of what may travel is wider than ours. Towards
 * another origin only what describes the wanted content goes along, never what says who asks for it.
 */
#include "fetch/fetch_int.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"

bool redirect_is(long status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool redirect_keeps_header(const char *header) {
    static const char *const kept[] = {"accept:", "accept-encoding:"};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (!strncasecmp(header, kept[i], strlen(kept[i])))
            return true;
    return false;
}

static void curlu_freep(CURLU **u) { curl_url_cleanup(*u); }
static void curl_textp(char **s) { curl_free(*s); }
#define autocurlu __attribute__((cleanup(curlu_freep))) CURLU *
#define autocurltext __attribute__((cleanup(curl_textp))) char *

static CURLU *new_url(void) {
    CURLU *u = curl_url();
    if (!u)
        abort();
    return u;
}

static char *part(CURLU *u, CURLUPart what) {
    autocurltext v = NULL;
    if (curl_url_get(u, what, &v, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return mem_dup("");
    return mem_dup(v);
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart what) {
    autofree char *x = part(a, what), *y = part(b, what);
    return !strcasecmp(x, y);
}

static struct err *check_scheme(CURLU *from, CURLU *to) {
    autofree char *was = part(from, CURLUPART_SCHEME), *is = part(to, CURLUPART_SCHEME);
    if (strcasecmp(is, "http") != 0 && strcasecmp(is, "https") != 0)
        return err_new(ERR_NETWORK, "redirect to a %s: URL refused", is);
    if (strcasecmp(was, "https") == 0 && strcasecmp(is, "https") != 0)
        return err_new(ERR_NETWORK, "redirect from https to http refused");
    return NULL;
}

struct err *redirect_resolve(const char *first, const char *current, const char *location, char **ret_url,
                             bool *ret_same_origin) {
    autocurlu base = new_url();
    autocurlu to = new_url();
    autocurlu origin = new_url();
    if (curl_url_set(base, CURLUPART_URL, current, 0) || curl_url_set(to, CURLUPART_URL, current, 0) ||
        curl_url_set(origin, CURLUPART_URL, first, 0))
        return err_new(ERR_USAGE, "malformed URL");
    CURLUcode rc = curl_url_set(to, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER);
    if (rc)
        return err_new(ERR_NETWORK, "redirect to an unusable URL: %s", curl_url_strerror(rc));
    TRY(check_scheme(base, to));
    autocurltext url = NULL;
    (void)curl_url_set(to, CURLUPART_FRAGMENT, NULL, 0);
    if (curl_url_get(to, CURLUPART_URL, &url, 0))
        return err_new(ERR_NETWORK, "redirect to an unusable URL");
    *ret_same_origin = same_part(origin, to, CURLUPART_SCHEME) && same_part(origin, to, CURLUPART_HOST) &&
                       same_part(origin, to, CURLUPART_PORT);
    *ret_url = mem_dup(url);
    return NULL;
}

char *redirect_plain_url(const char *url) { return mem_dupn(url, strcspn(url, "?#")); }
