/* Every command, in the order of --help. Adding one: a file in cmd/ and a line here. */
#include "cli/cli_int.h"

extern const struct cmd cmd_attach, cmd_create, cmd_exec, cmd_images, cmd_import, cmd_info, cmd_inspect,
    cmd_container_inspect, cmd_image_inspect, cmd_kill, cmd_load, cmd_logs, cmd_ps, cmd_pull, cmd_rename, cmd_restart,
    cmd_rm, cmd_rmi, cmd_run, cmd_save, cmd_start, cmd_stop, cmd_tag, cmd_version, cmd_wait, cmd_complete;

const struct cmd *const cli_commands[] = {
    &cmd_run,           &cmd_exec,     &cmd_ps,      &cmd_pull,
    &cmd_images,        &cmd_version,  &cmd_info,    &cmd_attach,
    &cmd_create,        &cmd_import,   &cmd_inspect, &cmd_container_inspect,
    &cmd_image_inspect, &cmd_kill,     &cmd_load,    &cmd_logs,
    &cmd_rename,        &cmd_restart,  &cmd_rm,      &cmd_rmi,
    &cmd_save,          &cmd_start,    &cmd_stop,    &cmd_tag,
    &cmd_wait,          &cmd_complete, NULL,
};
