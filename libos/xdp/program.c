/* SPDX-License-Identifier: MIT
 *
 * The program on the interface, written down as instructions: it is short, must not depend on a compiler for BPF, and
 * is loaded as it stands. What it decides, for a frame that comes in:
 *
 *     settings.exclusive                                  ours
 *     to an address that is ours alone (map `mine`)       ours: IPv4, IPv6, ARP for it, neighbour solicitation for it
 *     TCP, UDP to a port we claimed (map `ports`)         ours, by settings.*_from also all ports from one on
 *     ICMP errors about what left from such a port        ours
 *     ARP reply, neighbour advertisement from an address  ours: the stack asked (map `wanted`)
 *     everything else                                     the kernel's: VLAN tags, fragments, extension headers too
 *
 * "Ours" goes to the socket of the queue it came in on; a queue without a socket goes to the kernel.
 *
 * Registers: r6 context, r7 frame, r9 its end, r8 settings; the stack holds the key of the next look-up at r10 - 16.
 */
#include "libos/xdp/xdp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <bpf/bpf.h>

#define ETH_LEN   14
#define AT_TYPE   12
#define INSNS_MAX 256
#define JUMPS_MAX 96

enum label { PASS, OURS, V4, V6, ARP, PORT, V4_ICMP, V6_ICMP, NA, NS, LABELS };

struct code {
    struct bpf_insn in[INSNS_MAX];
    unsigned count;
    struct {
        unsigned at;
        enum label to;
    } jumps[JUMPS_MAX];
    unsigned jump_count;
    unsigned where[LABELS];
};

/* --- an assembler of a dozen lines --- */

static void emit(struct code *c, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
    if (c->count < INSNS_MAX)
        c->in[c->count] =
            (struct bpf_insn){.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm};
    c->count++;
}

static void load(struct code *c, uint8_t size, uint8_t dst, uint8_t src, int off)
{
    emit(c, BPF_LDX | BPF_MEM | size, dst, src, (int16_t)off, 0);
}
static void store(struct code *c, uint8_t size, uint8_t dst, int off, uint8_t src)
{
    emit(c, BPF_STX | BPF_MEM | size, dst, src, (int16_t)off, 0);
}
static void store_imm(struct code *c, uint8_t size, uint8_t dst, int off, int32_t imm)
{
    emit(c, BPF_ST | BPF_MEM | size, dst, 0, (int16_t)off, imm);
}
static void move(struct code *c, uint8_t dst, uint8_t src) { emit(c, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0); }
static void alu(struct code *c, uint8_t op, uint8_t dst, int32_t imm)
{
    emit(c, BPF_ALU64 | op | BPF_K, dst, 0, 0, imm);
}
static void label(struct code *c, enum label l) { c->where[l] = c->count; }

static void note_jump(struct code *c, enum label to)
{
    if (c->jump_count < JUMPS_MAX) {
        c->jumps[c->jump_count].at = c->count;
        c->jumps[c->jump_count].to = to;
    }
    c->jump_count++;
}
static void jump_if(struct code *c, uint8_t op, uint8_t dst, int32_t imm, enum label to)
{
    note_jump(c, to);
    emit(c, BPF_JMP | op | BPF_K, dst, 0, 0, imm);
}
static void jump_if_reg(struct code *c, uint8_t op, uint8_t dst, uint8_t src, enum label to)
{
    note_jump(c, to);
    emit(c, BPF_JMP | op | BPF_X, dst, src, 0, 0);
}
static void jump(struct code *c, enum label to)
{
    note_jump(c, to);
    emit(c, BPF_JMP | BPF_JA, 0, 0, 0, 0);
}
static void load_map(struct code *c, uint8_t dst, uint8_t kind, int fd)
{
    emit(c, BPF_LD | BPF_IMM | BPF_DW, dst, kind, 0, fd);
    emit(c, 0, 0, 0, 0, 0);
}

static int resolve(struct code *c)
{
    if (c->count > INSNS_MAX || c->jump_count > JUMPS_MAX) return -E2BIG;
    for (unsigned i = 0; i < c->jump_count; i++) {
        unsigned at = c->jumps[i].at;
        c->in[at].off = (int16_t)(c->where[c->jumps[i].to] - at - 1);
    }
    return 0;
}

/* --- pieces --- */

/* The frame has at least n bytes from base, else it is the kernel's. Clobbers r2. */
static void need(struct code *c, uint8_t base, int n)
{
    move(c, 2, base);
    alu(c, BPF_ADD, 2, n);
    jump_if_reg(c, BPF_JGT, 2, 9, PASS);
}

/* The address at frame + off is the next key. */
static void key_v4(struct code *c, int off)
{
    store_imm(c, BPF_DW, 10, -16, 0);
    store_imm(c, BPF_W, 10, -8, (int32_t)htonl(0xffff));
    load(c, BPF_W, 1, 7, off);
    store(c, BPF_W, 10, -4, 1);
}

static void key_v6(struct code *c, int off)
{
    for (int i = 0; i < 16; i += 4) {
        load(c, BPF_W, 1, 7, off + i);
        store(c, BPF_W, 10, -16 + i, 1);
    }
}

/* A hit is ours. Clobbers r0 to r5. */
static void ours_if_in(struct code *c, int map, int key_at)
{
    load_map(c, 1, BPF_PSEUDO_MAP_FD, map);
    move(c, 2, 10);
    alu(c, BPF_ADD, 2, key_at);
    emit(c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
    jump_if(c, BPF_JNE, 0, 0, OURS);
}

/* r3 is TCP or UDP; else on to `otherwise`. */
static void only_ports(struct code *c, enum label otherwise)
{
    emit(c, BPF_JMP | BPF_JEQ | BPF_K, 3, 0, 1, IPPROTO_TCP); /* over the next */
    jump_if(c, BPF_JNE, 3, IPPROTO_UDP, otherwise);
}

/* r5 = where IPv4's payload begins; clobbers r1. */
static void v4_payload(struct code *c)
{
    load(c, BPF_B, 1, 7, ETH_LEN);
    alu(c, BPF_AND, 1, 15);
    alu(c, BPF_LSH, 1, 2);
    jump_if(c, BPF_JLT, 1, 20, PASS);
    move(c, 5, 7);
    alu(c, BPF_ADD, 5, ETH_LEN);
    emit(c, BPF_ALU64 | BPF_ADD | BPF_X, 5, 1, 0, 0);
}

static void write_v4(struct code *c, const struct steer_maps *maps)
{
    label(c, V4);
    key_v4(c, 30);
    ours_if_in(c, maps->mine, -16);
    load(c, BPF_H, 1, 7, 20);
    alu(c, BPF_AND, 1, htons(0x3fff)); /* more fragments, offset */
    jump_if(c, BPF_JNE, 1, 0, PASS);
    v4_payload(c);
    load(c, BPF_B, 3, 7, 23);
    only_ports(c, V4_ICMP);
    need(c, 5, 4);
    load(c, BPF_H, 4, 5, 2);
    jump(c, PORT);
    /* RFC 792: an error carries the header it is about, and 8 bytes more. Ours if that left from a port of ours. */
    label(c, V4_ICMP);
    jump_if(c, BPF_JNE, 3, IPPROTO_ICMP, PASS);
    need(c, 5, 8 + 20 + 4);
    load(c, BPF_B, 1, 5, 0);
    emit(c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 2, 3);  /* unreachable */
    emit(c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1, 11); /* time exceeded */
    jump_if(c, BPF_JNE, 1, 12, PASS);                /* parameter problem */
    load(c, BPF_B, 1, 5, 8);
    jump_if(c, BPF_JNE, 1, 0x45, PASS);
    load(c, BPF_B, 3, 5, 8 + 9);
    only_ports(c, PASS);
    load(c, BPF_H, 4, 5, 8 + 20);
    jump(c, PORT);
}

static void write_v6(struct code *c, const struct steer_maps *maps)
{
    label(c, V6);
    need(c, 7, ETH_LEN + 40 + 8);
    key_v6(c, 38);
    ours_if_in(c, maps->mine, -16);
    load(c, BPF_B, 3, 7, 20);
    only_ports(c, V6_ICMP);
    load(c, BPF_H, 4, 7, ETH_LEN + 40 + 2);
    jump(c, PORT);
    label(c, V6_ICMP);
    jump_if(c, BPF_JNE, 3, IPPROTO_ICMPV6, PASS);
    load(c, BPF_B, 1, 7, ETH_LEN + 40);
    jump_if(c, BPF_JEQ, 1, 136, NA);
    jump_if(c, BPF_JEQ, 1, 135, NS);
    jump_if(c, BPF_JGT, 1, 4, PASS); /* RFC 4443: errors are 1 to 4 here */
    need(c, 7, ETH_LEN + 40 + 8 + 40 + 4);
    load(c, BPF_B, 3, 7, ETH_LEN + 40 + 8 + 6);
    only_ports(c, PASS);
    load(c, BPF_H, 4, 7, ETH_LEN + 40 + 8 + 40);
    jump(c, PORT);
    label(c, NA);
    need(c, 7, ETH_LEN + 40 + 24);
    key_v6(c, ETH_LEN + 40 + 8);
    ours_if_in(c, maps->wanted, -16);
    jump(c, PASS);
    label(c, NS);
    need(c, 7, ETH_LEN + 40 + 24);
    key_v6(c, ETH_LEN + 40 + 8);
    ours_if_in(c, maps->mine, -16);
    jump(c, PASS);
}

static void write_arp(struct code *c, const struct steer_maps *maps)
{
    label(c, ARP);
    need(c, 7, ETH_LEN + 28);
    key_v4(c, ETH_LEN + 24); /* target */
    ours_if_in(c, maps->mine, -16);
    load(c, BPF_H, 1, 7, ETH_LEN + 6);
    jump_if(c, BPF_JNE, 1, htons(2), PASS);
    key_v4(c, ETH_LEN + 14); /* sender of a reply */
    ours_if_in(c, maps->wanted, -16);
    jump(c, PASS);
}

/* r3 the protocol, r4 the port as it stands in the frame. */
static void write_port(struct code *c, const struct steer_maps *maps)
{
    label(c, PORT);
    alu(c, BPF_LSH, 3, 16);
    emit(c, BPF_ALU64 | BPF_OR | BPF_X, 3, 4, 0, 0);
    store(c, BPF_W, 10, -4, 3);
    ours_if_in(c, maps->ports, -4);
    load(c, BPF_W, 3, 10, -4);
    move(c, 4, 3);
    emit(c, BPF_ALU | BPF_END | BPF_TO_BE, 4, 0, 0, 16);
    alu(c, BPF_RSH, 3, 16);
    load(c, BPF_W, 1, 8, offsetof(struct steer_settings, tcp_from));
    emit(c, BPF_JMP | BPF_JEQ | BPF_K, 3, 0, 1, IPPROTO_TCP); /* over the next */
    load(c, BPF_W, 1, 8, offsetof(struct steer_settings, udp_from));
    jump_if_reg(c, BPF_JGE, 4, 1, OURS);
    /* falls into PASS */
}

static void write_all(struct code *c, const struct steer_maps *maps)
{
    move(c, 6, 1);
    load(c, BPF_W, 7, 6, offsetof(struct xdp_md, data));
    load(c, BPF_W, 9, 6, offsetof(struct xdp_md, data_end));
    load_map(c, 8, BPF_PSEUDO_MAP_VALUE, maps->settings);
    load(c, BPF_W, 1, 8, offsetof(struct steer_settings, exclusive));
    jump_if(c, BPF_JNE, 1, 0, OURS);
    need(c, 7, ETH_LEN + 20);
    load(c, BPF_H, 1, 7, AT_TYPE);
    jump_if(c, BPF_JEQ, 1, htons(0x0800), V4);
    jump_if(c, BPF_JEQ, 1, htons(0x86dd), V6);
    jump_if(c, BPF_JEQ, 1, htons(0x0806), ARP);
    jump(c, PASS);
    write_v4(c, maps);
    write_v6(c, maps);
    write_arp(c, maps);
    write_port(c, maps);
    label(c, PASS);
    alu(c, BPF_MOV, 0, XDP_PASS);
    emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    label(c, OURS);
    load(c, BPF_W, 2, 6, offsetof(struct xdp_md, rx_queue_index));
    load_map(c, 1, BPF_PSEUDO_MAP_FD, maps->sockets);
    alu(c, BPF_MOV, 3, XDP_PASS); /* where there is no socket */
    emit(c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map);
    emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

int steer_load(const struct steer_maps *maps)
{
    struct code c;
    memset(&c, 0, sizeof c);
    write_all(&c, maps);
    int err = resolve(&c);
    if (err) return err;
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "demi_steer", "Dual MIT/GPL", c.in, c.count, NULL);
    return fd < 0 ? -errno : fd;
}
