/* binfmt: which programs of other architectures the kernel can run here. See platforms_int.h. */
#include "build/platforms_int.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "build/build.h"

#define BINFMT "/proc/sys/fs/binfmt_misc"

enum { ELF_HEAD = 20, ENTRY_MAX = 4096, MAGIC_MAX = 128, ET_EXEC_ = 2, ET_DYN_ = 3 };

/* How the programs of an architecture begin (ELF gABI, e_ident and e_machine). */
static const struct machine {
    const char *arch;
    unsigned char class, data; /* 1: 32 bits, 2: 64; 1: little-endian, 2: big */
    uint16_t machine;
} machines[] = {
    {"386", 1, 1, 3},      {"amd64", 2, 1, 62},    {"arm", 1, 1, 40},   {"arm64", 2, 1, 183},  {"loong64", 2, 1, 258},
    {"mips", 1, 2, 8},     {"mipsle", 1, 1, 8},    {"mips64", 2, 2, 8}, {"mips64le", 2, 1, 8}, {"ppc64", 2, 2, 21},
    {"ppc64le", 2, 1, 21}, {"riscv64", 2, 1, 243}, {"s390x", 2, 2, 22},
};

static const struct machine *find(const char *arch) {
    for (size_t i = 0; i < ARRAY_LEN(machines); i++)
        if (str_eq(machines[i].arch, arch))
            return &machines[i];
    return NULL;
}

bool binfmt_known(const char *arch) { return find(arch) != NULL; }

static void head_of(const struct machine *m, unsigned char type, unsigned char ret[ELF_HEAD]) {
    const bool big = m->data == 2;
    static const unsigned char magic[4] = {0x7f, 'E', 'L', 'F'};
    memset(ret, 0, ELF_HEAD);
    memcpy(ret, magic, sizeof magic);
    ret[4] = m->class;
    ret[5] = m->data;
    ret[6] = 1;
    ret[big ? 17 : 16] = type;
    ret[big ? 18 : 19] = (unsigned char)(m->machine >> 8);
    ret[big ? 19 : 18] = (unsigned char)m->machine;
}

/* ---- entries ---- */

/* "7f45" as bytes; their number, 0 where it is nothing like that. */
static size_t from_hex(const char *hex, size_t n, unsigned char ret[MAGIC_MAX]) {
    static const char digits[] = "0123456789abcdef";
    if (n % 2 || n / 2 > MAGIC_MAX)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = hex[i] ? strchr(digits, hex[i]) : NULL;
        if (!at)
            return 0;
        ret[i / 2] = (unsigned char)((i % 2 ? ret[i / 2] << 4 : 0) | (at - digits));
    }
    return n / 2;
}

/* What follows a word at the beginning of a line; its length. */
static size_t field(const char *text, const char *word, const char **ret) {
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (str_starts(line, word)) {
            *ret = line + strlen(word);
            return strcspn(*ret, "\n");
        }
    *ret = "";
    return 0;
}

struct entry {
    unsigned char magic[MAGIC_MAX], mask[MAGIC_MAX];
    size_t n, n_mask;
};

static bool matches(const struct entry *e, const unsigned char head[ELF_HEAD]) {
    for (size_t i = 0; i < e->n; i++) {
        unsigned char mask = i < e->n_mask ? e->mask[i] : 0xff, have = i < ELF_HEAD ? head[i] : 0;
        if ((have & mask) != (e->magic[i] & mask))
            return false;
    }
    return true;
}

bool binfmt_entry_runs(const char *text, const char *arch) {
    const struct machine *m = find(arch);
    const char *flags, *magic, *mask, *offset;
    unsigned char head[ELF_HEAD];
    struct entry e = {.n = 0};
    size_t n_flags = field(text, "flags: ", &flags), n_offset = field(text, "offset ", &offset);
    size_t n_magic = field(text, "magic ", &magic), n_mask = field(text, "mask ", &mask);
    if (!m || !str_starts(text, "enabled") || !memchr(flags, 'F', n_flags) || n_offset != 1 || *offset != '0')
        return false;
    e.n = from_hex(magic, n_magic, e.magic);
    e.n_mask = from_hex(mask, n_mask, e.mask);
    if (!e.n)
        return false;
    head_of(m, ET_EXEC_, head);
    if (matches(&e, head))
        return true;
    head_of(m, ET_DYN_, head);
    return matches(&e, head);
}

/* ---- this machine ---- */

struct looking {
    int dir;
    const char *arch;
    bool found;
};

static struct err *look(void *ctx, const char *name, unsigned char d_type) {
    struct looking *l = ctx;
    autofd int fd = -1;
    autostr struct str text = STR_INIT;
    (void)d_type;
    if (l->found || str_eq(name, "register") || str_eq(name, "status"))
        return NULL;
    autoerr e = fd_open_at(l->dir, name, O_RDONLY | O_NOFOLLOW, 0, &fd);
    if (!e)
        e = io_read_all(fd, ENTRY_MAX, name, &text);
    l->found = !e && binfmt_entry_runs(str_c(&text), l->arch);
    return NULL;
}

/* Those of the same family are run by the machine itself. */
static bool runs_itself(const char *here, const char *arch) {
    return str_eq(here, arch) || (str_eq(here, "amd64") && str_eq(arch, "386")) ||
           (str_eq(here, "arm64") && str_eq(arch, "arm"));
}

struct err *binfmt_check(const struct host *h, const char *arch) {
    struct looking l = {.dir = -1, .arch = arch};
    autofd int dir = -1;
    if (!*arch || runs_itself(h->arch, arch))
        return NULL;
    autoerr none = fd_open_dir(AT_FDCWD, BINFMT, &dir);
    l.dir = dir;
    autoerr unread = none ? NULL : io_each_entry(dir, look, &l);
    (void)unread;
    return l.found ? NULL
                   : err_hint(err_new(ERR_UNSUPPORTED,
                                      "its programs are for %s, this machine runs %s, and " BINFMT
                                      " has no interpreter for them with the flag F",
                                      arch, h->arch),
                              "install qemu-user-static and binfmt-support on the host, or have what runs in a stage "
                              "FROM --platform=$BUILDPLATFORM and COPY its result");
}

void build_platforms(const struct host *h, struct str *ret) {
    str_appendf(ret, "linux/%s", h->arch);
    for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
        autoerr cannot = binfmt_check(h, machines[i].arch);
        if (!cannot && !str_eq(machines[i].arch, h->arch))
            str_appendf(ret, ", linux/%s", machines[i].arch);
    }
}
