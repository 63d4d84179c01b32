/*
 * --network slirp[:OPTION,…]: a namespace with a libslirp of its own. podman's two words for that, slirp4netns and
 * pasta, mean the same, and so do those of their options that can be kept here; the others are refused by name. What
 * they say becomes KEY=VALUE of net_def_slirp() (net/net.h).
 */
#include "spec/spec_int.h"

#include <arpa/inet.h>

enum { MTU_MIN = 1280, MTU_MAX = 65520 };

static const struct {
    const char *word;
    bool pasta;
} modes[] = {{"slirp", false}, {"slirp4netns", false}, {"pasta", true}};

static bool is_word(const char *text, const char *word) {
    size_t n = strlen(word);
    return strncmp(text, word, n) == 0 && (!text[n] || text[n] == ':');
}

bool spec_is_slirp(const char *mode) {
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (is_word(mode, modes[i].word))
            return true;
    return false;
}

/* ---- values ---- */

static struct err *invalid(const char *key, const char *value, const char *want) {
    return err_new(ERR_USAGE, "--network: invalid value '%s' of %s: %s", value, key, want);
}

static struct err *check_mtu(const char *key, const char *value) {
    int64_t mtu;
    return str_to_i64(value, MTU_MIN, MTU_MAX, &mtu) ? NULL : invalid(key, value, "must be 1280 to 65520");
}

static struct err *check_bool(const char *key, const char *value) {
    return str_eq(value, "true") || str_eq(value, "false") ? NULL : invalid(key, value, "must be true or false");
}

static struct err *check_cidr(const char *key, const char *value) {
    autofree char *address = mem_dupn(value, strcspn(value, "/"));
    struct in_addr a;
    int64_t prefix;
    const char *slash = strchr(value, '/');
    if (inet_pton(AF_INET, address, &a) != 1 || !slash || !str_to_i64(slash + 1, 8, 25, &prefix))
        return invalid(key, value, "must be an IPv4 block of /8 to /25, as 10.0.2.0/24");
    return NULL;
}

static struct err *check_address(const char *key, const char *value) {
    struct in6_addr a;
    bool v6 = str_eq(key, "outbound_addr6");
    if (inet_pton(v6 ? AF_INET6 : AF_INET, value, &a) == 1)
        return NULL;
    return err_hint(invalid(key, value, v6 ? "not an IPv6 address" : "not an IPv4 address"),
                    "of an interface, give the address that it has");
}

/* The relays of published ports show the client's address, as slirp4netns does and rootlesskit does not. */
static struct err *check_handler(const char *key, const char *value) {
    if (str_eq(value, "slirp4netns"))
        return NULL;
    if (str_eq(value, "rootlesskit"))
        return err_hint(err_new(ERR_UNSUPPORTED,
                                "--network: %s=%s would hide the clients' addresses, which published "
                                "ports show here",
                                key, value),
                        "leave it out");
    return invalid(key, value, "must be slirp4netns");
}

/* ---- slirp4netns's ---- */

static const struct {
    const char *key;
    struct err *(*check)(const char *key, const char *value);
    bool kept; /* else there is nothing to do for it */
} options[] = {
    {"cidr", check_cidr, true},
    {"mtu", check_mtu, true},
    {"enable_ipv6", check_bool, true},
    {"allow_host_loopback", check_bool, true},
    {"outbound_addr", check_address, true},
    {"outbound_addr6", check_address, true},
    {"port_handler", check_handler, false},
};

static struct err *add_option(const char *key, const char *value, struct strv *ret) {
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (!str_eq(key, options[i].key))
            continue;
        TRY(options[i].check(key, value));
        if (options[i].kept && strv_env_get(ret, key))
            return err_new(ERR_USAGE, "--network: %s is given twice", key);
        if (options[i].kept)
            strv_push_take(ret, mem_printf("%s=%s", key, value));
        return NULL;
    }
    return err_hint(err_new(ERR_USAGE, "--network slirp: unknown option %s", key),
                    "there are cidr, mtu, enable_ipv6, allow_host_loopback, outbound_addr, outbound_addr6 and "
                    "port_handler");
}

static struct err *read_slirp(const struct strv *words, struct strv *ret) {
    for (size_t i = 0; i < words->n; i++) {
        size_t n = strcspn(words->v[i], "=");
        autofree char *key = mem_dupn(words->v[i], n);
        if (!words->v[i][n])
            return err_new(ERR_USAGE, "--network slirp: option %s has no value", key);
        TRY(add_option(key, words->v[i] + n + 1, ret));
    }
    return NULL;
}

/* ---- pasta's: its command line, with commas ---- */

static const struct {
    const char *word, *brief;
    const char *key, *value; /* value NULL: the next word */
} flags[] = {
    {"--mtu", "-m", "mtu", NULL},
    {"--ipv4-only", "-4", "enable_ipv6", "false"},
    {"--map-gw", NULL, "allow_host_loopback", "true"},
    {"--no-map-gw", NULL, "allow_host_loopback", "false"},
    {"--outbound", "-o", "outbound_addr", NULL},
};

static struct err *refuse_pasta(const char *word) {
    return err_hint(err_new(ERR_UNSUPPORTED,
                            "--network pasta: %s is not available: coracle's own libslirp takes pasta's place", word),
                    "there are --mtu, --ipv4-only, --map-gw, --no-map-gw and --outbound; ports are published with -p");
}

/* One word, and the next where it is its value. */
static struct err *add_flag(const struct strv *words, size_t *i, struct strv *ret) {
    const char *word = words->v[*i];
    for (size_t f = 0; f < ARRAY_LEN(flags); f++) {
        if (!str_eq(word, flags[f].word) && !str_eq(word, flags[f].brief))
            continue;
        const char *value = flags[f].value;
        if (!value && *i + 1 == words->n)
            return err_new(ERR_USAGE, "--network pasta: %s needs a value", word);
        if (!value)
            value = words->v[++*i];
        bool v6 = str_eq(flags[f].key, "outbound_addr") && strchr(value, ':');
        return add_option(v6 ? "outbound_addr6" : flags[f].key, value, ret);
    }
    return refuse_pasta(word);
}

static struct err *read_pasta(const struct strv *words, struct strv *ret) {
    for (size_t i = 0; i < words->n; i++)
        TRY(add_flag(words, &i, ret));
    return NULL;
}

struct err *spec_slirp_options(const char *mode, struct strv *ret) {
    autostrv struct strv words = {.n = 0};
    const char *colon = strchr(mode, ':');
    if (colon && colon[1])
        strv_split(&words, colon + 1, ',');
    return is_word(mode, "pasta") ? read_pasta(&words, ret) : read_slirp(&words, ret);
}
