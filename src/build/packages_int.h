/*
 * packages_int: what the package managers of an image say is installed in it. Text of whoever made the image: what is
 * no entry is left out, nothing in it is followed. Pure.
 */
#pragma once

#include <stddef.h>

struct package {
    const char *type;                     /* "deb", "apk": purl's word; static */
    char *name, *version, *arch, *source; /* visible ASCII; "" where it is not said */
    char *license;                        /* apk's; "" */
};
struct packages {
    struct package *v;
    size_t n;
};
enum { PACKAGES_MAX = 100000 };

/* Of /var/lib/dpkg/status, or one file of status.d: paragraphs whose Status ends with "installed", or that have none.
 * Appended; beyond PACKAGES_MAX nothing is. */
void packages_of_dpkg(const char *text, struct packages *out);
/* Of /lib/apk/db/installed. */
void packages_of_apk(const char *text, struct packages *out);
/* By type, name, version and architecture; what is there twice goes. */
void packages_sort(struct packages *p);
void packages_done(struct packages *p);
