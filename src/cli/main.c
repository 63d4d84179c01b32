#include "base/err.h"
#include <signal.h>

#include "base/fd.h"
#include "base/proc.h"
#include "cli/cli.h"
#include "engine/engine.h"

int main(int argc, char **argv, char **envp) {
    fd_guard_stdio();
    (void)signal(SIGCHLD, SIG_DFL); /* a caller that ignores it would have the kernel take our children's exit codes */
    proc_title_init(argc, argv);
    return cli_main(argc, argv, envp);
}
