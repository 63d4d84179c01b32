/*
 * selinux: the labels of containers, as text. Pure: who reads the files and sets the labels is engine/labels_int.h.
 *
 * A label is "user:role:type:level". The policy of the machine says which a container's processes and files have, in
 * "/usr/share/containers/selinux/contexts", or "contexts/lxc_contexts" of the loaded policy's directory below
 * /etc/selinux (lines of key = "label"; "process", "file" and "ro_file" are read). What keeps containers of one type
 * apart is the level: "s0:c17,c803", two of 1024 categories, the lower one first, that no other container has, and that
 * its files have, too. The words of --security-opt label= change one part of it each, as docker's do.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct config;
struct container_options;
struct err;

struct selinux_labels {
    char *process, *file; /* owned; NULL: none */
    char *layers;         /* of the images' files, which all containers read */
};
/* Frees the members. */
void selinux_labels_done(struct selinux_labels *l);
#define autolabels __attribute__((cleanup(selinux_labels_done))) struct selinux_labels

/* Whether options and configuration ask for a label: --security-opt label= decides, "disable" wins; then --privileged,
 * --pid host and --ipc host take it away; then "selinux-enabled". */
bool selinux_wanted(const struct container_options *o, const struct config *c);
/* JSON array of what is relabelled at each start, with all that is in it: {"Source": path[, "Subpath"], "Label":
 * label[, "Lazy": true]}, "Lazy" only where it has another label itself; and {"Layers": label}, the files of images. */
#define SPEC_ANN_RELABEL "org.coracle.relabel"
#define SPEC_OWN_INIT "init" /* in containers/<id>: coracle-init with the container's label */
/* What a container's label is made of: spec_input's. */
struct selinux_machine {
    const struct selinux_labels *policy;
    const char *level; /* that no other container has */
    const char *same;  /* the label of the container whose processes it sees, or NULL */
};
/* What follows "label=" or "label:" in a --security-opt, or "disable" of the bare word; NULL: it is about something
 * else. Borrowed. */
const char *selinux_option(const char *security_opt);

/* The labels of the policy's file; not_found where it lacks process or file, corrupt where one is no label. */
struct err *selinux_contexts_parse(const char *text, struct selinux_labels *ret) __attribute__((warn_unused_result));
/* SELINUXTYPE of the text of /etc/selinux/config, owned; NULL: it has none that is the name of a directory. */
char *selinux_policy_name(const char *config_text);

enum { SELINUX_LEVELS = 1024 * 1023 / 2 }; /* there are that many pairs of categories */
/* A level for each number below SELINUX_LEVELS, no two the same; owned. */
char *selinux_level(uint32_t number) __attribute__((returns_nonnull, warn_unused_result));
/* Borrowed from the label; "" where the policy has no levels. */
const char *selinux_level_of(const char *label);
/* The label with another level, owned; unchanged where the policy has no levels. */
char *selinux_with_level(const char *label, const char *level) __attribute__((returns_nonnull, warn_unused_result));
/* What :z gives: any container may have it. Owned. */
char *selinux_shared(const char *file_label) __attribute__((returns_nonnull, warn_unused_result));

/* The label of a container: the policy's, at that level, changed by the options in their order, each as
 * selinux_option() returns it. Usage errors in docker's words. */
struct err *selinux_resolve(const struct selinux_labels *policy, const char *level, const struct strv *options,
                            struct selinux_labels *ret) __attribute__((warn_unused_result));
/* The options that make another container's processes the same label, appended. */
void selinux_same_as(const char *process_label, struct strv *options);

/* Whether what is at the (absolute, clean) path must never be relabelled, for the machine or the user's login would not
 * work any more: a directory of the system, `home` itself, or one that such a directory lies in. */
bool selinux_is_precious(const char *path, const char *home);
