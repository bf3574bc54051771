/* SPDX-License-Identifier: MIT
 *
 * A file that one of the tools reads from its beginning to its end, and what the tool says meanwhile. No loop, no
 * library OS: a tool has nobody else to serve.
 *
 * Where standard error is a terminal and the file is long, a bar there shows how far it is.
 */
#ifndef SERVER_PERSIST_CHECK_FILE_H
#define SERVER_PERSIST_CHECK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

struct check_file {
    uint64_t size; /* when it was opened; 0 for what has none */
    bool regular;  /* it has a size, and can be cut */
    bool ended;    /* a read found the end */
    int error;     /* -errno of the read that failed */
    /* private */
    int fd;
    uint64_t at;
    bool has_bar;
    int shown; /* percent in the bar; -1: there is none on the screen */
};

enum check_file_flag { CHECK_FILE_WRITABLE = 1, CHECK_FILE_BAR = 2 };
/* 0 or -errno. flags: enum check_file_flag. */
int check_file_open(struct check_file *f, const char *path, unsigned flags);
void check_file_close(struct check_file *f);
/* The next read begins there. 0 or -errno. */
int check_file_seek(struct check_file *f, uint64_t at);
/* f; up to size bytes, 0 at the end, or -errno: what RDB sources and the scan of a log call. */
long check_file_read(void *f, char *buf, size_t size);
/* Cuts it to `size` and waits until the disk has that. -EAGAIN: it is not as long any more as it was when it was
 * opened, so somebody is writing; nothing was changed. */
int check_file_cut(struct check_file *f, uint64_t size);

/* To standard output, past the bar. */
void check_say(struct check_file *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What a terminal shows as it is; the rest as \xNN; what is long is cut. Returns out. */
enum { CHECK_SHOWN_SIZE = 1024 };
const char *check_shown(struct bytes b, char out[CHECK_SHOWN_SIZE]);

#endif
