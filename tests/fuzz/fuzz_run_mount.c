/*
 * RUN --mount, a mount a line. What is taken has a clean, absolute target that is not the root, unless it is a secret
 * that becomes a variable, and what its type needs.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "build/exec_run_int.h"
#include "build/pack_int.h"
#include "require_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json *config;

static void no_sources(struct pack *p) {
    *p = (struct pack){.sources = {.n = 0}};
    strv_push(&p->sources, "/");
}

#define exec_word(x, word, ret) ((void)(x), *(ret) = mem_dup(word), NULL)
#define exec_config(x) ((void)(x), config)
#define source_find(x, from, ret) ((void)(x), (void)(from), (void)(ret), NULL)
#define source_pack(s, path, ret) ((void)(s), (void)(path), no_sources(ret))
#define source_digest(s, p, recipe, ret) ((void)(recipe), *(ret) = '\0', NULL)
#define mount_note(r, m) ((void)(r), (void)(m), NULL)
#include "build/exec_mount.c" /* NOLINT(bugprone-suspicious-include): over the stubs above */

static void check_mount(const struct mount *m) {
    const char *target = m->field[M_TARGET];
    if (m->type != M_SECRET || !m->field[M_ENV])
        require(target);
    if (target) {
        autofree char *clean = path_clean(target);
        require(*target == '/' && target[1] && str_eq(clean, target));
    }
    if (m->type == M_SECRET || m->type == M_SSH || m->type == M_CACHE)
        require(m->field[M_ID]);
    require(m->mode >= -1 && m->mode <= 07777 && m->uid >= -1 && m->gid >= -1 && m->size >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autostrv struct strv lines = {.n = 0};
    if (!config)
        config = json_object();
    strv_split(&lines, text, '\n');
    struct df_instruction in = {.kind = DF_RUN, .n_flags = lines.n};
    in.flags = mem_array(lines.n, sizeof *in.flags);
    for (size_t i = 0; i < lines.n; i++)
        in.flags[i] = (struct df_flag){.name = mem_dup("mount"), .value = mem_dup(lines.v[i])};
    struct run r = {.in = &in};
    struct err *e = mounts_read(&r);
    if (e && err_kind(e) != ERR_USAGE)
        abort();
    for (size_t i = 0; i < r.n_mounts; i++) {
        if (!e)
            check_mount(&r.mount[i]);
        for (int k = 0; k < M_FIELDS; k++)
            free(r.mount[i].field[k]);
    }
    err_free(e);
    free(r.mount);
    str_done(&r.recipe);
    df_instruction_done(&in);
    return 0;
}
