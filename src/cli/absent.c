/* absent: the commands of docker's and podman's that coracle does not have. */
#include "cli/cli_int.h"

#include <string.h>

#define CHECKPOINTS "the kernel's checkpoints need root"

const struct cli_absent cli_absent[] = {
    {NULL, "compose", "compose files are not read: run their containers one by one, in a network of their own"},
    {NULL, "checkpoint", CHECKPOINTS},
    {"container", "checkpoint restore", CHECKPOINTS},
    {"container", "clone",
     "'coracle commit' keeps a container's files, 'coracle create' makes another with its options"},
    {"buildx", "create rm stop", "there is no daemon that builds: the one builder is \"default\""},
    {"buildx", "bake", "bake files are not read: 'coracle build' builds one target at a time"},
    {"buildx", "history dap debug dial-stdio policy", "a build leaves no record but its image and its cache"},
    {"context", "create export import rm update", "there is no daemon to choose: the one context is \"default\""},
    {"volume", "update", "there is no swarm"},
    {NULL, "swarm config node service stack", "coracle is for one machine"},
    {NULL, "plugin", "plugins belong to a daemon"},
    {NULL, "trust", "notary is retired, and its signatures are neither made nor checked"},
    {NULL, "pod kube", "there are no pods; --network, --pid and --ipc container:NAME share what a pod shares"},
    {NULL, NULL, NULL},
};

static bool has_word(const char *words, const char *word) {
    autostrv struct strv list = {.n = 0};
    strv_split(&list, words, ' ');
    return strv_has(&list, word);
}

const char *cli_absent_why(const char *group, const char *name) {
    for (const struct cli_absent *a = cli_absent; a->names; a++)
        if ((group ? str_eq(a->group, group) : !a->group) && has_word(a->names, name))
            return a->why;
    return NULL;
}
