/* SPDX-License-Identifier: MIT
 *
 * What a script says of packets against what is on the wire. A flow is one pair of addresses and ports; between a
 * script's numbers and the wire's stand three offsets, learnt as they are first seen:
 *
 *     ours:   wire = script + local_offset    from our SYN (the script calls its number 0, or what it likes)
 *     peer's: wire = script + remote_offset   0, or what --remote_isn says
 *     our timestamps: wire = script + ts_offset, from the first that we send
 *
 * Payload is not arbitrary: each byte follows from its place in the stream, in both directions, so that what is
 * delivered or sent at a wrong place is seen.
 */
#ifndef PACKETS_FLOW_H
#define PACKETS_FLOW_H

#include "tests/packets/runner/host.h"
#include "tests/packets/runner/script.h"
#include "tests/packets/runner/wire.h"

#define FLOWS_MAX        64    /* @0 to @63 */
#define FLOW_REMOTE_PORT 40000 /* + the flow's number */
#define FLOW_LOCAL_PORT  8080

struct flow {
    int id;
    uint16_t local_port, remote_port;
    bool local_known, remote_known, ts_known;
    uint32_t local_offset, remote_offset, ts_offset;
    uint32_t local_isn, remote_isn; /* in the script's numbers */
};

struct flows {
    bool v6;
    struct ip_addr local, remote;
    uint32_t remote_isn; /* remote_offset of all */
    struct flow f[FLOWS_MAX];
};

void flows_init(struct flows *t, bool v6, const struct ip_addr *local, const struct ip_addr *remote,
                uint32_t remote_isn);
/* The next SYN begins anew: a connection between the same ports. */
void flow_forget(struct flow *f);

/* A packet to be sent to the stack. */
void flow_build(struct flows *t, const struct pkt_spec *k, struct wire *w);
/* Whether w is what k says; false: why (in `why`, of size bytes). Learns offsets. */
bool flow_matches(struct flows *t, const struct pkt_spec *k, const struct wire *w, char *why, size_t size);
/* A packet in the words of a script. */
const char *flow_print(const struct flows *t, const struct wire *w, char *out, size_t size);

/* The byte at `offset` of a stream; ours: what we send. */
static inline uint8_t flow_byte(bool ours, uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + (ours ? 101 : 3));
}

#endif
