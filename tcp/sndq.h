/* SPDX-License-Identifier: MIT
 *
 * Bytes of a connection that are unsent or unacknowledged, by sequence: a ring of bufs, each standing for [seq, seq +
 * len) of the stream. They are cut into segments when they are sent, not when they are pushed.
 *
 * A segment is the payload of one or more bufs. Where it is all of one buf that nobody else holds, its headers are
 * written into that buf's headroom and the frame is the buf itself; else a buf for headers is put in front of slices.
 * Nothing is copied.
 */
#ifndef TCP_SNDQ_H
#define TCP_SNDQ_H

#include "tcp/seq.h"

#include "alloc/buf.h"

struct sndq_entry {
    struct buf *b;
    uint8_t *p; /* the payload, whatever b's view is at the moment (it covers headers while it is on its way) */
    tcp_seq seq;
    uint32_t len : 31;
    uint32_t open : 1; /* a buf of sndq_push_copy() that has not been sent yet: more may be put behind */
};

struct sndq {
    struct sndq_entry *slots;   /* NULL: no ring */
    uint32_t room, head, count; /* room: a power of two; head runs freely */
    uint32_t bytes;             /* from the first entry's seq */
    uint32_t hint;              /* private: where the last segment was found */
};

/* Appends a chain (taken on 0; its bufs are separated). seq: behind what is there. -ENOMEM. */
int sndq_push(struct sndq *q, tcp_seq seq, struct buf *chain);
/* Copies n bytes behind the last entry if it is a copy of ours with room, else into a new one. -ENOMEM. */
int sndq_push_copy(struct sndq *q, tcp_seq seq, const void *p, uint32_t n);
/* Everything before una may go. */
void sndq_ack(struct sndq *q, tcp_seq una);
void sndq_free(struct sndq *q);

/* A chain whose first buf has len 0 or payload, and BUF_HEADROOM bytes of headroom for headers, standing for [seq,
 * seq + len), which is in the queue; at most segs_max bufs (beyond: copied together). The caller owns it, and may
 * put headers in front although others hold the buf, too. NULL: out of memory. */
struct buf *sndq_segment(struct sndq *q, tcp_seq seq, uint32_t len, unsigned segs_max);
/* The queue stands for exactly [una, end). */
void sndq_check(const struct sndq *q, tcp_seq una, tcp_seq end);

#endif
