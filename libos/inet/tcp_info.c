/* SPDX-License-Identifier: MIT
 *
 * See tcp_info.h.
 */
#include "libos/inet/tcp_info.h"

#include <string.h>

enum { OPT_TIMESTAMPS = 1, OPT_SACK = 2, OPT_WSCALE = 4, OPT_ECN = 8 };

static uint32_t us(nsec t) { return t == NSEC_NEVER ? UINT32_MAX : (uint32_t)(t / NSEC_PER_USEC); }
static uint32_t ms(nsec t) { return t == NSEC_NEVER ? UINT32_MAX : (uint32_t)(t / NSEC_PER_MSEC); }
static uint32_t segments(uint32_t bytes, uint16_t mss)
{
    return bytes == UINT32_MAX ? 0x7fffffff : bytes / (mss ? mss : 1); /* "no threshold yet" is so written there */
}

void tcp_info_fill(const struct conn *c, struct linux_tcp_info *out)
{
    struct conn_info i;
    conn_info(c, &i);
    memset(out, 0, sizeof *out);
    out->state = i.state;
    out->ca_state = i.ca_state;
    out->retransmits = i.retransmits;
    out->probes = i.probes;
    out->backoff = i.backoff;
    out->options = (uint8_t)((i.timestamps ? OPT_TIMESTAMPS : 0) | (i.sack ? OPT_SACK : 0) |
                             (i.wscale ? OPT_WSCALE : 0) | (i.ecn ? OPT_ECN : 0));
    out->snd_wscale = i.snd_wscale & 15;
    out->rcv_wscale = i.rcv_wscale & 15;
    out->rto_us = us(i.rto);
    out->ato_us = 40000;
    out->snd_mss = out->advmss = i.snd_mss;
    out->rcv_mss = i.rcv_mss;
    out->unacked = i.unacked_segments;
    out->sacked = i.sacked_segments;
    out->lost = i.lost_segments;
    out->retrans = i.retrans_segments;
    out->last_data_sent_ms = ms(i.since_data_sent);
    out->last_data_recv_ms = ms(i.since_data_received);
    out->last_ack_recv_ms = ms(i.since_ack_received);
    out->pmtu = i.pmtu;
    out->rcv_ssthresh = out->rcv_wnd = i.rcv_wnd;
    out->rtt_us = us(i.srtt);
    out->rttvar_us = us(i.rttvar);
    out->min_rtt_us = i.rtt_min ? us(i.rtt_min) : UINT32_MAX;
    out->snd_ssthresh = segments(i.snd_ssthresh_bytes, i.snd_mss);
    out->snd_cwnd = segments(i.snd_cwnd_bytes, i.snd_mss);
    out->reordering = i.reordering_segments;
    out->rcv_space = i.rcv_space;
    out->total_retrans = (uint32_t)i.total_retransmits;
    out->pacing_rate = i.pacing_rate ? i.pacing_rate : UINT64_MAX;
    out->max_pacing_rate = UINT64_MAX;
    out->bytes_acked = i.bytes_acked;
    out->bytes_received = i.bytes_received;
    out->bytes_sent = i.bytes_sent;
    out->bytes_retrans = i.bytes_retransmitted;
    out->segs_out = (uint32_t)i.segments_out;
    out->segs_in = (uint32_t)i.segments_in;
    out->data_segs_out = (uint32_t)i.data_segments_out;
    out->data_segs_in = (uint32_t)i.data_segments_in;
    out->notsent_bytes = i.unsent;
    out->snd_wnd = i.snd_wnd;
}
