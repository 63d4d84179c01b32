/*
 * wall: a second wall around a helper, by Landlock (Linux 5.13), where the kernel has it: beside namespaces,
 * capabilities and filters, which some helpers cannot have. The first wall of a helper without any is that it holds
 * nothing.
 *
 * A wall stands until the process ends, in all of its children and threads that begin later, and only ever gets higher.
 * What was open before stays open. Needs no_new_privs. Where the kernel has less of it, less of it stands.
 */
#pragma once

#include <stdbool.h>

/*
 * For who reads files and talks to servers, and does nothing else: from now on no file can be opened for writing, made,
 * removed, renamed, linked, cut or executed by its path, no TCP port be bound, and no abstract socket and no process
 * outside be reached by a connection or a signal. False where this kernel has no Landlock.
 */
bool wall_read_only(void);
