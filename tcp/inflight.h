/* SPDX-License-Identifier: MIT
 *
 * Segments on their way: one record each, in order of sequence, [SND.UNA, SND.NXT) without a gap; the SYN and the FIN
 * are part of it. The SACK scoreboard (RFC 2018, 6675) and what RACK needs (RFC 8985 5.2): when each was sent last.
 *
 * A record is what was sent as one segment and is never cut by a SACK block: it counts as SACKed when all of it is. So
 * the number of records is bounded by what we sent, whatever the peer says (CVE-2019-11478); only a smaller MSS cuts
 * records, all at once.
 *
 * A record is in one of three places, and each list is walked only where something changes:
 *
 *     on the way   `flying`, in order of when it was sent last: RACK looks at the first ones only (RFC 8985 7.2)
 *     lost         `gone`, to be sent again; the lowest first, as far as that is cheap
 *     SACKed       in no list; runs of them are skipped with path compression (`skip`)
 */
#ifndef TCP_INFLIGHT_H
#define TCP_INFLIGHT_H

#include "tcp/options.h"

#include "alloc/base/clock.h"

enum seg_flags {
    SEG_SACKED = 1,
    SEG_LOST = 2,        /* in `gone` */
    SEG_RETRANS = 4,     /* sent more than once */
    SEG_APP_LIMITED = 8, /* sent while the program had no more (rate samples) */
    SEG_CUT = 16,        /* sent again only as far as the peer's window went, which had shrunk */
};

struct sent_seg {
    tcp_seq start, end;
    uint8_t flags;
    uint8_t times;       /* how often it was sent, saturating */
    uint32_t prev, next; /* private: in its list; next of a SACKed one: where to look on */
    nsec sent_at;        /* last */
};

struct seg_list { /* private; first and last mean something while count is not 0 */
    uint32_t first, last, count;
};

struct inflight {
    struct sent_seg *slots; /* a ring; NULL: no ring */
    /* room: a power of two; records have indices head to head + count - 1, which run freely */
    uint32_t room, head, count;
    uint32_t sacked, lost; /* bytes */
    struct seg_list flying, gone;
    uint32_t lost_last; /* private: which was lost last */
};

#define INFLIGHT_RECORDS_MAX 16384 /* beyond it nothing new is sent: the window of 16 Ki segments is 24 MB */

static inline struct sent_seg *inflight_at(const struct inflight *f, uint32_t i)
{
    return &f->slots[i & (f->room - 1)];
}
static inline uint32_t inflight_end(const struct inflight *f) { return f->head + f->count; }

/* Room for n more records; false: out of memory or of bound. */
bool inflight_grow(struct inflight *f, uint32_t n);
static inline bool inflight_reserve(struct inflight *f, uint32_t n)
{
    return f->room - f->count >= n || inflight_grow(f, n);
}
/* A new record behind the last, room for it being reserved, as on the way from now on. */
struct sent_seg *inflight_sent(struct inflight *f, tcp_seq start, tcp_seq end, nsec now);
/* Record i, on the way or lost, has been sent again. */
void inflight_resent(struct inflight *f, uint32_t i, nsec now);
/* Index of the record that holds seq; seq lies inside. O(log n). */
uint32_t inflight_find(const struct inflight *f, tcp_seq seq);
/* The first record is acknowledged. The ring goes when it is empty and large. */
void inflight_pop(struct inflight *f);
/* The same where nothing in the ring was ever SACKed, lost or sent again; the ring stays. */
static inline void inflight_pop_plain(struct inflight *f)
{
    f->head++;
    f->count--;
    f->flying.first = f->head;
    f->flying.count--;
}
/* The ring goes if it is empty and large. */
void inflight_tidy(struct inflight *f);
/* The first record is acknowledged up to seq, which lies inside it. */
void inflight_trim(struct inflight *f, tcp_seq seq);
/* Record i, on the way, is taken for lost. */
void inflight_lose(struct inflight *f, uint32_t i);
/* The lost ones are in order of sequence: what has to be so after a timeout, when the first is all that may leave. */
void inflight_order_losses(struct inflight *f);
/* Record i, on the way or lost, is SACKed. */
void inflight_sack(struct inflight *f, uint32_t i);
/* The first record from i on that is not SACKed; inflight_end(): none. */
uint32_t inflight_unsacked(struct inflight *f, uint32_t i);
/* Nothing is SACKed (RFC 2018 8: the peer took it back), nothing is lost: what was counts as on the way. */
void inflight_forget_sacks(struct inflight *f);
void inflight_forget_losses(struct inflight *f);
/* No record is longer than mss from now on; -ENOMEM: as it was. */
int inflight_resegment(struct inflight *f, uint32_t mss);
void inflight_free(struct inflight *f);
void inflight_check(const struct inflight *f, tcp_seq una, tcp_seq nxt);

/* On the way as far as anybody knows (RFC 6675's pipe): a retransmission takes its record out of the lost ones. */
static inline uint32_t inflight_pipe(const struct inflight *f, tcp_seq una, tcp_seq nxt)
{
    return nxt - una - f->sacked - f->lost;
}

#endif
