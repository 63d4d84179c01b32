/* volumes_int: volumes as containers have them: made before the container is recorded, filled when it first starts,
 * and the anonymous ones removed with it. */
#pragma once

#include <stdbool.h>

struct engine;
struct err;
struct host;
struct id_map;
struct json;
struct spec;
struct container_options;
struct str;
struct strmap;
struct strv;

/* Makes a volume where it is missing; the lock (storage/volumes.h) is held. `labels`, `options`: key=value. */
struct err *volumes_make(struct engine *e, const char *name, bool anonymous, const struct strv *labels,
                         const struct strv *options) __attribute__((warn_unused_result));
/* The words that a volume with these options is mounted with, an array, where it is a tmpfs; else *ret is NULL. */
struct err *volumes_tmpfs(const struct strmap *options, struct json **ret) __attribute__((warn_unused_result));
/* Those of a container that is about to be recorded. *ret_lock keeps them from being removed until it is, -1: there are
 * none. */
struct err *volumes_ensure(struct engine *e, const struct spec *spec, int *ret_lock)
    __attribute__((warn_unused_result));
/* Removes the anonymous volumes of a container (container.json, or a spec's summary) that is gone, but what others
 * have, too. What is left of them goes with engine_collect().
 * Best effort. */
void volumes_drop(struct engine *e, const struct json *summary);
/* Its `volume_mounts`, of those of the spec's volumes that are there and a tmpfs; owned, NULL: none. */
struct err *volumes_mounts(struct engine *e, const struct spec *spec, struct json **ret)
    __attribute__((warn_unused_result));
/* What spec_input wants for options: `volumes_from`, owned, NULL without; and names for anonymous volumes, of which
 * `image_config` may want more. */
struct err *volumes_from(struct engine *e, const struct container_options *o, struct json **ret)
    __attribute__((warn_unused_result));
/* Its `mount_images`: what --mount type=image names, of what is there; owned, NULL: none. */
struct err *volumes_images(struct engine *e, const struct container_options *o, struct json **ret)
    __attribute__((warn_unused_result));
void volumes_fresh_names(const struct container_options *o, const struct json *image_config, struct strv *names);
/* In the container's first process (runtime.h's `prepare`): SPEC_ANN_VOLUMES of its config, carried out. */
struct err *volumes_fill(const struct engine *e, const struct json *config, int root)
    __attribute__((warn_unused_result));
/* There, too, and after it: SPEC_ANN_CHOWN. `map`: of the container's own ids, or NULL. */
struct err *volumes_give(const struct engine *e, const struct json *config, const struct id_map *map, int root)
    __attribute__((warn_unused_result));
/* There, too: opens (O_PATH) what an entry of SPEC_ANN_CHOWN or SPEC_ANN_RELABEL names, as the mount will open it. */
struct err *volumes_open_source(const struct json *one, int *ret_fd) __attribute__((warn_unused_result));
/* Whether neither U nor z nor Z may change what is open (O_PATH) and all that is in it: the system, the user's home,
 * the store or the run directory, or what one of them lies in. Also where that cannot be found out. */
bool volumes_is_precious(const struct host *h, int fd);
/* Appends an event "mount" or "unmount" for each volume of a container. */
void volumes_tell(const struct json *summary, const char *id, const char *action, struct str *batch);
