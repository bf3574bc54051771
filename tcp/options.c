/* SPDX-License-Identifier: MIT
 *
 * Options of a header (RFC 9293 3.1, 3.2):
 *
 *     kind 0, 1           one byte: end of list, no operation
 *     any other           | kind | length, both of these included | length - 2 bytes |
 *
 * Nearly every segment of a connection with timestamps carries exactly NOP NOP TS, and nothing else: one comparison
 * sees that.
 *
 * Not here: what the options mean for a connection, TCP-AO and MD5 (RFC 5925, RFC 2385: skipped as unknown), Fast Open
 * (RFC 7413: the same).
 */
#include "tcp/options.h"

#include <errno.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

enum { KIND_END = 0, KIND_NOP = 1, KIND_MSS = 2, KIND_WSCALE = 3, KIND_SACK_OK = 4, KIND_SACK = 5, KIND_TS = 8 };
enum { LEN_MSS = 4, LEN_WSCALE = 3, LEN_SACK_OK = 2, LEN_TS = 10, LEN_SACK_BLOCK = 8 };

#define WSCALE_MAX 14          /* RFC 7323 2.3 */
#define OPTS_SIZE  40          /* TCP_OPTS_MAX */
#define NOP_NOP_TS 0x0101080au /* the four bytes in front of TSval, in the order of the wire */

static inline void read_ts(struct tcp_opts *o, const uint8_t *p)
{
    o->has |= OPT_TS;
    o->ts_val = load_be32(p);
    o->ts_ecr = load_be32(p + 4);
}

/* A SYN cannot be acknowledged selectively, so its SACK blocks mean nothing (RFC 2018 3). A block that is empty or
 * inverted is left out here; whether it lies in the window is the scoreboard's question. */
static int read_sack(struct tcp_opts *o, const uint8_t *body, unsigned n, bool syn)
{
    if (n == 0 || n % LEN_SACK_BLOCK || n / LEN_SACK_BLOCK > SACK_BLOCKS_MAX) return -EINVAL;
    if (syn) return 0;
    o->sack_count = 0;
    for (; n; n -= LEN_SACK_BLOCK, body += LEN_SACK_BLOCK) {
        struct sack_block b = {load_be32(body), load_be32(body + 4)};
        if (seq_before(b.start, b.end)) o->sack[o->sack_count++] = b;
    }
    if (o->sack_count) o->has |= OPT_SACK;
    else o->has &= (uint8_t)~OPT_SACK;
    return 0;
}

/* One option of known or unknown kind, its n bytes of body inside the header. An option that comes twice counts as
 * it came last. */
static int read_option(struct tcp_opts *o, unsigned kind, const uint8_t *body, unsigned n, bool syn)
{
    switch (kind) {
    case KIND_MSS:
        if (n != LEN_MSS - 2) return -EINVAL;
        if (!syn) return 0;
        o->has |= OPT_MSS;
        o->mss = load_be16(body);
        return 0;
    case KIND_WSCALE:
        if (n != LEN_WSCALE - 2) return -EINVAL;
        if (!syn) return 0;
        o->has |= OPT_WSCALE;
        o->wscale = body[0] > WSCALE_MAX ? WSCALE_MAX : body[0];
        return 0;
    case KIND_SACK_OK:
        if (n != LEN_SACK_OK - 2) return -EINVAL;
        if (syn) o->has |= OPT_SACK_OK;
        return 0;
    case KIND_SACK: return read_sack(o, body, n, syn);
    case KIND_TS:
        if (n != LEN_TS - 2) return -EINVAL;
        read_ts(o, body);
        return 0;
    default: return 0;
    }
}

int options_parse(const uint8_t *p, size_t n, bool syn, struct tcp_opts *out)
{
    out->has = 0;
    out->sack_count = 0;
    if (likely(n == 12 && load_be32(p) == NOP_NOP_TS)) {
        read_ts(out, p + 4);
        return 0;
    }
    for (size_t i = 0; i < n;) { /* each round takes at least one byte */
        unsigned kind = p[i];
        if (kind == KIND_END) break; /* what follows is padding (RFC 9293 3.1); its value is not looked at */
        if (kind == KIND_NOP) {
            i++;
            continue;
        }
        size_t left = n - i;
        if (left < 2 || p[i + 1] < 2 || p[i + 1] > left || read_option(out, kind, p + i + 2, p[i + 1] - 2u, syn)) {
            out->has = 0;
            out->sack_count = 0;
            return -EINVAL;
        }
        i += p[i + 1];
    }
    return 0;
}

static uint8_t *write_ts(uint8_t *p, const struct tcp_opts *o)
{
    p[0] = KIND_TS, p[1] = LEN_TS;
    store_be32(p + 2, o->ts_val);
    store_be32(p + 6, o->ts_ecr);
    return p + LEN_TS;
}

static uint8_t *write_nops(uint8_t *p, unsigned n)
{
    memset(p, KIND_NOP, n);
    return p + n;
}

/* As many of the blocks, the first ones first, as the room behind `used` bytes has place for. */
static uint8_t *write_sack(uint8_t *p, size_t used, const struct tcp_opts *o)
{
    size_t room = (OPTS_SIZE - used - 4) / LEN_SACK_BLOCK; /* 4: two NOPs, kind, length */
    size_t count = o->sack_count < room ? o->sack_count : room;
    if (count == 0) return p;
    p = write_nops(p, 2);
    *p++ = KIND_SACK;
    *p++ = (uint8_t)(2 + count * LEN_SACK_BLOCK);
    for (size_t i = 0; i < count; i++, p += LEN_SACK_BLOCK) {
        store_be32(p, o->sack[i].start);
        store_be32(p + 4, o->sack[i].end);
    }
    return p;
}

/* SACK permitted takes the place of the two NOPs in front of timestamps, and stands behind them without, as most
 * stacks write it; every part is a whole number of words, and a SYN with everything has 20 bytes. */
size_t options_write(uint8_t *p, const struct tcp_opts *o)
{
    uint8_t *at = p;
    DASSERT(!(o->has & OPT_SACK) || o->sack_count <= SACK_BLOCKS_MAX);
    DASSERT(!(o->has & OPT_WSCALE) || o->wscale <= WSCALE_MAX);
    if (likely(o->has == OPT_TS)) {
        store_be32(p, NOP_NOP_TS);
        store_be32(p + 4, o->ts_val);
        store_be32(p + 8, o->ts_ecr);
        return 12;
    }
    if (o->has & OPT_MSS) {
        *at++ = KIND_MSS, *at++ = LEN_MSS;
        store_be16(at, o->mss);
        at += 2;
    }
    if (o->has & (OPT_SACK_OK | OPT_TS)) {
        if (!(o->has & OPT_TS) || !(o->has & OPT_SACK_OK)) at = write_nops(at, 2);
        if (o->has & OPT_SACK_OK) *at++ = KIND_SACK_OK, *at++ = LEN_SACK_OK;
        if (o->has & OPT_TS) at = write_ts(at, o);
    }
    if (o->has & OPT_WSCALE) {
        at = write_nops(at, 1);
        *at++ = KIND_WSCALE, *at++ = LEN_WSCALE, *at++ = o->wscale;
    }
    if (o->has & OPT_SACK) at = write_sack(at, (size_t)(at - p), o);
    DASSERT((at - p) % 4 == 0 && at - p <= OPTS_SIZE);
    return (size_t)(at - p);
}
