/*
 * labels_int: SELinux labels of containers (docs/adr/selinux.md): what the machine has for them when one is created,
 * and where they are put when it starts. The words are spec/selinux.h's.
 *
 * At a start the container's files get its label in three ways: a file system that is mounted for it has it by a mount
 * option (the runtime's, from linux.mountLabel; labels_plan() for overlays); the tree of the copy driver, files of the
 * container's record, volumes and what :z and :Z name are relabelled; its process has it from its execve on. The files
 * of an image are relabelled once, for all containers: what is mapped is checked by the label that it has below an
 * overlay, too.
 */
#pragma once

#include <stdbool.h>

struct container_options;
struct engine;
struct engine_container;
struct err;
struct json;
struct labels;
struct rootfs_plan;
struct selinux_machine;

/* What a new container's label is made of, where it wants one and the machine has SELinux; else *ret is NULL. Owned,
 * and borrowed as labels_machine(). not_found where the policy knows no containers. */
struct err *labels_find(struct engine *e, const struct container_options *o, struct labels **ret)
    __attribute__((warn_unused_result));
const struct selinux_machine *labels_machine(const struct labels *l);
void labels_free(struct labels *l);

/* Puts the label of a config into the plan of its root and trees. */
struct err *labels_plan(const struct engine *e, const struct engine_container *c, const struct json *config,
                        struct rootfs_plan *p) __attribute__((warn_unused_result));
/* A copy of coracle-init in the container's directory, where its config wants one and has a label: *ret is its path,
 * owned. Otherwise NULL. `again`: one that is there is good. */
struct err *labels_init(const struct engine *e, const struct engine_container *c, const struct json *config, bool again,
                        char **ret) __attribute__((warn_unused_result));
/* In the container's first process (runtime.h's `prepare`): relabels what its root and trees are made of, and what
 * SPEC_ANN_RELABEL says. */
struct err *labels_put(const struct engine *e, const struct json *config, const struct rootfs_plan *p)
    __attribute__((warn_unused_result));
