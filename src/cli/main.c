#include "base/err.h"
#include "base/fd.h"
#include "base/proc.h"
#include "cli/cli.h"
#include "engine/engine.h"

int main(int argc, char **argv, char **envp) {
    fd_guard_stdio();
    proc_title_init(argc, argv);
    return cli_main(argc, argv, envp);
}
