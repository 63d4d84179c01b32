/*
 * signature: does a public key vouch for some bytes? Asked of coracle-unpack, so that neither libcrypto nor a
 * stranger's key or signature ever is in this process. Nothing is stored; the store says only where the helper is.
 */
#pragma once

#include <stdbool.h>

struct err;
struct store;
struct str;

struct store_signature {
    const char *key; /* SubjectPublicKeyInfo in PEM: EC, Ed25519, or RSA of at least 2048 bits */
    const struct str *payload, *signature;
};
/* Whether the key has signed the payload (ECDSA or RSA PKCS #1 v1.5 over SHA-256, Ed25519). An unusable key is an
 * error; a signature that is none is a no. */
struct err *store_signature_verify(const struct store *s, const struct store_signature *sig, bool *ret)
    __attribute__((warn_unused_result));
