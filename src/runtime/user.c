/*
 * user: who the container's process is to be, from "user[:group]" text and the image's own passwd and group files.
 *
 * Both files are hostile: read whole with a cap, scanned as slices that never leave the buffer, and a line that is
 * not well-formed is skipped, never half-believed: a broken number must not become id 0. The rules are docker's:
 *
 *   - all digits is an id, even where a user has that name; no entry is needed for it (gid 0, home "/" then);
 *   - a name needs an entry; an empty user part is id 0;
 *   - the group file's memberships count only when a passwd entry matched and no group was named;
 *   - the primary group is always in the supplementary list too, so that a file that denies it to its group is
 *     denied to this process as well (CVE-2022-36109).
 */
#include "runtime/user_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/runtime.h"

#define USER_FILE_MAX ((size_t)1 << 20)
#define USER_ID_MAX INT64_C(2147483647) /* docker's limit: an id is a positive 32 bit int */

struct slice {
    const char *p;
    size_t n;
};

/*
 * Cuts the part before the next `sep` off `rest`; false at the end. A final separator ends the text, it starts nothing.
 */
static bool slice_cut(struct slice *rest, char sep, struct slice *ret) {
    if (!rest->n)
        return false;
    const char *end = memchr(rest->p, sep, rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    size_t used = end ? n + 1 : n;
    *ret = (struct slice){rest->p, n};
    *rest = (struct slice){rest->p + used, rest->n - used};
    return true;
}

static bool slice_eq(struct slice s, const char *text) { return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0; }

/* Reads a whole decimal id; false for anything else, ids beyond the limit included. */
static bool slice_id(struct slice s, int64_t *ret) {
    char digits[16];
    if (!s.n || s.n >= sizeof digits)
        return false;
    memcpy(digits, s.p, s.n);
    digits[s.n] = '\0';
    return strlen(digits) == s.n && str_to_i64(digits, 0, USER_ID_MAX, ret);
}

#define FIELDS_MAX 7

/* The next line with at least `want` fields; further fields are empty. */
static bool next_entry(struct slice *rest, size_t want, struct slice field[FIELDS_MAX]) {
    struct slice line;
    while (slice_cut(rest, '\n', &line)) {
        if (memchr(line.p, '\0', line.n))
            continue;
        size_t n = 0;
        memset(field, 0, FIELDS_MAX * sizeof *field);
        while (n < FIELDS_MAX && slice_cut(&line, ':', &field[n]))
            n++;
        if (n >= want && field[0].n)
            return true;
    }
    return false;
}

/* ---- what the user typed ---- */

struct name_or_id {
    char *text;
    bool is_id; /* all digits */
    int64_t id; /* valid when is_id */
};

/* An id beyond the limit is an error at once: it must neither wrap around nor be taken for a name. */
static struct err *parse_name_or_id(const char *what, const char *text, struct name_or_id *ret) {
    ret->text = mem_dup(text);
    ret->is_id = *text && text[strspn(text, "0123456789")] == '\0';
    if (ret->is_id && !str_to_i64(text, 0, USER_ID_MAX, &ret->id))
        return err_new(ERR_USAGE, "unable to find %s %s: uids and gids must be in range 0-2147483647", what, text);
    return NULL;
}

static bool entry_matches(const struct name_or_id *want, struct slice name, int64_t id) {
    return want->is_id ? id == want->id : slice_eq(name, want->text);
}

/* ---- passwd ---- */

static void set_home(struct runtime_user *u, struct slice home) {
    if (!home.n || home.p[0] != '/' || home.n >= sizeof u->home)
        home = (struct slice){"/", 1};
    memcpy(u->home, home.p, home.n);
    u->home[home.n] = '\0';
}

/* Sets uid, gid and home; *ret_name is the matched entry's name, empty without one. */
static struct err *find_user(struct slice passwd, const struct name_or_id *want, struct runtime_user *u,
                             struct slice *ret_name) {
    struct slice field[FIELDS_MAX];
    while (next_entry(&passwd, 4, field)) {
        int64_t uid, gid;
        if (!slice_id(field[2], &uid) || !slice_id(field[3], &gid) || !entry_matches(want, field[0], uid))
            continue;
        u->uid = (uid_t)uid;
        u->gid = (gid_t)gid;
        set_home(u, field[5]);
        *ret_name = field[0];
        return NULL;
    }
    if (!want->is_id)
        return err_new(ERR_USAGE, "unable to find user %s: no matching entries in passwd file", want->text);
    u->uid = (uid_t)want->id;
    return NULL;
}

/* ---- group ---- */

static struct err *add_group(struct runtime_user *u, gid_t gid) {
    for (size_t i = 0; i < u->n_groups; i++)
        if (u->groups[i] == gid)
            return NULL;
    if (u->n_groups == ARRAY_LEN(u->groups))
        return err_new(ERR_UNSUPPORTED, "the user is in more than %zu groups", ARRAY_LEN(u->groups));
    u->groups[u->n_groups++] = gid;
    return NULL;
}

static struct err *find_group(struct slice group, const struct name_or_id *want, gid_t *ret) {
    struct slice field[FIELDS_MAX];
    while (next_entry(&group, 3, field)) {
        int64_t gid;
        if (!slice_id(field[2], &gid) || !entry_matches(want, field[0], gid))
            continue;
        *ret = (gid_t)gid;
        return NULL;
    }
    if (!want->is_id)
        return err_new(ERR_USAGE, "unable to find group %s: no matching entries in group file", want->text);
    *ret = (gid_t)want->id;
    return NULL;
}

static bool list_has(struct slice list, struct slice name) {
    struct slice member;
    while (slice_cut(&list, ',', &member))
        if (member.n == name.n && memcmp(member.p, name.p, name.n) == 0)
            return true;
    return false;
}

static struct err *add_memberships(struct slice group, struct slice user, struct runtime_user *u) {
    struct slice field[FIELDS_MAX];
    while (next_entry(&group, 4, field)) {
        int64_t gid;
        if (slice_id(field[2], &gid) && list_has(field[3], user))
            TRY(add_group(u, (gid_t)gid));
    }
    return NULL;
}

static struct err *resolve_group(const char *text, struct slice group, gid_t *ret) {
    struct name_or_id want = {0};
    struct err *e = parse_name_or_id("group", text, &want);
    if (!e)
        e = find_group(group, &want, ret);
    free(want.text);
    return e;
}

static struct err *resolve_user(const char *text, struct slice passwd, struct runtime_user *u, struct slice *ret_name) {
    struct name_or_id want = {0};
    struct err *e = parse_name_or_id("user", *text ? text : "0", &want);
    if (!e)
        e = find_user(passwd, &want, u, ret_name);
    free(want.text);
    return e;
}

/* ---- both ---- */

bool user_entry_known(const char *text, size_t len, const char *line) {
    struct slice file = {text, len}, own = {line, strlen(line)}, want[FIELDS_MAX], field[FIELDS_MAX];
    int64_t id, theirs;
    if (!next_entry(&own, 3, want) || !slice_id(want[2], &id))
        return true; /* no line at all, which no file gets */
    while (next_entry(&file, 3, field))
        if ((field[0].n == want[0].n && memcmp(field[0].p, want[0].p, want[0].n) == 0) ||
            (slice_id(field[2], &theirs) && theirs == id))
            return true;
    return false;
}

struct err *user_lookup(const char *text, const struct strv *extra_groups, const struct user_files *files,
                        struct runtime_user *ret) {
    struct slice passwd = {files->passwd, files->passwd_len}, group = {files->group, files->group_len};
    struct runtime_user u = {.home = "/"};
    struct slice name = {0};
    const char *colon = strchr(text, ':');
    const char *group_text = colon ? colon + 1 : "";
    autofree char *user_text = colon ? mem_dupn(text, (size_t)(colon - text)) : mem_dup(text);

    if (strchr(group_text, ':'))
        return err_hint(err_new(ERR_USAGE, "invalid user %s: more than one colon", text), "write user[:group]");
    TRY(resolve_user(user_text, passwd, &u, &name));
    if (*group_text)
        TRY(resolve_group(group_text, group, &u.gid));
    TRY(add_group(&u, u.gid));
    if (!*group_text && name.n)
        TRY(add_memberships(group, name, &u));
    for (size_t i = 0; extra_groups && i < extra_groups->n; i++) {
        gid_t gid = 0;
        TRY(resolve_group(extra_groups->v[i], group, &gid));
        TRY(add_group(&u, gid));
    }
    u.groups_asked = extra_groups && extra_groups->n;
    *ret = u;
    return NULL;
}

/* A missing file is -1; a FIFO, device, directory or giant is an error (CVE-2024-9676). */
static struct err *open_user_file(int rootfd, const char *path, int flags, int *ret_fd) {
    autofd int fd = -1;
    autoerr e = path_open_in_root(rootfd, path, flags | O_NONBLOCK | O_NOCTTY, 0, &fd);
    if (e && (err_errno(e) == ENOENT || err_errno(e) == ENOTDIR))
        return NULL;
    if (e)
        return take_ptr(&e);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s of the container", path);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_CORRUPT, "%s of the container is not a regular file", path);
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *read_open_file(int fd, const char *path, struct str *out) {
    TRY_CTX(io_read_all(fd, USER_FILE_MAX, path, out), "read %s of the container", path);
    return NULL;
}

/* Appends the file's text; a missing file is an empty one. */
static struct err *read_user_file(int rootfd, const char *path, struct str *out) {
    autofd int fd = -1;
    TRY(open_user_file(rootfd, path, O_RDONLY, &fd));
    return fd < 0 ? NULL : read_open_file(fd, path, out);
}

struct err *user_entry_add(int rootfd, const char *path, const char *line) {
    autofd int fd = -1;
    autostr struct str text = STR_INIT, added = STR_INIT;
    if (!line)
        return NULL;
    TRY(open_user_file(rootfd, path, O_RDWR | O_APPEND, &fd));
    if (fd < 0)
        return NULL;
    TRY(read_open_file(fd, path, &text));
    if (user_entry_known(str_c(&text), text.len, line))
        return NULL;
    str_appendf(&added, "%s%s\n", text.len && text.ptr[text.len - 1] != '\n' ? "\n" : "", line);
    TRY_CTX(io_write_all(fd, added.ptr, added.len), "write %s of the container", path);
    return NULL;
}

struct err *runtime_user_resolve(int rootfd, const char *text, const struct strv *extra_groups,
                                 struct runtime_user *ret) {
    autostr struct str passwd = STR_INIT, group = STR_INIT;
    TRY(read_user_file(rootfd, "/etc/passwd", &passwd));
    TRY(read_user_file(rootfd, "/etc/group", &group));
    const struct user_files files = {str_c(&passwd), passwd.len, str_c(&group), group.len};
    return user_lookup(text ? text : "", extra_groups, &files, ret);
}
