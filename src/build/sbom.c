/* sbom: an SPDX 2.3 document of what the package managers of an image have installed. See attest_int.h. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/path.h"
#include "build/attest_int.h"
#include "build/exec_int.h"
#include "build/packages_int.h"

enum { DATABASE_MAX = 64 << 20 };

/* ---- the document ---- */

static void set_unasserted(struct json *j) {
    static const char *const keys[] = {"downloadLocation", "licenseConcluded", "copyrightText"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        json_set_str(j, keys[i], "NOASSERTION");
    json_set_bool(j, "filesAnalyzed", false);
}

/* "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12". */
static char *purl(const struct sbom *s, const struct package *p) {
    autostr struct str out = STR_INIT;
    const char *home = *s->distro ? s->distro : str_eq(p->type, "deb") ? "debian" : "alpine";
    str_appendf(&out, "pkg:%s/", p->type);
    str_append_escaped(&out, home);
    str_append_c(&out, '/');
    str_append_escaped(&out, p->name);
    str_append_c(&out, '@');
    str_append_escaped(&out, p->version);
    str_append(&out, "?arch=");
    str_append_escaped(&out, p->arch);
    if (*s->distro) {
        str_append(&out, "&distro=");
        str_append_escaped(&out, s->distro);
        str_append(&out, *s->version ? "-" : "");
        str_append_escaped(&out, s->version);
    }
    return str_take(&out);
}

static struct json *package_json(const struct sbom *s, const struct package *p, const char *id) {
    struct json *j = json_object(), *refs = json_array(), *ref = json_object();
    autofree char *locator = purl(s, p);
    json_set_str(j, "name", p->name);
    json_set_str(j, "SPDXID", id);
    json_set_str(j, "versionInfo", p->version);
    set_unasserted(j);
    json_set_str(j, "licenseDeclared", "NOASSERTION");
    if (*p->license) {
        autofree char *words = mem_printf("the package says of its licence: %s", p->license);
        json_set_str(j, "licenseComments", words);
    }
    if (*p->source) {
        autofree char *from = mem_printf("built from the source package %s", p->source);
        json_set_str(j, "sourceInfo", from);
    }
    json_set_str(ref, "referenceCategory", "PACKAGE-MANAGER");
    json_set_str(ref, "referenceType", "purl");
    json_set_str(ref, "referenceLocator", locator);
    json_push(refs, ref);
    json_set(j, "externalRefs", refs);
    return j;
}

static struct json *relation(const char *of, const char *type, const char *to) {
    struct json *j = json_object();
    json_set_str(j, "spdxElementId", of);
    json_set_str(j, "relationshipType", type);
    json_set_str(j, "relatedSpdxElement", to);
    return j;
}

static struct json *image_json(const struct sbom *s) {
    struct json *j = json_object(), *sums = json_array(), *sum = json_object();
    json_set_str(j, "name", s->name);
    json_set_str(j, "SPDXID", "SPDXRef-Image");
    set_unasserted(j);
    json_set_str(j, "licenseDeclared", "NOASSERTION");
    json_set_str(j, "primaryPackagePurpose", "CONTAINER");
    json_set_str(sum, "algorithm", "SHA256");
    json_set_str(sum, "checksumValue", digest_hex(s->manifest));
    json_push(sums, sum);
    json_set(j, "checksums", sums);
    return j;
}

static struct json *creation(const struct sbom *s) {
    struct json *j = json_object(), *creators = json_array();
    json_push_str(creators, "Tool: coracle-" CORACLE_VERSION);
    json_set_str(j, "created", s->created);
    json_set(j, "creators", creators);
    json_set_str(j, "comment", s->comment);
    return j;
}

struct json *sbom_document(const struct sbom *s, const struct packages *p) {
    struct json *j = json_object(), *packages = json_array(), *relations = json_array();
    autofree char *space = mem_printf("https://spdx.org/spdxdocs/coracle-%s", digest_hex(s->manifest));
    json_push(packages, image_json(s));
    json_push(relations, relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"));
    for (size_t i = 0; i < p->n; i++) {
        autofree char *id = mem_printf("SPDXRef-Package-%s-%zu", p->v[i].type, i + 1);
        json_push(packages, package_json(s, &p->v[i], id));
        json_push(relations, relation("SPDXRef-Image", "CONTAINS", id));
    }
    json_set_str(j, "spdxVersion", "SPDX-2.3");
    json_set_str(j, "dataLicense", "CC0-1.0");
    json_set_str(j, "SPDXID", "SPDXRef-DOCUMENT");
    json_set_str(j, "name", s->name);
    json_set_str(j, "documentNamespace", space);
    json_set(j, "creationInfo", creation(s));
    json_set(j, "packages", packages);
    json_set(j, "relationships", relations);
    return j;
}

/* ---- the image's files ---- */

/* A regular file of the image; empty where there is none. */
static struct err *read_in(int root, const char *path, struct str *out) {
    autofd int fd = -1;
    struct stat st;
    struct err *e = path_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd);
    if (e) {
        bool none = err_kind(e) == ERR_NOT_FOUND || err_errno(e) == ENOTDIR;
        return none ? (err_free(e), NULL) : e;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return NULL;
    return io_read_all(fd, DATABASE_MAX, path, out);
}

struct scan {
    int root, dir;
    struct packages packages;
};

static struct err *read_part(void *ctx, const char *name, unsigned char d_type) {
    struct scan *s = ctx;
    autostr struct str text = STR_INIT;
    (void)d_type;
    if (str_ends(name, ".md5sums"))
        return NULL;
    TRY(read_in(s->dir, name, &text));
    packages_of_dpkg(str_c(&text), &s->packages);
    return NULL;
}

/* distroless images have a file for each package. */
static struct err *read_parts(struct scan *s) {
    autofd int dir = path_find_in_root(s->root, "var/lib/dpkg/status.d", O_RDONLY | O_DIRECTORY);
    if (dir < 0)
        return NULL;
    s->dir = dir;
    return io_each_entry(dir, read_part, s);
}

static struct err *read_packages(struct scan *s) {
    static const char *const apk[] = {"lib/apk/db/installed", "usr/lib/apk/db/installed"};
    autostr struct str dpkg = STR_INIT;
    TRY(read_in(s->root, "var/lib/dpkg/status", &dpkg));
    packages_of_dpkg(str_c(&dpkg), &s->packages);
    TRY(read_parts(s));
    for (size_t i = 0; i < ARRAY_LEN(apk); i++) {
        autostr struct str text = STR_INIT;
        TRY(read_in(s->root, apk[i], &text));
        packages_of_apk(str_c(&text), &s->packages);
    }
    packages_sort(&s->packages);
    return NULL;
}

static const char *comment_of(int root) {
    static const char *const rpm[] = {"var/lib/rpm", "usr/lib/sysimage/rpm"};
    for (size_t i = 0; i < ARRAY_LEN(rpm); i++) {
        autofd int dir = path_find_in_root(root, rpm[i], O_PATH | O_DIRECTORY);
        if (dir >= 0)
            return "Packages of dpkg and apk. The image has a database of rpm, which was not read; neither were "
                   "packages of languages, and files that no package manager knows of.";
    }
    return "Packages of dpkg and apk. Packages of languages, and files that no package manager knows of, were not "
           "looked for.";
}

static struct err *describe(struct exec *x, struct scan *scan, struct sbom *s, struct json **ret) {
    autostr struct str release = STR_INIT, when = STR_INIT;
    TRY(read_in(scan->root, "etc/os-release", &release));
    if (!release.len)
        TRY(read_in(scan->root, "usr/lib/os-release", &release));
    autofree char *distro = str_assigned(str_c(&release), "ID");
    autofree char *version = str_assigned(str_c(&release), "VERSION_ID");
    exec_time(x, &when);
    s->distro = distro ? distro : "";
    s->version = version ? version : "";
    s->created = str_c(&when);
    s->comment = comment_of(scan->root);
    TRY(read_packages(scan));
    *ret = sbom_document(s, &scan->packages);
    return NULL;
}

struct err *sbom_make(struct exec *x, const char *name, const char *manifest, struct json **ret) {
    autowork w = NULL;
    struct scan scan = {.root = -1};
    struct sbom s = {.name = name, .manifest = manifest};
    TRY(exec_root(x, exec_state(x), &w));
    TRY(engine_work_root(w, &scan.root));
    struct err *e = describe(x, &scan, &s, ret);
    packages_done(&scan.packages);
    return e;
}
