#include "base/err.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "engine/engine.h"

int main(int argc, char **argv, char **envp) {
    fd_guard_stdio();
    return cli_main(argc, argv, envp);
}
