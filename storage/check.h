/*
 * check: whether a store is what store.h promises, and the few things that put it right.
 *
 * A check only reads. It takes no lock, so others go on working meanwhile: what looks wrong is looked at once more, and
 * an object that has gone since is no finding. What interrupted commands leave (debris, unreferenced layers and blobs,
 * names that lead nowhere) is legal, and counted as leftovers alone.
 *
 * What is verified: every record parses and says what its place says; every reference leads to what is there whole;
 * every blob has its digest; every layer in use is, entry by entry, what its blob unpacks to: names, types, owners,
 * modes, sizes, times, links, attributes and contents. For this the blob is unpacked once more into tmp/, a layer at a
 * time. Not verified: times of directories, and layers whose blob is not in the store.
 *
 * Repair never deletes: what is to go is moved to <root>/quarantine, beside a note that says what it was and why.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "storage/store.h"

struct err;

/* What can be done about a finding. */
enum store_remedy {
    STORE_LEFTOVER,         /* not a finding: the next sweep takes it */
    STORE_REMEDY_NONE,      /* a human's turn */
    STORE_REMEDY_MODE,      /* name: a directory or file of the root, to be closed to others */
    STORE_REMEDY_BLOB,      /* name: digest; bring it again */
    STORE_REMEDY_LAYER,     /* name: chain id; unpack it again */
    STORE_REMEDY_IMAGE,     /* name: hex id; make its record from the manifest, or bring it again */
    STORE_REMEDY_REF,       /* name: file in refs/; quarantine */
    STORE_REMEDY_NAME,      /* name: hex id of a container whose name is to be linked again */
    STORE_REMEDY_CONTAINER, /* name: hex id; quarantine */
    STORE_REMEDY_VOLUME,    /* name; write its record anew, keeping its data */
    STORE_REMEDY_SECRET,    /* name; quarantine */
    STORE_REMEDY_NETWORK,   /* name: file in networks/; quarantine */
    STORE_REMEDY_MANIFESTS, /* name: file in manifests/; quarantine */
    STORE_REMEDY_IDMAP      /* name: directory in idmaps/; quarantine, and the next start makes it again */
};

struct store_finding {
    char *kind, *name; /* "image", "layer", …; what it is called */
    char *problem;     /* one clause */
    enum store_remedy remedy;
    char *repaired; /* set by a repair: what was done; or NULL */
    char *failed;   /* … or why nothing was */
};
struct store_findings {
    struct store_finding *v;
    size_t n;
    int64_t images, references, layers, blobs, containers, volumes, networks; /* looked at */
    int64_t leftovers;
};
/* Frees the findings and empties the list. */
void store_findings_done(struct store_findings *f);
#define autofindings __attribute__((cleanup(store_findings_done))) struct store_findings

/* Adds one (of STORE_LEFTOVER: counts it), unless the same kind and name is there already. */
void store_findings_add(struct store_findings *f, enum store_remedy remedy, const char *kind, const char *name,
                        const char *problem, ...) __attribute__((format(printf, 5, 6)));

/* How a check works inside the user namespace. */
struct store_inside {
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    struct err *(*call)(void *ctx, struct err *(*fn)(void *arg), void *arg); /* in a child in the namespace */
    void *ctx;
};

/* Checks all that is storage's. `quick`: neither the bytes of blobs nor what lies in layers. What is found is added. */
struct err *store_check(struct store *s, const struct store_inside *in, bool quick, struct store_findings *ret)
    __attribute__((warn_unused_result));

/* Unpacks the blob of a layer and compares: corrupt, when the layer differs. not_found: the layer is gone meanwhile. */
struct err *store_layer_verify(struct store *s, const struct store_inside *in, const struct store_layer_ref *l)
    __attribute__((warn_unused_result));
/* The same, and puts what was unpacked in the place of a layer that differs or is missing. No container that uses it
 * may be running: the mounts of those have the files that are about to go. */
struct err *store_layer_rebuild(struct store *s, const struct store_inside *in, const struct store_layer_ref *l)
    __attribute__((warn_unused_result));

/* Whether store_container_sync() of a container is still to come, or was never done: cheap. */
bool store_container_unsynced(const struct store *s, const char *id);
/* Whether a power cut came before it, and left a container that was never acknowledged without its records: debris. */
struct err *store_container_check_torn(struct store *s, const char *id, bool *ret_torn)
    __attribute__((warn_unused_result));
/* References → ids of images that are not recorded: a pull or load was killed, or the record was lost. */
struct err *store_refs_dangling(const struct store *s, struct strmap *out) __attribute__((warn_unused_result));

/* Moves `which`/name (which as in store_dirfd) to quarantine/<which>-<name>.<random>, beside a note. */
struct err *store_quarantine(struct store *s, const char *which, const char *name, const char *why)
    __attribute__((warn_unused_result));
/* Links a container's name again; conflict when it is another's by now. */
struct err *store_name_relink(struct store *s, const char *id) __attribute__((warn_unused_result));
/* Writes a volume's record anew; the old one goes to quarantine. */
struct err *store_volume_record(struct store *s, const char *name, const char *why) __attribute__((warn_unused_result));
/* Removes everything that is in the root, the version last; nobody may be adding to it: in_use. userns. */
struct err *store_erase(struct store *s) __attribute__((warn_unused_result));
