/*
 * verify: whether a public key has signed some bytes. Key, bytes and signature may all come from a stranger: they are
 * looked at with nothing else in reach. Keys are SubjectPublicKeyInfo in PEM, what `openssl pkey -pubout` and cosign
 * write: elliptic curves and RSA with SHA-256, and Ed25519.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/unpack/ops_int.h"
#include "storage/unpack/sandbox_int.h"

#define PART_MAX ((size_t)1 << 20)
#define RSA_BITS_MIN 2048

static struct err *read_key(const struct str *pem, EVP_PKEY **ret) {
    BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!key)
        return err_new(ERR_CORRUPT, "the key is no public key in PEM");
    int kind = EVP_PKEY_get_base_id(key);
    bool good = kind == EVP_PKEY_EC || kind == EVP_PKEY_ED25519 ||
                (kind == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN);
    if (!good) {
        EVP_PKEY_free(key);
        return err_new(ERR_UNSUPPORTED, "the key is neither of an elliptic curve, Ed25519 nor RSA with 2048 bits");
    }
    *ret = key;
    return NULL;
}

/* Anything but a clear yes is a no. */
static bool is_signed(EVP_PKEY *key, const struct str *payload, const struct str *signature) {
    const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
                EVP_DigestVerify(ctx, (const unsigned char *)signature->ptr, signature->len,
                                 (const unsigned char *)payload->ptr, payload->len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

struct err *op_verify(struct op *op) {
    static const char *const names[] = {"the key", "the payload", "the signature"};
    struct str parts[3] = {STR_INIT_MAX(PART_MAX), STR_INIT_MAX(PART_MAX), STR_INIT_MAX(PART_MAX)};
    EVP_PKEY *key = NULL;
    int root = -1;
    struct err *e = sandbox_confine(SANDBOX_STREAM, -1, &root);
    if (!e)
        e = sandbox_filter();
    for (size_t i = 0; i < 3 && !e; i++)
        e = io_read_all(op->fds[i], PART_MAX, names[i], &parts[i]);
    if (!e)
        e = read_key(&parts[0], &key);
    if (!e)
        e = op_send_ok(op, json_bool(is_signed(key, &parts[1], &parts[2])));
    EVP_PKEY_free(key);
    for (size_t i = 0; i < 3; i++)
        str_done(&parts[i]);
    return e;
}
