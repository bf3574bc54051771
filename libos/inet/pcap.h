/* SPDX-License-Identifier: MIT
 *
 * A capture of the frames that pass through a device, in and out, as a file that tcpdump, tshark and Wireshark read:
 * pcap with nanoseconds (magic 0xa1b23c4d), link type Ethernet. A debugging aid: it is written 64 KiB at a time, by the
 * thread that works.
 */
#ifndef INET_PCAP_H
#define INET_PCAP_H

#include "alloc/base/clock.h"
#include "tcp/netdev.h"

struct counters;
struct pcap;

/* "file", or "file:64m": at most so many bytes (PCAP_SIZE_DEFAULT otherwise); frames beyond are counted
 * ("pcap.left_out") and not written. An existing file is overwritten. -errno. */
#define PCAP_SIZE_DEFAULT ((uint64_t)1 << 30)
int pcap_open(struct counters *counters, const char *spec, struct pcap **out);
/* Writes what is still held back; and so does the end. NULL is allowed. */
void pcap_flush(struct pcap *p);
void pcap_close(struct pcap *p);
/* At now_ns of the runtime's clock. A full disk ends the capture ("pcap.write_errors"). */
void pcap_frames(struct pcap *p, const struct frame *f, unsigned n, nsec now);

#endif
