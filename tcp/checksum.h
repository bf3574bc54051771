/* SPDX-License-Identifier: MIT
 *
 * The Internet checksum (RFC 1071): ones' complement sum of 16-bit words, in the byte order of the wire, whatever the
 * host's. Sums are 64 bits wide and not folded until the end; a partial sum of an odd number of bytes may only be the
 * last one, or goes through csum_swap().
 */
#ifndef TCP_CHECKSUM_H
#define TCP_CHECKSUM_H

#include "alloc/base/bytes.h"

struct buf;

/* sum + the n bytes at p (in chunks of 8 bytes; AVX2 where there is much). */
uint64_t csum_add(uint64_t sum, const void *p, size_t n);
/* The first n bytes of a chain from `offset` on, of bufs of odd length, too. */
uint64_t csum_add_chain(uint64_t sum, const struct buf *head, size_t offset, size_t n);

static inline uint16_t csum_fold(uint64_t sum) /* as it stands in the field when complemented */
{
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}
/* A partial sum whose bytes stand at odd places of the whole (RFC 1071 2(B)). */
static inline uint64_t csum_swap(uint64_t sum) { return __builtin_bswap16(csum_fold(sum)); }
/* For an IPv4 header without options. Over a header that holds its checksum it gives 0. */
static inline uint16_t csum_ip4(const void *hdr)
{
    const uint8_t *p = hdr;
    uint64_t a = load_u64(p), b = load_u64(p + 8);
    return (uint16_t)~csum_fold((a & 0xffffffffu) + (a >> 32) + (b & 0xffffffffu) + (b >> 32) + load_u32(p + 16));
}

#endif
