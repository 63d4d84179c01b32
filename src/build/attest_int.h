/*
 * attest_int: what is said about an image beside it: how it was made, and what is in it. Statements as BuildKit stores
 * them (in-toto v0.1): provenance (https://slsa.dev/provenance/v0.2) in its minimal mode, which has neither build
 * arguments nor labels, secrets or steps, and an SPDX 2.3 document of the packages that dpkg and apk say are installed.
 *
 * The same build makes the same statements where SOURCE_DATE_EPOCH is given: the time is that, and there is no id of
 * the run.
 */
#pragma once

#include <stddef.h>

struct build_attest;
struct err;
struct exec;
struct export_index;
struct json;
struct packages;
struct strv;

/* Notes what a stage takes from elsewhere, once each: its URI (user and password in it are left away) and its digest:
 * "sha256:…", or of a commit its hex; NULL: not known. */
void attest_material(struct exec *x, const char *uri, const char *digest);
/* The same of an image: a reference as typed, and its manifest. */
void attest_image(struct exec *x, const char *reference, const char *platform, const char *manifest);
/* Takes what another process has noted. */
void attest_take(struct exec *x, const struct json *materials);
/* Adds what was wanted to the last image of an index. `names`: canonical. */
struct err *attest(struct exec *x, struct export_index *index, const struct strv *names)
    __attribute__((warn_unused_result));

/* ---- sbom.c ---- */

/* What is said of the scan, and of its subject. */
struct sbom {
    const char *name;             /* of the image */
    const char *manifest;         /* digest */
    const char *created;          /* RFC 3339 */
    const char *distro, *version; /* ID and VERSION_ID of os-release, or "" */
    const char *comment;          /* what was looked at, and what was not */
};
/* The SPDX document. */
struct json *sbom_document(const struct sbom *s, const struct packages *p)
    __attribute__((returns_nonnull, warn_unused_result));
/* Reads the packages of the target stage and makes the document's JSON. */
struct err *sbom_make(struct exec *x, const char *name, const char *manifest, struct json **ret)
    __attribute__((warn_unused_result));
