/*
 * trust_simple: simple signing (containers-signature(5)). A signature is an OpenPGP message whose text is the payload;
 * the n-th one of a manifest lies at <look-aside>/<repository>@sha256=<hex>/signature-<n>. gpgv proves who made it: it
 * does that and nothing else, knows no key but those it is given, and is part of every Debian.
 */
#include "image/trust_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "image/auth_int.h"
#include "image/image.h"
#include "image/registry_int.h"
#include "storage/store.h"

#define SIGNATURE_MAX ((size_t)4 << 20)
#define SIGNATURES_MAX 128
#define STATUS_MAX ((size_t)64 << 10)

/* ---- keys: gpgv reads them in binary only ---- */

/* One "-----BEGIN … -----END …" block: lines of base64 behind the blank line that ends its headers; the line with "="
 * is a checksum. *text moves behind it. */
static struct err *dearmor_block(const char **text, struct str *out) {
    const char *body = strstr(*text, "\n\n"), *windows = strstr(*text, "\n\r\n"), *end = strstr(*text, "-----END ");
    if (windows && (!body || windows < body))
        body = windows + 1;
    if (!body || !end || body > end)
        return err_new(ERR_CORRUPT, "a key of the signature policy has damaged armor");
    autofree char *lines = mem_dupn(body, (size_t)(end - body));
    char *sum = strstr(lines, "\n=");
    if (sum)
        *sum = '\0';
    autostr struct str block = STR_INIT_MAX(SIGNATURE_MAX);
    if (!base64_decode(lines, &block))
        return err_new(ERR_CORRUPT, "a key of the signature policy has damaged armor");
    str_append_n(out, str_c(&block), block.len);
    *text = end + strlen("-----END ");
    return NULL;
}

static struct err *add_key(const char *key, struct str *out) {
    autostr struct str binary = STR_INIT_MAX(SIGNATURE_MAX);
    bool any = false;
    if (str_starts(key, "base64:") && base64_decode(key + strlen("base64:"), &binary)) {
        str_append_n(out, str_c(&binary), binary.len);
        return NULL;
    }
    for (const char *at = key; (at = strstr(at, "-----BEGIN PGP PUBLIC KEY BLOCK-----"));) {
        TRY(dearmor_block(&at, out));
        any = true;
    }
    return any ? NULL : err_new(ERR_CORRUPT, "a key of the signature policy is no OpenPGP public key");
}

/* ---- gpgv ---- */

struct proof {
    const struct trust_trial *t;
    const struct str *keyring, *signature;
    char *name; /* of the work directory, in the store's tmp */
    int dir;
};

/* Exactly one signature, good and valid: not expired, not revoked, no other beside it. */
static struct err *judge_status(const char *status, int code) {
    static const char *const bad[] = {"BADSIG ",    "ERRSIG ", "EXPSIG ",    "EXPKEYSIG ",
                                      "REVKEYSIG ", "NODATA ", "NO_PUBKEY ", "UNEXPECTED "};
    size_t good = 0, valid = 0;
    autostrv struct strv lines = {.n = 0};
    strv_split(&lines, status, '\n');
    for (size_t i = 0; i < lines.n; i++) {
        if (!str_starts(lines.v[i], "[GNUPG:] "))
            continue;
        const char *word = lines.v[i] + strlen("[GNUPG:] ");
        good += str_starts(word, "GOODSIG ");
        valid += str_starts(word, "VALIDSIG ");
        for (size_t k = 0; k < ARRAY_LEN(bad); k++)
            if (str_starts(word, bad[k]))
                return err_new(ERR_DENIED, "a signature is not by a key of the policy, or not good: %.100s", word);
    }
    if (code != 0 || good != 1 || valid != 1)
        return err_new(ERR_DENIED, "gpgv does not take a signature for a good one");
    return NULL;
}

static struct err *run_gpgv(const struct proof *p, struct str *status, int *ret_code) {
    const struct host *h = p->t->subject->host;
    autofree char *program = NULL;
    autofree char *dir = mem_printf("%s/tmp/%s", store_root(p->t->subject->store), p->name);
    autofree char *keyring = mem_printf("%s/keys.gpg", dir), *output = mem_printf("%s/payload", dir);
    autofree char *input = mem_printf("%s/signature", dir);
    int pipe[2];
    TRY(host_find_program(h, "gpgv", "gpgv", &program));
    TRY(fd_pipe(0, pipe));
    autofd int from = pipe[0], to = pipe[1];
    char *argv[] = {(char[]){"gpgv"}, (char[]){"--homedir"},   dir,           (char[]){"--keyring"},
                    keyring,          (char[]){"--status-fd"}, (char[]){"1"}, (char[]){"--output"},
                    output,           (char[]){"--"},          input,         NULL};
    const struct proc_spawn spawn = {.path = program, .argv = argv, .stdio = {-1, to, -1}, .die_with_parent = true};
    pid_t pid = -1;
    autofd int pidfd = -1;
    TRY(proc_spawn(&spawn, &pid, &pidfd));
    fd_replace(&to, -1);
    struct err *e = io_read_all(from, STATUS_MAX, "gpgv's words", status);
    fd_replace(&from, -1);
    return err_first(e, proc_reap(pid, ret_code));
}

static struct err *prove_in(const struct proof *p, struct str *payload) {
    autostr struct str status = STR_INIT_MAX(STATUS_MAX);
    int code = -1;
    TRY(io_write_file(p->dir, "keys.gpg", str_c(p->keyring), p->keyring->len, 0600, 0));
    TRY(io_write_file(p->dir, "signature", str_c(p->signature), p->signature->len, 0600, 0));
    TRY(run_gpgv(p, &status, &code));
    TRY(judge_status(str_c(&status), code));
    return io_read_file(p->dir, "payload", SIGNATURE_MAX, payload);
}

/* The payload of a signature by one of the keys. */
static struct err *prove(const struct trust_trial *t, const struct str *keyring, const struct str *signature,
                         struct str *payload) {
    struct proof p = {.t = t, .keyring = keyring, .signature = signature, .dir = -1};
    TRY(store_tmp_new(t->subject->store, &p.name, &p.dir));
    struct err *e = prove_in(&p, payload);
    err_free(store_tmp_remove(t->subject->store, p.name)); /* what is left is debris */
    fd_close(p.dir);
    free(p.name);
    return e;
}

/* ---- signatures ---- */

static struct err *get_file(const char *path, struct str *out, bool *ret_there) {
    autofd int fd = -1;
    struct err *e = fd_open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd);
    *ret_there = !e;
    if (e && (err_errno(e) == ENOENT || err_errno(e) == ENOTDIR)) {
        err_free(e);
        return NULL;
    }
    TRY(e);
    return io_read_all(fd, SIGNATURE_MAX, path, out);
}

static struct err *get_url(const struct trust_trial *t, const char *url, struct str *out, bool *ret_there) {
    if (str_starts(url, "file://"))
        return get_file(url + strlen("file://"), out, ret_there);
    struct fetch_client *client = t->subject->registry->client;
    autofd int fd = sys_memfd("signature", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a memory file");
    const struct fetch_req req = {.url = url, .max = SIGNATURE_MAX, .size = -1, .file = fd, .bell = -1};
    struct fetch_xfer x = {.done = false};
    struct err *e = fetch_start(client, &req, &x);
    if (!e)
        e = fetch_wait(client, &x);
    if (!e && x.err)
        e = take_ptr(&x.err);
    *ret_there = !e && x.status == 200;
    if (!e && x.status != 200 && x.status != 404)
        e = err_new(ERR_NETWORK, "%s: status %lld", url, (long long)x.status);
    if (*ret_there)
        e = lseek(fd, 0, SEEK_SET) < 0 ? err_sys(errno, "read a signature") : io_read_all(fd, SIGNATURE_MAX, url, out);
    fetch_xfer_done(client, &x);
    return e;
}

static struct err *try_digest(struct trust_trial *t, const struct str *keyring, const char *base, const char *digest) {
    const struct image_ref *ref = t->subject->source->ref;
    for (int n = 1; n <= SIGNATURES_MAX && !t->accepted; n++) {
        autofree char *url = mem_printf("%s/%s@sha256=%s/signature-%d", base, ref->path, digest_hex(digest), n);
        autostr struct str signature = STR_INIT_MAX(SIGNATURE_MAX), payload = STR_INIT_MAX(SIGNATURE_MAX);
        bool there = false;
        TRY_CTX(get_url(t, url, &signature, &there), "look-aside storage of signatures");
        if (!there)
            return NULL;
        t->signatures++;
        struct err *bad = prove(t, keyring, &signature, &payload);
        if (bad && err_kind(bad) == ERR_NOT_FOUND) /* gpgv itself */
            return bad;
        if (bad)
            trust_refuse(t, bad);
        else
            trust_judge_payload(t, &payload, "atomic container signature");
    }
    return NULL;
}

struct err *trust_try_simple(struct trust_trial *t) {
    autostrv struct strv keys = {.n = 0};
    autostr struct str keyring = STR_INIT_MAX(SIGNATURE_MAX);
    autofree char *base = NULL;
    TRY(trust_keys(t->rule, &keys));
    for (size_t i = 0; i < keys.n; i++)
        TRY(add_key(keys.v[i], &keyring));
    TRY(lookaside_find(t->subject->host, t->subject->source->ref, &base));
    for (size_t i = 0; i < ARRAY_LEN(t->subject->digests) && t->subject->digests[i] && !t->accepted; i++)
        TRY(try_digest(t, &keyring, base, t->subject->digests[i]));
    return NULL;
}
