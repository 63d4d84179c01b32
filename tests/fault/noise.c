/*
 * noise [SCALE]: takes each processor away for random bursts of up to 0.5 s × SCALE (1), as a busy virtual machine
 * does, until it is killed. One processor goes on while the other stands still: what counts on two processes to keep
 * pace is found out. Root.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_US = 220000, PRIORITY = 50, THREADS_MAX = 256 };

static double scale = 1;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Mostly a scheduler's slice or two; seldom as long as a machine that is moved to another host. */
static double burst(unsigned short seed[3]) {
    double kind = erand48(seed), part = erand48(seed);
    if (kind < 0.75)
        return part * 0.04;
    return kind < 0.97 ? 0.04 + part * 0.2 : 0.2 + part * 0.3;
}

static void *take(void *cpu_number) {
    size_t cpu = (size_t)cpu_number;
    unsigned short seed[3] = {(unsigned short)cpu, (unsigned short)time(NULL), (unsigned short)getpid()};
    const struct sched_param first = {.sched_priority = PRIORITY};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    errno = pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    if (!errno)
        errno = pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
    if (errno) {
        fprintf(stderr, "noise: %s; it takes root\n", strerror(errno));
        exit(1);
    }
    for (;;) {
        usleep((useconds_t)(erand48(seed) * PAUSE_US));
        for (double end = now() + burst(seed) * scale; now() < end;)
            ;
    }
}

int main(int argc, char **argv) {
    pthread_t thread;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (argc > 1)
        scale = strtod(argv[1], NULL);
    for (long i = 0; i < n && i < THREADS_MAX; i++)
        if (pthread_create(&thread, NULL, take, (void *)i) != 0)
            return 1;
    pthread_join(thread, NULL);
    return 0;
}
