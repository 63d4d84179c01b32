/*
 * resolv: the host's name servers, told to the loop at the start and again whenever the file changes. It is often a
 * link to a file that is replaced, so both directories are watched. A name server at 127.0.0.53 stays as it is: the
 * loop asks it from the host's namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "net/helper/warden_int.h"

#define RESOLV_CONF "/etc/resolv.conf"

enum { RESOLV_MAX = 64 << 10, SERVERS_MAX = 8, SEARCH_MAX = 32 };

static void watch_parent(int inotify, const char *path) {
    autofree char *dir = mem_dup(path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return;
    *slash = '\0';
    (void)inotify_add_watch(inotify, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR);
}

/* "fe80::1%eth0": the loop wants the number of the link, and the link is the host's. sysfs shows the namespace in which
 * it was mounted, not that of who reads. */
static char *numbered(const char *server) {
    const char *zone = strchr(server, '%');
    if (!zone || !zone[1] || !path_is_component(zone + 1))
        return mem_dup(server);
    autofree char *path = mem_printf("/sys/class/net/%s/ifindex", zone + 1);
    autostr struct str text = STR_INIT_MAX(64);
    autoerr e = io_read_file(AT_FDCWD, path, 32, &text);
    int index = (int)strcspn(str_c(&text), "\n");
    return e || !index ? mem_dup(server) : mem_printf("%.*s%%%.*s", (int)(zone - server), server, index, text.ptr);
}

static void add_servers(struct json *to, char *words) {
    char *save = NULL;
    for (char *w = strtok_r(words, " \t\r", &save); w && json_count(to) < SERVERS_MAX;
         w = strtok_r(NULL, " \t\r", &save)) {
        autofree char *server = numbered(w);
        json_push_str(to, server);
    }
}

static void add_words(struct json *to, char *words, size_t max) {
    char *save = NULL;
    for (char *w = strtok_r(words, " \t\r", &save); w && json_count(to) < max; w = strtok_r(NULL, " \t\r", &save))
        json_push_str(to, w);
}

/* "search" counts once, the last one, as in resolv.conf(5); "domain" is its short form. */
static void parse_line(char *line, struct json *servers, struct json **search, struct json *options) {
    char *rest = line + strcspn(line, " \t");
    if (*rest)
        *rest++ = '\0';
    rest[strcspn(rest, "#;")] = '\0';
    if (str_eq(line, "nameserver")) {
        add_servers(servers, rest);
    } else if (str_eq(line, "search") || str_eq(line, "domain")) {
        json_free(*search);
        *search = json_array();
        add_words(*search, rest, SEARCH_MAX);
    } else if (str_eq(line, "options")) {
        add_words(options, rest, SEARCH_MAX);
    }
}

static struct json *parse(char *text) {
    struct json *m = json_object(), *servers = json_array(), *search = json_array(), *options = json_array();
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        parse_line(line + strspn(line, " \t"), servers, &search, options);
    json_set_str(m, "op", "resolv");
    json_set(m, "servers", servers);
    json_set(m, "search", search);
    json_set(m, "options", options);
    return m;
}

/* Watches first and reads then: a change in between is seen twice and never missed. */
static void reread(struct warden *w) {
    char real[PATH_MAX];
    watch_parent(w->resolv.fd, RESOLV_CONF);
    if (!realpath(RESOLV_CONF, real))
        return;
    watch_parent(w->resolv.fd, real);
    autostr struct str text = STR_INIT_MAX(RESOLV_MAX);
    autoerr e = io_read_file(AT_FDCWD, real, RESOLV_MAX, &text);
    if (e || str_eq(str_c(&text), w->resolv_text))
        return;
    mem_set(&w->resolv_text, str_c(&text));
    autofree char *copy = mem_dup(str_c(&text));
    autojson m = parse(copy);
    warden_tell(w, m, NULL, 0);
}

static void resolv_ready(struct warden *w, struct source *s) {
    _Alignas(struct inotify_event) char events[4096];
    while (read(s->fd, events, sizeof events) > 0) {
    }
    reread(w);
}

void resolv_start(struct warden *w) {
    if (w->resolv.fd >= 0)
        return;
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd >= 0)
        warden_watch(w, &w->resolv, fd, resolv_ready);
    reread(w);
}
