/*
 * writer: a second pair of hands for small files. To make one costs the kernel about as much as to fill it, date it and
 * close it, and nothing of the latter needs its name; so the thread that reads the archive makes the files, and this
 * one does the rest, in batches, while the next ones are made.
 *
 * What is handed over is complete but for data and times: nothing else may have to come after them. Links to the file,
 * its removal, and the times of its directory do not care when it is filled.
 */
#pragma once

#include <stddef.h>
#include <time.h>

struct err;
struct writer;

#define WRITER_FILE_MAX ((size_t)16 << 10) /* larger files are worth no copy */

/* Starts the thread. */
struct err *writer_new(struct writer **ret) __attribute__((warn_unused_result));
/*
 * Room for the data of the next file; `size` is at most WRITER_FILE_MAX. The error is that of an earlier file;
 * after one, files that were handed over may stay open, and the process had better end.
 */
struct err *writer_room(struct writer *w, size_t size, void **ret) __attribute__((warn_unused_result));
/* Hands over the file whose data are in the room; without this call the room is simply used again. */
void writer_hand_over(struct writer *w, int take_fd, const struct timespec times[2]);
/* Waits until all files are written and closed, and frees the writer. */
struct err *writer_finish(struct writer *take_writer) __attribute__((warn_unused_result));
