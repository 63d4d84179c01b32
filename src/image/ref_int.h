/* ref_int: the pieces of the reference grammar that loading and pulling need too. */
#pragma once

#include <stdbool.h>

#define REF_DOCKER_DOMAIN "docker.io"
#define REF_NAME_MAX 255

/* True for [\w][\w.-]{0,127}. */
bool ref_tag_ok(const char *tag);
/* True for host[:port] as the reference grammar has it. */
bool ref_domain_ok(const char *domain);
/* True for repository paths ("library/debian"). */
bool ref_path_ok(const char *path);
