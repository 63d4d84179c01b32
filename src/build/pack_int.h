/*
 * pack_int: what COPY and ADD take, as a tar or as a digest. Sources are found in a root directory that they cannot
 * leave: links lead where they lead inside it. Names are sorted, so that the same files give the same bytes; hard links
 * among what is copied stay links. Owner, mode, names, kinds and contents count for the digest, times do not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct chmod;
struct digest_ctx;
struct err;
struct ignore;

struct pack_text { /* a file that is none yet: a heredoc */
    const char *name, *data;
};

struct pack {
    int root;            /* of the sources */
    struct strv sources; /* paths and patterns in it */
    bool literal;        /* they are no patterns */
    const struct pack_text *texts;
    size_t n_texts;
    const struct ignore *ignore;  /* what the context leaves out, or NULL */
    const struct ignore *exclude; /* --exclude, or NULL */
    int dest_root;                /* where it will go; -1 where that does not matter */
    const char *dest;             /* absolute, clean */
    bool dest_is_dir;             /* it ended in '/' */
    bool parents;              /* --parents: a source's directories come with it, those behind "/./" if it has that */
    int64_t uid, gid;          /* of everything; -1: as they are */
    const struct chmod *mode;  /* what everything's becomes; NULL: as they are */
    int out;                   /* the tar; or, with `digest`, gets the digest's text */
    struct digest_ctx *digest; /* taken; NULL: the tar is written */
    int notes;                 /* with `digest`: the directory of stat caches, or -1 */
    const char *note;          /* the one there (stat_cache_int.h); NULL: each file is read */
};

/* Writes the tar, or the digest. For a child in the user namespace; ctx is a struct pack. */
struct err *pack_write(void *ctx) __attribute__((warn_unused_result));
