/*
 * cdi: finds what a CDI device needs (spec/cdi.h says what the names and files are). Files lie in /etc/cdi,
 * /var/run/cdi and in the user's own $XDG_CONFIG_HOME/cdi and $XDG_RUNTIME_DIR/cdi, or where "cdi-spec-dirs" of the
 * configuration says; a device of a later directory is taken before one of the same name in an earlier, and two in one
 * directory are a conflict. They are read when a container is made, and only for one that asks for such a device.
 */
#pragma once

struct config;
struct container_options;
struct err;
struct host;
struct json;

/* What --device and --gpus name, for spec_input.cdi; NULL where they name nothing of CDI. Owned. A device that no file
 * has is an error that lists what could not be read, too. */
struct err *cdi_resolve(const struct host *h, const struct config *config, const struct container_options *o,
                        struct json **ret) __attribute__((warn_unused_result));
