/*
 * cdi: devices by names of the Container Device Interface (specification 0.8): "vendor.com/class=name". For each of its
 * devices a vendor's file says what a container needs: variables, device nodes, mounts, hooks, groups. Part of the
 * spec's interface (spec.h), and pure: the engine finds and reads the files (engine/cdi.h); here it is checked what
 * they say, and put into the container's configuration.
 *
 *     spec_cdi_is_name()    tells such a --device from a path
 *     spec_cdi_gpus()       what --gpus asks for, as docker's DeviceRequest
 *     spec_cdi_check()      a file is refused unless all that it asks for will be done
 *     spec_input.cdi        {"Requests": [DeviceRequest …], "Edits": [containerEdits …]}, in the order to be applied
 *
 * Nodes are bound from the host, as no user namespace may make them: they keep the owner and the mode that they have
 * there, whatever a file says. Hooks run as the user, at the places that the runtime specification has for them.
 */
#pragma once

#include <stdbool.h>

struct err;
struct json;

/* Whether a text is a qualified name of a device. */
bool spec_cdi_is_name(const char *text);
/* "all", "2", "device=0", "driver=nvidia,count=1,capabilities=utility" in docker's grammar and words; usage error. *ret
 * is owned. */
struct err *spec_cdi_gpus(const char *text, struct json **ret) __attribute__((warn_unused_result));
/* The members of a CDI file that are numbers, for who reads it as YAML (base/yaml.h); ended by NULL. */
extern const char *const spec_cdi_numbers[];
/* The content of a CDI file. Errors of kind usage name the member; unsupported: what only root could do. */
struct err *spec_cdi_check(const struct json *file) __attribute__((warn_unused_result));
