/* SPDX-License-Identifier: MIT
 *
 * The commands of an append-only file, looked at and not kept: where does what is whole end?
 *
 *     "#TS:1700000000\r\n"                     a mark of the time
 *     "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"      a command
 *
 * It takes a window of memory, whatever the file announces. What it calls whole is what the server loads: a command
 * with all its bytes, a transaction with its EXEC, a mark with the end of its line. Bytes come from a callback; no
 * files here.
 */
#ifndef SERVER_PERSIST_AOF_SCAN_H
#define SERVER_PERSIST_AOF_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AOF_SCAN_WINDOW   65536u
#define AOF_SCAN_MARK_MAX 1024u /* bytes of a line that begins with '#', as in Redis */
#define AOF_SCAN_WHY_SIZE 160

enum aof_scan_end {
    AOF_SCAN_WHOLE,    /* to the last byte */
    AOF_SCAN_BROKEN,   /* from `whole` on */
    AOF_SCAN_LATER,    /* what follows `whole` came after until_s */
    AOF_SCAN_BAD_MARK, /* until_s is asked for, and a mark has no time in it */
    AOF_SCAN_FAILED,   /* reading did: the callback knows why */
};

struct aof_scan {
    int64_t until_s;             /* 0: to the end */
    uint64_t whole;              /* where the first byte begins that is no part of something whole */
    uint64_t lines;              /* line ends in commands, the first line being 1 */
    char why[AOF_SCAN_WHY_SIZE]; /* BROKEN: in words; empty: no command begins here, or none of its bytes is there */
    uint64_t why_at;             /* the line or string that was read last */
    bool foreign;                /* BROKEN: no command begins where one should */
    /* private */
    long (*more)(void *arg, char *buf, size_t size);
    void *arg;
    uint64_t past; /* where the window begins */
    const char *at, *end;
    bool ended, failed, in_multi;
    char window[AOF_SCAN_WINDOW];
};

/* more: up to size bytes into buf; 0: the end; below 0: it failed. start: the offset of the first byte. until_s and
 * lines may be set afterwards. */
void aof_scan_init(struct aof_scan *s, long (*more)(void *arg, char *buf, size_t size), void *arg, uint64_t start);
enum aof_scan_end aof_scan_run(struct aof_scan *s);

#endif
