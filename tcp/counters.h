/* SPDX-License-Identifier: MIT
 *
 * What the stack counts. A packet that is dropped adds to exactly one of the drop counters. The lists make the struct
 * and the names ("drop.ip4_checksum").
 */
#ifndef TCP_COUNTERS_H
#define TCP_COUNTERS_H

#include <stdint.h>

/* X(field, "name"), one a line */
/* clang-format off */
#define NET_COUNTERS(X)                               \
    X(rx_frames, "net.rx_frames")                     \
    X(rx_bytes, "net.rx_bytes")                       \
    X(tx_frames, "net.tx_frames")                     \
    X(tx_bytes, "net.tx_bytes")                       \
    X(tx_copied, "net.tx_frames_copied_together")     \
    X(tx_loop, "net.tx_to_self")                      \
    X(arp_rx, "arp.rx")                               \
    X(arp_tx, "arp.tx")                               \
    X(nd_rx, "nd.rx")                                 \
    X(nd_tx, "nd.tx")                                 \
    X(icmp_rx, "icmp.rx")                             \
    X(icmp_tx, "icmp.tx")                             \
    X(icmp_echo, "icmp.echo_answered")                \
    X(udp_rx, "udp.rx")                               \
    X(udp_tx, "udp.tx")                               \
    X(frag_rx, "frag.rx")                             \
    X(frag_done, "frag.reassembled")                  \
    X(frag_tx, "frag.tx")                             \
    X(pmtu_updates, "pmtu.updates")                   \
    X(dhcp_leases, "dhcp.leases")                     \
    X(drop_short, "drop.short")                       \
    X(drop_eth_other, "drop.eth_not_ours")            \
    X(drop_eth_type, "drop.eth_type")                 \
    X(drop_arp, "drop.arp_malformed")                 \
    X(drop_neigh_full, "drop.neighbours_full")        \
    X(drop_neigh_queue, "drop.neighbour_queue")       \
    X(drop_unreachable, "drop.neighbour_unreachable") \
    X(drop_ip4_header, "drop.ip4_header")             \
    X(drop_ip4_checksum, "drop.ip4_checksum")         \
    X(drop_ip4_other, "drop.ip4_not_ours")            \
    X(drop_ip4_options, "drop.ip4_source_route")      \
    X(drop_ip6_header, "drop.ip6_header")             \
    X(drop_ip6_other, "drop.ip6_not_ours")            \
    X(drop_ip6_ext, "drop.ip6_extension")             \
    X(drop_martian, "drop.martian_source")            \
    X(drop_frag_bound, "drop.fragments_bound")        \
    X(drop_frag_overlap, "drop.fragments_overlap")    \
    X(drop_frag_bad, "drop.fragment_malformed")       \
    X(drop_frag_timeout, "drop.fragments_timeout")    \
    X(drop_proto, "drop.protocol")                    \
    X(drop_icmp, "drop.icmp_malformed")               \
    X(drop_icmp_rate, "drop.icmp_rate_limited")       \
    X(drop_nd, "drop.nd_malformed")                   \
    X(drop_dhcp, "drop.dhcp_malformed")               \
    X(drop_udp_header, "drop.udp_header")             \
    X(drop_udp_checksum, "drop.udp_checksum")         \
    X(drop_udp_port, "drop.udp_no_port")              \
    X(drop_udp_queue, "drop.udp_queue")               \
    X(drop_tx_full, "drop.tx_full")                   \
    X(drop_tx_route, "drop.tx_no_route")              \
    X(drop_memory, "drop.no_memory")
/* clang-format on */

/* clang-format off */
#define TCP_COUNTERS(X)                             \
    X(tcp_rx, "tcp.rx_segments")                    \
    X(tcp_rx_bytes, "tcp.rx_bytes")                 \
    X(tcp_tx, "tcp.tx_segments")                    \
    X(tcp_tx_bytes, "tcp.tx_bytes")                 \
    X(tcp_slow, "tcp.rx_slow_path")                 \
    X(tcp_active, "tcp.active_opens")               \
    X(tcp_passive, "tcp.passive_opens")             \
    X(tcp_failed, "tcp.failed_opens")               \
    X(tcp_resets_rx, "tcp.resets_received")         \
    X(tcp_resets_tx, "tcp.resets_sent")             \
    X(tcp_challenge, "tcp.challenge_acks")          \
    X(tcp_cookies_tx, "tcp.cookies_sent")           \
    X(tcp_cookies_ok, "tcp.cookies_accepted")       \
    X(tcp_retransmits, "tcp.retransmits")           \
    X(tcp_rtos, "tcp.timeouts")                     \
    X(tcp_tlps, "tcp.tail_loss_probes")             \
    X(tcp_fast_recoveries, "tcp.fast_recoveries")   \
    X(tcp_spurious, "tcp.spurious_timeouts")        \
    X(tcp_undos, "tcp.undone_recoveries")           \
    X(tcp_probes, "tcp.window_probes")              \
    X(tcp_keepalives, "tcp.keepalives")             \
    X(tcp_dup_rx, "tcp.duplicates_received")        \
    X(tcp_ooo, "tcp.out_of_order")                  \
    X(tcp_acks_tx, "tcp.pure_acks_sent")            \
    X(tcp_ecn_ce, "tcp.ecn_marks_received")         \
    X(tcp_ecn_cuts, "tcp.ecn_reductions")           \
    X(tcp_time_waits, "tcp.time_waits")             \
    X(tcp_timeouts_user, "tcp.given_up")            \
    X(drop_tcp_header, "drop.tcp_header")           \
    X(drop_tcp_checksum, "drop.tcp_checksum")       \
    X(drop_tcp_options, "drop.tcp_options")         \
    X(drop_tcp_port, "drop.tcp_no_connection")      \
    X(drop_tcp_window, "drop.tcp_outside_window")   \
    X(drop_tcp_paws, "drop.tcp_paws")               \
    X(drop_tcp_ack, "drop.tcp_bad_ack")             \
    X(drop_tcp_flags, "drop.tcp_flags")             \
    X(drop_tcp_reset, "drop.tcp_reset_not_exact")   \
    X(drop_tcp_backlog, "drop.tcp_backlog_full")    \
    X(drop_tcp_cookie, "drop.tcp_cookie_bad")       \
    X(drop_tcp_buffer, "drop.tcp_beyond_buffer")    \
    X(drop_tcp_reasm, "drop.tcp_reassembly_full")   \
    X(drop_tcp_rate, "drop.tcp_reply_rate_limited") \
    X(drop_tcp_icmp, "drop.tcp_icmp_out_of_window") \
    X(drop_tcp_closed, "drop.tcp_data_after_close") \
    X(drop_tcp_many, "drop.tcp_to_many")            \
    X(tcp_compacted, "tcp.rx_copied_together")
/* clang-format on */

#define COUNTER_FIELD(field, name) uint64_t field;
struct net_counters {
    NET_COUNTERS(COUNTER_FIELD)
    TCP_COUNTERS(COUNTER_FIELD)
};
#undef COUNTER_FIELD

#endif
