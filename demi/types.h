/* SPDX-License-Identifier: MIT
 *
 * Types of the queue API. Layouts are those of Demikernel 1.5.13 (its API of May 2024 to May 2025),
 * packed, so that programs and objects compiled against either agree:
 *
 *   demi_sgaseg_t 12   demi_sgarray_t 40   demi_accept_result_t 20   demi_qresult_t 64   demi_args 20
 */
#ifndef DEMI_TYPES_H
#define DEMI_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "demi/cc.h"
#include <netinet/in.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Segments in a scatter-gather array. Longer pushes: demi_pushv() in demi/ext.h. */
#define DEMI_SGARRAY_MAXSIZE 1

/* An operation that was started and not yet waited for. Opaque; a token that was waited for, was never
 * given out or belongs to another thread is refused with EINVAL. */
typedef uint64_t demi_qtoken_t;

/* One contiguous piece of memory inside sga_buf. */
typedef struct __attribute__((__packed__)) demi_sgaseg {
    void *sgaseg_buf;
    uint32_t sgaseg_len; /* bytes */
} demi_sgaseg_t;

typedef struct __attribute__((__packed__)) demi_sgarray {
    void *sga_buf; /* the library's handle: leave it alone, and give it back with demi_sgafree() */
    uint32_t sga_numsegs;
    demi_sgaseg_t sga_segs[DEMI_SGARRAY_MAXSIZE];
    struct sockaddr_in sga_addr; /* who sent it: set by a pop on a datagram socket */
} demi_sgarray_t;

typedef enum demi_opcode {
    DEMI_OPC_INVALID = 0,
    DEMI_OPC_PUSH,
    DEMI_OPC_POP,
    DEMI_OPC_ACCEPT,
    DEMI_OPC_CONNECT,
    DEMI_OPC_CLOSE,
    DEMI_OPC_FAILED,
    /* Beyond Demikernel's: results of the calls in demi/ext.h. */
    DEMI_OPC_TIMER = 16,
    DEMI_OPC_TASK,
    DEMI_OPC_WAKE,
    DEMI_OPC_SYNC,
    DEMI_OPC_POLL,
} demi_opcode_t;

typedef struct __attribute__((__packed__)) demi_accept_result {
    int32_t qd;
    struct sockaddr_in addr;
} demi_accept_result_t;

/* The same result of a client that came by IPv6 (addr.sin6_family is AF_INET6; both families lie at the same place).
 * Beyond Demikernel's. */
typedef struct __attribute__((__packed__)) demi_accept_result6 {
    int32_t qd;
    struct sockaddr_in6 addr;
} demi_accept_result6_t;

typedef struct __attribute__((__packed__)) demi_qresult {
    enum demi_opcode qr_opcode;
    int32_t qr_qd;       /* the queue the operation was started on */
    demi_qtoken_t qr_qt; /* its token */
    int64_t qr_ret;      /* 0, or with DEMI_OPC_FAILED the errno; demi/ext.h says what its calls put here */
    union {
        demi_sgarray_t sga;
        demi_accept_result_t ares;
        demi_accept_result6_t ares6;
    } qr_value;
} demi_qresult_t;

/* Called when a profiled scope ends, with its name and its length in cycles. */
typedef void (*demi_callback_t)(const char *scope_name, uint32_t name_length, uint64_t duration_cycles);

struct __attribute__((__packed__)) demi_args {
    int argc;
    char *const *argv;
    demi_callback_t callback;
};

#ifdef __cplusplus
}
#endif

#endif
