/*
 * health_int: health checks. The monitor runs the test itself, as exec would: one process in the container, a pipe for
 * what it prints, one deadline for the next check and one for the check's own end. Between checks nothing is kept but
 * what stands in `struct health`; the results are in the container's directory:
 *
 *     state.json  "health": the status, for ps
 *     health.json {"FailingStreak":0,"Log":[{"Start","End","ExitCode","Output"}]}: the last five results, for inspect
 *
 * Status as docker has it: "starting" until a check succeeds or `retries` have failed in a row, failures within the
 * start period not counted; then "healthy" and "unhealthy" by the same counts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct json;

#define HEALTH_FILE "health.json"
enum { HEALTH_OUTPUT_MAX = 4096, HEALTH_LOG_MAX = 5 };

enum health_status { HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };
enum health_action { HEALTH_NONE, HEALTH_KILL, HEALTH_RESTART, HEALTH_STOP };

struct health {
    int64_t interval, timeout, start_period, start_interval; /* ns */
    int retries;
    enum health_action action; /* when it becomes unhealthy */
    enum health_status status;
    int streak;    /* failures in a row that count */
    int64_t began; /* CLOCK_BOOTTIME of the run's start */
    /* The check that runs. */
    pid_t pid; /* 0: none does */
    int pidfd, out_fd;
    bool late;      /* it was killed for taking too long */
    int64_t start;  /* CLOCK_REALTIME */
    char *output;   /* HEALTH_OUTPUT_MAX bytes */
    size_t n;       /* of them used */
    bool truncated; /* there was more */
};
/* One check's outcome. */
struct health_result {
    int64_t start, end;
    int code;           /* -1: it could not be run, or took too long */
    const char *output; /* borrowed; any bytes */
    size_t n;
    bool truncated;
};

/* From SPEC_ANN_HEALTH's object. Pure. */
void health_read(const struct json *plan, struct health *ret);
/* Judges a result that came `age` ns after the start of the run; true when the status has changed. Pure. */
bool health_judge(struct health *h, int code, int64_t age);
/* How long to wait for the next check, `age` ns after the start of the run. Pure. */
int64_t health_pause(const struct health *h, int64_t age);
/* "starting", "healthy", "unhealthy"; "" for NULL. */
const char *health_name(const struct health *h);
/* Appends a result to a log. Pure. */
void health_log_add(struct json *log, const struct health_result *r);
/* The same with the file in the container's directory; without a result only the streak is written. */
struct err *health_record(int dir_fd, int streak, const struct health_result *r) __attribute__((warn_unused_result));
