/* SPDX-License-Identifier: MIT
 *
 *     destination is multicast, or mac?               no: drop
 *     IPv4: whole or first fragment, TCP or UDP       else: take
 *     IPv6: TCP or UDP right behind the fixed header  else: take (behind extension headers the stack looks for itself)
 *     port: one of ours                               else: drop
 *
 * Classic BPF jumps forward only, by at most 255 on a condition: each comparison of a port is therefore followed by its
 * own `ret`.
 */
#include "libos/packet/filter.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "alloc/base/assert.h"

#define TAKE_BYTES 0x40000 /* more than any frame has */

struct program {
    struct sock_filter *at;
    unsigned n;
};

static void emit(struct program *p, uint16_t code, uint8_t jump_true, uint8_t jump_false, uint32_t k)
{
    ASSERT(p->n < FILTER_SIZE_MAX);
    p->at[p->n++] = (struct sock_filter){code, jump_true, jump_false, k};
}
static void load_byte(struct program *p, uint32_t at) { emit(p, BPF_LD | BPF_B | BPF_ABS, 0, 0, at); }
static void load_half(struct program *p, uint32_t at) { emit(p, BPF_LD | BPF_H | BPF_ABS, 0, 0, at); }
static void give(struct program *p, uint32_t bytes) { emit(p, BPF_RET | BPF_K, 0, 0, bytes); }

static void check_mac(struct program *p, const uint8_t mac[6])
{
    load_byte(p, 0);
    emit(p, BPF_JMP | BPF_JSET | BPF_K, 5, 0, 1); /* multicast, broadcast */
    emit(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, load_be32(mac));
    load_half(p, 4);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, load_be16(mac + 4));
    give(p, 0);
}

/* The port is in M[1]. */
static void check_port(struct program *p, const struct claims *c, unsigned which)
{
    emit(p, BPF_LD | BPF_MEM, 0, 0, 1);
    for (unsigned word = 0; word < CLAIMS_WORDS; word++)
        for (uint64_t bits = c->bits[which][word]; bits; bits &= bits - 1) {
            emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, word << 6 | (unsigned)__builtin_ctzll(bits));
            give(p, TAKE_BYTES);
        }
    if (c->ephemeral[which]) {
        emit(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, c->ephemeral_first);
        give(p, TAKE_BYTES);
    }
    give(p, 0);
}

static void check_claims(struct program *p, const struct claims *c)
{
    load_half(p, 12);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 3, 0, ETH_P_IP);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ETH_P_IPV6);
    give(p, TAKE_BYTES);
    emit(p, BPF_JMP | BPF_JA, 0, 0, 8);

    /* IPv4: M[0] the protocol, M[1] the port */
    load_half(p, 20);
    emit(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, 0x1fff);
    give(p, TAKE_BYTES);
    load_byte(p, 23);
    emit(p, BPF_ST, 0, 0, 0);
    emit(p, BPF_LDX | BPF_B | BPF_MSH, 0, 0, 14);
    emit(p, BPF_LD | BPF_H | BPF_IND, 0, 0, 16);
    emit(p, BPF_JMP | BPF_JA, 0, 0, 3);

    load_byte(p, 20); /* IPv6 */
    emit(p, BPF_ST, 0, 0, 0);
    load_half(p, 56);

    emit(p, BPF_ST, 0, 0, 1);
    emit(p, BPF_LD | BPF_MEM, 0, 0, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 3, 0, IPPROTO_UDP);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, IPPROTO_TCP);
    give(p, TAKE_BYTES);
    unsigned over = p->n;
    emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
    check_port(p, c, CLAIMS_UDP);
    p->at[over].k = p->n - over - 1;
    check_port(p, c, CLAIMS_TCP);
}

unsigned filter_build(struct sock_filter out[FILTER_SIZE_MAX], const uint8_t mac[6], const struct claims *claims)
{
    struct program p = {.at = out};
    check_mac(&p, mac);
    if (claims && claims->count[CLAIMS_TCP] + claims->count[CLAIMS_UDP] <= FILTER_PORTS_MAX) check_claims(&p, claims);
    else give(&p, TAKE_BYTES);
    return p.n;
}

int filter_attach(int fd, const uint8_t mac[6], const struct claims *claims)
{
    struct sock_filter code[FILTER_SIZE_MAX];
    struct sock_fprog prog = {.filter = code};
    prog.len = (uint16_t)filter_build(code, mac, claims);
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) ? -errno : 0;
}
