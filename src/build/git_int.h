/*
 * git_int: sources that are git repositories: build contexts, and ADD. The user's own `git` fetches them, with what it
 * knows of the user's keys and proxies, but with no hook, no template, no question on the terminal, and no protocol
 * but http, https, ssh and git: neither a Dockerfile nor a repository's submodules can have it read files or run
 * programs of the host.
 */
#pragma once

#include <stdbool.h>

struct err;
struct host;

struct git_url {
    char *remote;       /* what git is given */
    char *ref, *subdir; /* of "#ref:subdir", or NULL */
};
/* Whether a text means a repository: git://…, ssh://…, git@host:path, http(s)://….git, github.com/…; pure. */
bool git_url_is(const char *text);
/* Takes it apart. Usage errors for what git would misunderstand. */
struct err *git_url_parse(const char *text, struct git_url *ret) __attribute__((warn_unused_result));
void git_url_done(struct git_url *u);
#define autogiturl __attribute__((cleanup(git_url_done))) struct git_url

struct git_fetch {
    const struct host *host;
    const char *text; /* the URL, for errors */
    const struct git_url *url;
    const char *directory; /* absolute, empty: gets the files */
    bool keep_git_dir;
};
#define GIT_COMMIT_MAX 80
/* Checks out the tree of a repository, with its submodules. */
struct err *git_fetch(const struct git_fetch *g, char ret_commit[GIT_COMMIT_MAX]) __attribute__((warn_unused_result));
