/* id: random ids and names; sha256 is in digest.c. */
#include "base/id.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

static void random_bytes(void *buf, size_t n) {
    char *p = buf;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno != EINTR)
            abort(); /* Linux has it since 3.17; without it no id would be safe */
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

void id_random(char ret[ID_LEN + 1]) {
    static const char hex[] = "0123456789abcdef";
    unsigned char raw[ID_LEN / 2];
    random_bytes(raw, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        ret[2 * i] = hex[raw[i] >> 4];
        ret[2 * i + 1] = hex[raw[i] & 15];
    }
    ret[ID_LEN] = '\0';
}

uint64_t id_random_u64(void) {
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}

static const char *const adjectives[] = {
    "able",    "agile",   "ample",    "astute", "bold",     "brave",   "breezy", "bright",  "brisk",  "buoyant",
    "calm",    "candid",  "cheery",   "clear",  "clever",   "cosy",    "crisp",  "curious", "daring", "deft",
    "eager",   "earnest", "easy",     "fair",   "fearless", "fleet",   "fluent", "fond",    "frank",  "free",
    "gentle",  "glad",    "gleaming", "grand",  "handy",    "happy",   "hardy",  "honest",  "humble", "jolly",
    "keen",    "kind",    "light",    "lively", "lucid",    "lucky",   "merry",  "mellow",  "nimble", "noble",
    "patient", "placid",  "plucky",   "polite", "proud",    "quick",   "quiet",  "ready",   "robust", "rowing",
    "sailing", "serene",  "sharp",    "shiny",  "silent",   "sincere", "smooth", "snug",    "sound",  "spry",
    "steady",  "sturdy",  "sunny",    "swift",  "tidy",     "trusty",  "upbeat", "vivid",   "warm",   "witty",
};

/* Navigators, boat builders, scientists, rivers and small boats. */
static const char *const surnames[] = {
    "amundsen",   "baret",   "barents",  "baltic",       "bering",    "bowditch", "canoe",     "cavendish",
    "chichester", "clyde",   "cook",     "curie",        "curragh",   "danube",   "darwin",    "davis",
    "dhow",       "drake",   "elbe",     "euler",        "faraday",   "flinders", "franklin",  "gama",
    "ganges",     "gauss",   "hanno",    "harrison",     "heyerdahl", "hopper",   "hudson",    "humboldt",
    "kayak",      "kepler",  "ketch",    "knoxjohnston", "laperouse", "lovelace", "mackenzie", "magellan",
    "meitner",    "mekong",  "mersenne", "nansen",       "noether",   "oder",     "pascal",    "pinnace",
    "polynesia",  "punt",    "pytheas",  "rhine",        "ross",      "sailor",   "severn",    "shackleton",
    "shannon",    "skiff",   "slocum",   "tabarly",      "tasman",    "thames",   "turing",    "vancouver",
    "vespucci",   "vistula", "volga",    "wherry",       "yukon",     "zambezi",  "zhenghe",
};

char *id_random_name(int attempt) {
    uint32_t r[3];
    random_bytes(r, sizeof r);
    const char *a = adjectives[r[0] % ARRAY_LEN(adjectives)], *s = surnames[r[1] % ARRAY_LEN(surnames)];
    return attempt > 0 ? mem_printf("%s_%s%u", a, s, r[2] % 10) : mem_printf("%s_%s", a, s);
}

static bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool id_name_ok(const char *name) {
    if (!is_alnum(name[0]) || !name[1])
        return false;
    for (const char *p = name + 1; *p; p++)
        if (!is_alnum(*p) && *p != '_' && *p != '.' && *p != '-')
            return false;
    return strlen(name) <= 255; /* it is a file name in names/ */
}

bool digest_ok(const char *digest) { return str_starts(digest, "sha256:") && path_is_hex64(digest + 7); }

const char *digest_hex(const char *digest) { return digest + 7; }
