/* host_ids: the subordinate ids of the user, by libsubid where nsswitch.conf names a service for them, else from the
 * files. */
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/io.h"
#include "base/library.h"
#include "base/mem.h"
#include "base/str.h"

#define SUBID_FILE_MAX ((size_t)4 << 20)
#define PASSWD_BUFFER ((size_t)16384)

/* As <shadow/subid.h> has it. */
struct subid_range {
    unsigned long start, count;
};

struct subid_owner {
    const char *name;
    uid_t uid;
};

typedef int subid_get_fn(const char *owner, struct subid_range **ranges);

/* Adds a range behind the others, which begin with the user's own id; what does not fit into 32 bits is left out. */
static void add_range(struct id_range *map, size_t *n, unsigned long start, unsigned long count) {
    uint32_t inside = map[*n - 1].inside + map[*n - 1].count;
    if (*n == ID_RANGES_MAX || !count || start >= UINT32_MAX || count > UINT32_MAX - start ||
        count > UINT32_MAX - inside)
        return;
    map[(*n)++] = (struct id_range){.inside = inside, .outside = (uint32_t)start, .count = (uint32_t)count};
}

/* Whether nsswitch.conf sends subordinate ids to a service; without such a line they are in the files. */
static bool has_subid_service(void) {
    autostr struct str text = STR_INIT;
    autostrv struct strv lines = {0};
    err_free(io_read_file(AT_FDCWD, "/etc/nsswitch.conf", SUBID_FILE_MAX, &text));
    strv_split(&lines, str_c(&text), '\n');
    for (size_t i = 0; i < lines.n; i++)
        if (str_starts(lines.v[i], "subid:"))
            return true;
    return false;
}

/* The library brings a dozen others along: 200 KB in a process that stays, as a monitor does, so only where it knows
 * more. */
static void *subid_library(void) {
    static const char *const names[] = {"libsubid.so.4", "libsubid.so.5", "libsubid.so.3"};
    void *lib = NULL;
    if (!has_subid_service())
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(names) && !lib; i++)
        lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    bool (*init)(const char *progname, FILE *log);
    FILE *sink = lib && library_symbol(lib, "subid_init", &init) ? fopen("/dev/null", "we") : NULL;
    if (sink)
        init(NULL, sink); /* keeps the stream: what it has to say is said by our own error */
    return lib;
}

static bool ranges_by_library(void *lib, const char *symbol, const char *user, struct id_range *map, size_t *n) {
    subid_get_fn *get;
    struct subid_range *ranges = NULL;
    if (!library_symbol(lib, symbol, &get))
        return false;
    int count = get(user, &ranges);
    for (int i = 0; i < count; i++)
        add_range(map, n, ranges[i].start, ranges[i].count);
    free(ranges);
    return count > 0;
}

/* A line is owner:start:count; the owner is a name or a uid. */
static void add_line(const char *line, const struct subid_owner *o, struct id_range *map, size_t *n) {
    autostrv struct strv f = {0};
    uint64_t uid, start, count;
    strv_split(&f, line, ':');
    if (f.n != 3 || !str_to_u64(f.v[1], 10, UINT32_MAX, &start) || !str_to_u64(f.v[2], 10, UINT32_MAX, &count))
        return;
    if (strcmp(f.v[0], o->name) == 0 || (str_to_u64(f.v[0], 10, UINT32_MAX, &uid) && uid == o->uid))
        add_range(map, n, start, count);
}

/*
 * The login name that passwd has for the uid. $USER is good enough to show, not to grant by: `su` without a login shell
 * may leave another's there. Costs little beside the libraries that are loaded here anyway.
 */
static char *login_name(const struct host *h) {
    autofree char *buf = mem_alloc(PASSWD_BUFFER);
    struct passwd pw, *found = NULL;
    if (getpwuid_r(h->uid, &pw, buf, PASSWD_BUFFER, &found) != 0 || !found)
        return mem_dup(h->user);
    return mem_dup(found->pw_name);
}

void host_account_load(const struct host *h, struct host_account *ret) {
    autofree char *buf = mem_alloc(PASSWD_BUFFER);
    struct passwd pw, *user = NULL;
    struct group gr, *group = NULL;
    if (getpwuid_r(h->uid, &pw, buf, PASSWD_BUFFER, &user) != 0)
        user = NULL;
    ret->name = user ? mem_dup(user->pw_name) : mem_printf("%u", (unsigned)h->uid);
    ret->gecos = mem_dup(user ? user->pw_gecos : "");
    ret->home = mem_dup(user ? user->pw_dir : "/");
    if (getgrgid_r(h->gid, &gr, buf, PASSWD_BUFFER, &group) != 0)
        group = NULL;
    ret->group = group ? mem_dup(group->gr_name) : mem_printf("%u", (unsigned)h->gid);
}

void host_account_done(struct host_account *a) {
    char **const texts[] = {&a->name, &a->gecos, &a->home, &a->group};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        mem_set(texts[i], NULL);
}

static void ranges_by_file(const char *path, const struct subid_owner *o, struct id_range *map, size_t *n) {
    autostr struct str text = STR_INIT;
    autostrv struct strv lines = {0};
    struct err *e = io_read_file(AT_FDCWD, path, SUBID_FILE_MAX, &text);
    if (e) { /* a missing file grants nothing */
        err_free(e);
        return;
    }
    strv_split(&lines, str_c(&text), '\n');
    for (size_t i = 0; i < lines.n; i++)
        add_line(lines.v[i], o, map, n);
}

static struct err *no_ids(const char *user, const char *kind) {
    return err_hint(err_new(ERR_NOT_FOUND, "no subordinate %s ids for user '%s'", kind, user),
                    "run 'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s', then try again",
                    user);
}

struct err *host_id_map(const struct host *h, struct id_map *ret) {
    struct id_map m = {.n_uid = 1, .n_gid = 1};
    m.uid[0] = (struct id_range){.inside = 0, .outside = h->uid, .count = 1};
    m.gid[0] = (struct id_range){.inside = 0, .outside = h->gid, .count = 1};
    autofree char *user = login_name(h);
    const struct subid_owner owner = {.name = user, .uid = h->uid};
    void *lib = subid_library();
    if (!lib || !ranges_by_library(lib, "subid_get_uid_ranges", user, m.uid, &m.n_uid))
        ranges_by_file("/etc/subuid", &owner, m.uid, &m.n_uid);
    if (!lib || !ranges_by_library(lib, "subid_get_gid_ranges", user, m.gid, &m.n_gid))
        ranges_by_file("/etc/subgid", &owner, m.gid, &m.n_gid);
    if (m.n_uid == 1)
        return no_ids(user, "user");
    if (m.n_gid == 1)
        return no_ids(user, "group");
    *ret = m;
    return NULL;
}
