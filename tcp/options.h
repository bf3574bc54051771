/* SPDX-License-Identifier: MIT
 *
 * TCP options: MSS and no-operation (RFC 9293 3.2), window scale and timestamps (RFC 7323), SACK (RFC 2018). Unknown
 * ones are skipped by their length.
 */
#ifndef TCP_OPTIONS_H
#define TCP_OPTIONS_H

#include "tcp/seq.h"

#include <stddef.h>

#define SACK_BLOCKS_MAX 4

struct sack_block {
    tcp_seq start, end; /* [start, end) */
};

enum { OPT_MSS = 1, OPT_WSCALE = 2, OPT_SACK_OK = 4, OPT_TS = 8, OPT_SACK = 16 };

struct tcp_opts {   /* a field counts only if `has` says so */
    uint8_t has;    /* enum OPT_ */
    uint8_t wscale; /* at most 14: larger ones are taken as 14 (RFC 7323 2.3) */
    uint8_t sack_count;
    uint16_t mss;
    uint32_t ts_val, ts_ecr;
    struct sack_block sack[SACK_BLOCKS_MAX];
};

/* Reads n bytes of options (0 to 40). Options of a SYN only (MSS, window scale, SACK permitted) are taken note of
 * when syn. -EINVAL: a length that is 0, 1, beyond the end, or wrong for its kind: the segment is to be dropped. */
int options_parse(const uint8_t *p, size_t n, bool syn, struct tcp_opts *out);

/* Writes what o->has says at p (40 bytes of room), padded to words; returns the size. SACK blocks that do not fit
 * are left out. */
size_t options_write(uint8_t *p, const struct tcp_opts *o);

#endif
