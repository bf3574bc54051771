/* SPDX-License-Identifier: MIT
 *
 * A section of INFO in the making: what its files (info.c, info_memory.c) write with.
 */
#ifndef SERVER_OBSERVE_INFO_SECTION_H
#define SERVER_OBSERVE_INFO_SECTION_H

#include <stddef.h>
#include <stdint.h>

struct reply;
struct server;
struct worker;

struct info {
    struct worker *w;
    struct server *srv;
    struct reply *text;
    size_t used; /* memory before this text took any */
    /* private to info_text.c */
    size_t n;
    char waiting[4096]; /* goes to the text when it is full, and by info_flush() */
};

/* Text of any length, without a line's end; and with it. */
void info_part(struct info *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define info_line(in, fmt, ...) info_part(in, fmt "\r\n", ##__VA_ARGS__)
/* At the end. */
void info_flush(struct info *in);

/* server/observe/info_memory.c */
void info_memory(struct info *in);
/* server/observe/info_upstream.c: of a replica */
void info_upstream(struct info *in);

#endif
