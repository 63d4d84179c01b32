/* location: see location.h. */
#include "image/location.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "image/image.h"
#include "image/ref_int.h"

static const char *const words[] = {[IMAGE_REGISTRY] = "docker",
                                    [IMAGE_DOCKER_ARCHIVE] = "docker-archive",
                                    [IMAGE_OCI_ARCHIVE] = "oci-archive",
                                    [IMAGE_OCI] = "oci",
                                    [IMAGE_DIR] = "dir"};

const char *image_transport_name(enum image_transport transport) { return words[transport]; }

void image_location_done(struct image_location *l) {
    free(l->path);
    free(l->reference);
    *l = (struct image_location){.path = NULL};
}

static struct err *refused(const char *text) {
    if (str_starts(text, "docker-daemon:"))
        return err_hint(err_new(ERR_UNSUPPORTED, "%s: coracle does not talk to docker's daemon", text),
                        "run 'docker save %s | coracle load'", text + strlen("docker-daemon:"));
    if (str_starts(text, "containers-storage:"))
        return err_hint(err_new(ERR_UNSUPPORTED, "%s: coracle does not read another engine's store", text),
                        "run 'podman save %s | coracle load'", text + strlen("containers-storage:"));
    return NULL;
}

/* The rest of "word:rest" where the word is meant, else NULL. */
static const char *rest_of(const char *text, const char *word) {
    size_t n = strlen(word);
    if (!str_starts(text, word) || text[n] != ':')
        return NULL;
    autofree char *path = mem_dupn(text + n + 1, strcspn(text + n + 1, ":"));
    bool could_be_tag = ref_tag_ok(text + n + 1);
    return *path && (!could_be_tag || access(path, F_OK) == 0) ? text + n + 1 : NULL;
}

struct err *image_location_parse(const char *text, struct image_location *ret) {
    TRY(refused(text));
    *ret = (struct image_location){.transport = IMAGE_REGISTRY};
    for (size_t i = IMAGE_DOCKER_ARCHIVE; i < ARRAY_LEN(words); i++) {
        const char *rest = rest_of(text, words[i]);
        if (!rest)
            continue;
        size_t n = i == IMAGE_DIR ? strlen(rest) : strcspn(rest, ":");
        ret->transport = (enum image_transport)i;
        ret->path = mem_dupn(rest, n);
        ret->reference = rest[n] && rest[n + 1] ? mem_dup(rest + n + 1) : NULL;
        return NULL;
    }
    ret->reference = mem_dup(str_starts(text, "docker://") ? text + strlen("docker://") : text);
    return NULL;
}

char *image_location_name(const struct image_location *l) {
    struct image_ref ref = {.domain = NULL};
    autofree char *clean = path_clean(l->path), *base = mem_dup(path_base(clean));
    const char *tag = l->reference && ref_tag_ok(l->reference) ? l->reference : "latest";
    for (char *c = base; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    char *cut = strstr(base, ".tar");
    if (cut)
        *cut = '\0';
    autofree char *name = mem_printf("localhost/%s:%s", base, tag);
    autoerr bad = image_ref_parse(name, &ref);
    if (bad)
        return NULL;
    char *canonical = image_ref_canonical(&ref);
    image_ref_done(&ref);
    return canonical;
}
