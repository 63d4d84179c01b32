/* digest: sha256 by libcrypto, loaded when the first digest is asked for. */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/id.h"
#include "base/library.h"
#include "base/mem.h"

enum { READ_CHUNK = 65536 };

/* libcrypto's EVP interface, as far as it is used; its structs stay opaque. */
struct evp {
    void *(*md_ctx_new)(void);
    void (*md_ctx_free)(void *ctx);
    const void *(*sha256)(void);
    int (*init)(void *ctx, const void *type, void *engine);
    int (*update)(void *ctx, const void *data, size_t n);
    int (*final)(void *ctx, unsigned char *md, unsigned *n);
};

struct digest_ctx {
    struct evp evp;
    void *md;
};

static struct err *evp_load(struct evp *e) {
    void *lib = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        lib = dlopen("libcrypto.so.1.1", RTLD_NOW | RTLD_LOCAL);
    /* It stays loaded: the next digest gets it for nothing. */
    if (lib && library_symbol(lib, "EVP_MD_CTX_new", &e->md_ctx_new) &&
        library_symbol(lib, "EVP_MD_CTX_free", &e->md_ctx_free) && library_symbol(lib, "EVP_sha256", &e->sha256) &&
        library_symbol(lib, "EVP_DigestInit_ex", &e->init) && library_symbol(lib, "EVP_DigestUpdate", &e->update) &&
        library_symbol(lib, "EVP_DigestFinal_ex", &e->final))
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "libcrypto is not available"), "install the package 'libssl3'");
}

struct err *digest_new(struct digest_ctx **ret) {
    struct evp evp;
    TRY(evp_load(&evp));
    void *md = evp.md_ctx_new();
    if (!md || !evp.init(md, evp.sha256(), NULL)) {
        if (md)
            evp.md_ctx_free(md);
        return err_new(ERR_UNSUPPORTED, "libcrypto refuses sha256");
    }
    struct digest_ctx *c = mem_alloc(sizeof *c);
    *c = (struct digest_ctx){.evp = evp, .md = md};
    *ret = c;
    return NULL;
}

void digest_update(struct digest_ctx *c, const void *data, size_t n) {
    if (n && !c->evp.update(c->md, data, n))
        abort(); /* cannot fail for sha256; a wrong digest must not come out */
}

void digest_final(struct digest_ctx *take_c, char ret[DIGEST_LEN + 1]) {
    static const char hex[] = "0123456789abcdef";
    unsigned char raw[64];
    unsigned n = 0;
    if (!take_c->evp.final(take_c->md, raw, &n) || n != 32)
        abort();
    memcpy(ret, "sha256:", 7);
    for (size_t i = 0; i < 32; i++) {
        ret[7 + 2 * i] = hex[raw[i] >> 4];
        ret[8 + 2 * i] = hex[raw[i] & 15];
    }
    ret[DIGEST_LEN] = '\0';
    digest_free(take_c);
}

void digest_free(struct digest_ctx *c) {
    if (!c)
        return;
    c->evp.md_ctx_free(c->md);
    free(c);
}

struct err *digest_of(const void *data, size_t n, char ret[DIGEST_LEN + 1]) {
    struct digest_ctx *c;
    TRY(digest_new(&c));
    digest_update(c, data, n);
    digest_final(c, ret);
    return NULL;
}

struct err *digest_of_fd(int fd, char ret[DIGEST_LEN + 1], long long *ret_size) {
    struct digest_ctx *c;
    TRY(digest_new(&c));
    autofree char *buf = mem_alloc(READ_CHUNK);
    long long size = 0;
    for (;;) {
        ssize_t n = read(fd, buf, READ_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            struct err *e = err_sys(errno, "read");
            digest_free(c);
            return e;
        }
        if (n == 0)
            break;
        digest_update(c, buf, (size_t)n);
        size += n;
    }
    digest_final(c, ret);
    if (ret_size)
        *ret_size = size;
    return NULL;
}
