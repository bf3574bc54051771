/* SPDX-License-Identifier: MIT
 *
 * TCP_INFO as programs written for Linux read it: its struct of 280 bytes, shorter ones being a part of it from the
 * beginning (tcp(7)).
 */
#ifndef INET_TCP_INFO_H
#define INET_TCP_INFO_H

#include "alloc/base/assert.h"
#include "tcp/tcp.h"

struct linux_tcp_info {
    uint8_t state, ca_state, retransmits, probes, backoff, options;
    uint8_t snd_wscale : 4, rcv_wscale : 4;
    uint8_t app_limited : 1, fastopen_fail : 2;
    uint32_t rto_us, ato_us, snd_mss, rcv_mss;
    uint32_t unacked, sacked, lost, retrans, fackets; /* segments */
    uint32_t last_data_sent_ms, last_ack_sent_ms, last_data_recv_ms, last_ack_recv_ms;
    uint32_t pmtu, rcv_ssthresh, rtt_us, rttvar_us, snd_ssthresh, snd_cwnd, advmss, reordering;
    uint32_t rcv_rtt_us, rcv_space, total_retrans;
    uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    uint32_t segs_out, segs_in, notsent_bytes, min_rtt_us, data_segs_in, data_segs_out;
    uint64_t delivery_rate, busy_us, rwnd_limited_us, sndbuf_limited_us;
    uint32_t delivered, delivered_ce;
    uint64_t bytes_sent, bytes_retrans;
    uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash;
    uint16_t total_rto, total_rto_recoveries;
    uint32_t total_rto_ms, received_ce;
    uint32_t delivered_e1, delivered_e0, delivered_ce_bytes, received_e1, received_e0, received_ce_bytes;
    uint16_t accecn_fail_mode, accecn_opt_seen;
};
static_assert(sizeof(struct linux_tcp_info) == 280, "Linux's size since 6.18");

/* What the connection does not know is 0. */
void tcp_info_fill(const struct conn *c, struct linux_tcp_info *out);

#endif
