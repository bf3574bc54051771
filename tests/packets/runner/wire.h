/* SPDX-License-Identifier: MIT
 *
 * Bare IP packets: made of plain fields, and taken apart again. It shares nothing with the stack but the layout of
 * headers: checksums are summed here once more, the slow way.
 */
#ifndef PACKETS_WIRE_H
#define PACKETS_WIRE_H

#include "tcp/addr.h"
#include "tcp/hdr.h"

#define WIRE_MAX 66000

struct wire { /* one packet */
    uint32_t n;
    uint8_t bytes[WIRE_MAX];
};

struct fields {
    bool v6;
    struct ip_addr src, dst;
    uint8_t proto, tos, ttl;
    bool df;
    uint16_t sport, dport;
    /* TCP */
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window, urgent;
    int doff; /* words; -1: right */
    uint8_t opts[60];
    uint32_t opts_len;
    /* ICMP */
    uint8_t icmp_type, icmp_code;
    uint32_t icmp_rest;
    /* what follows: of a packet that was taken apart it points into it */
    const uint8_t *payload;
    uint32_t payload_len;
    bool bad_checksum, bad_ip_checksum;
    int truncate; /* bytes of the L4 packet left; -1: all */
};

/* Options are padded with EOL to words. */
void wire_build(struct wire *w, const struct fields *f);
/* What is wrong with the packet, or NULL. Checksums and lengths are looked at. */
const char *wire_read(const struct wire *w, struct fields *f);

#endif
