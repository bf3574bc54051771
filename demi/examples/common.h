/* SPDX-License-Identifier: MIT
 *
 * What the examples share and what says nothing about the library: options, giving up, and a clock.
 */
#ifndef DEMI_EXAMPLES_COMMON_H
#define DEMI_EXAMPLES_COMMON_H

#include <arpa/inet.h>
#include <demi/libos.h>
#include <demi/types.h>
#include <demi/wait.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
    int is_server;
    struct sockaddr_in addr;
    size_t size; /* bytes a message */
    long count;  /* messages */
};

/* Every call returns 0 or an errno: an example has nothing better to do about one than to say so. */
#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        int error_ = (call);                                                                                           \
        if (error_ != 0) {                                                                                             \
            fprintf(stderr, "%s: %s\n", #call, strerror(error_));                                                      \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline void options_parse(struct options *o, int argc, char *const argv[], size_t size, long count)
{
    memset(o, 0, sizeof *o);
    o->size = argc > 4 ? (size_t)strtoul(argv[4], NULL, 10) : size;
    o->count = argc > 5 ? strtol(argv[5], NULL, 10) : count;
    o->addr.sin_family = AF_INET;
    if (argc < 4 || argc > 6 || (strcmp(argv[1], "--server") != 0 && strcmp(argv[1], "--client") != 0) ||
        inet_pton(AF_INET, argv[2], &o->addr.sin_addr) != 1 || o->size < 1 || o->size > 65507 || o->count < 1) {
        fprintf(stderr, "usage: %s --server|--client ADDR PORT [SIZE] [COUNT]\n", argv[0]);
        exit(1);
    }
    o->addr.sin_port = htons((unsigned short)strtoul(argv[3], NULL, 10));
    o->is_server = strcmp(argv[1], "--server") == 0;
}

/* Waits for one operation, for as long as it takes, and insists that it succeeded. */
static inline demi_qresult_t await(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    MUST(demi_wait(&qr, qt, NULL));
    if (qr.qr_opcode == DEMI_OPC_FAILED) {
        fprintf(stderr, "operation on %d: %s\n", (int)qr.qr_qd, strerror((int)qr.qr_ret));
        exit(1);
    }
    return qr;
}

static inline double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

#endif
