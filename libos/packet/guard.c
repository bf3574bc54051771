/* SPDX-License-Identifier: MIT
 *
 * The map is claims' bits, 64 ports an element, TCP first. The program, in C:
 *
 *     if (IPv4) { if (fragment offset) next; proto = ...; port = destination behind the header's length; }
 *     else if (IPv6) { proto = next header; port = at 56; }   (with extension headers: left to the kernel)
 *     if (proto is TCP or UDP && map[proto][port >> 6] >> (port & 63) & 1) drop; else next;
 *
 * Everything by bpf(2) itself: libbpf would be a library to depend on for three calls. Where TCX is missing (before
 * Linux 6.6) the device works all the same and says so; a rule in iptables or nftables does its work there.
 */
#include "libos/packet/guard.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS of Linux 6.6, which older headers lack */
#define TC_SHOT     2  /* TC_ACT_SHOT */
#define TCX_NEXT    (-1)

static long bpf(int cmd, union bpf_attr *attr) { return syscall(SYS_bpf, cmd, attr, sizeof *attr); }

#define INSN(c, d, s, o, i)    ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define LOAD_PACKET(size, at)  INSN(BPF_LD | BPF_ABS | (size), 0, 0, 0, at)
#define MOV_REG(d, s)          INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i)          INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ALU_IMM(op, d, i)      INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define JUMP_IMM(op, d, i, to) INSN(BPF_JMP | (op) | BPF_K, d, 0, to, i)

static int load_program(int map)
{
    enum { PASS = 37 }; /* the index of "next" */
#define TO_PASS(here) ((int16_t)(PASS - (here)-1))
    struct bpf_insn code[] = {
        /* 0 */ MOV_REG(BPF_REG_6, BPF_REG_1), /* where LOAD_PACKET looks for the frame */
        /* 1 */ LOAD_PACKET(BPF_H, 12),
        /* 2 */ JUMP_IMM(BPF_JEQ, BPF_REG_0, ETH_P_IPV6, 11), /* -> 14 */
        /* 3 */ JUMP_IMM(BPF_JNE, BPF_REG_0, ETH_P_IP, TO_PASS(3)),
        /* 4 */ LOAD_PACKET(BPF_H, 20),
        /* 5 */ JUMP_IMM(BPF_JSET, BPF_REG_0, 0x1fff, TO_PASS(5)),
        /* 6 */ LOAD_PACKET(BPF_B, 23),
        /* 7 */ MOV_REG(BPF_REG_7, BPF_REG_0),
        /* 8 */ LOAD_PACKET(BPF_B, 14),
        /* 9 */ ALU_IMM(BPF_AND, BPF_REG_0, 0xf),
        /* 10 */ ALU_IMM(BPF_LSH, BPF_REG_0, 2),
        /* 11 */ MOV_REG(BPF_REG_8, BPF_REG_0),
        /* 12 */ INSN(BPF_LD | BPF_IND | BPF_H, 0, BPF_REG_8, 0, 16),
        /* 13 */ JUMP_IMM(BPF_JA, 0, 0, 3), /* -> 17 */
        /* 14 */ LOAD_PACKET(BPF_B, 20),
        /* 15 */ MOV_REG(BPF_REG_7, BPF_REG_0),
        /* 16 */ LOAD_PACKET(BPF_H, 56),
        /* 17 */ MOV_REG(BPF_REG_8, BPF_REG_0),
        /* 18 */ JUMP_IMM(BPF_JEQ, BPF_REG_7, IPPROTO_TCP, 2), /* -> 21 */
        /* 19 */ JUMP_IMM(BPF_JNE, BPF_REG_7, IPPROTO_UDP, TO_PASS(19)),
        /* 20 */ ALU_IMM(BPF_OR, BPF_REG_8, CLAIMS_UDP << 16),
        /* 21 */ MOV_REG(BPF_REG_0, BPF_REG_8),
        /* 22 */ ALU_IMM(BPF_RSH, BPF_REG_0, 6),
        /* 23 */ INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_0, -4, 0),
        /* 24 */ MOV_REG(BPF_REG_2, BPF_REG_10),
        /* 25 */ ALU_IMM(BPF_ADD, BPF_REG_2, -4),
        /* 26 */ INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
        /* 27 */ INSN(0, 0, 0, 0, 0),
        /* 28 */ INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
        /* 29 */ JUMP_IMM(BPF_JEQ, BPF_REG_0, 0, TO_PASS(29)),
        /* 30 */ INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_0, BPF_REG_0, 0, 0),
        /* 31 */ ALU_IMM(BPF_AND, BPF_REG_8, 63),
        /* 32 */ INSN(BPF_ALU64 | BPF_RSH | BPF_X, BPF_REG_0, BPF_REG_8, 0, 0),
        /* 33 */ ALU_IMM(BPF_AND, BPF_REG_0, 1),
        /* 34 */ JUMP_IMM(BPF_JEQ, BPF_REG_0, 0, TO_PASS(34)),
        /* 35 */ MOV_IMM(BPF_REG_0, TC_SHOT),
        /* 36 */ INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
        /* 37 */ MOV_IMM(BPF_REG_0, TCX_NEXT),
        /* 38 */ INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attr.expected_attach_type = TCX_INGRESS;
    attr.insns = (uintptr_t)code;
    attr.insn_cnt = sizeof code / sizeof code[0];
    attr.license = (uintptr_t) "Dual MIT/GPL";
    memcpy(attr.prog_name, "demi_guard", 11);
    return (int)bpf(BPF_PROG_LOAD, &attr);
}

static int make_map(void)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = sizeof(uint32_t);
    attr.value_size = sizeof(uint64_t);
    attr.max_entries = CLAIMS_PROTOS * CLAIMS_WORDS;
    memcpy(attr.map_name, "demi_ports", 11);
    return (int)bpf(BPF_MAP_CREATE, &attr);
}

static int attach(int program, int ifindex)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = (uint32_t)program;
    attr.link_create.target_ifindex = (uint32_t)ifindex;
    attr.link_create.attach_type = TCX_INGRESS;
    return (int)bpf(BPF_LINK_CREATE, &attr);
}

int guard_open(struct guard *g, int ifindex, const char **step)
{
    *g = (struct guard){-1, -1, -1};
    *step = "map";
    if ((g->map = make_map()) >= 0) {
        *step = "program";
        if ((g->program = load_program(g->map)) >= 0) {
            *step = "attachment";
            if ((g->link = attach(g->program, ifindex)) >= 0) return 0;
        }
    }
    int err = -errno;
    guard_close(g);
    return err;
}

static int update_word(struct guard *g, const struct claims *c, unsigned which, unsigned word)
{
    uint32_t at = which * CLAIMS_WORDS + word;
    uint64_t bits = claims_word(c, which, word);
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = (uint32_t)g->map;
    attr.key = (uintptr_t)&at;
    attr.value = (uintptr_t)&bits;
    return bpf(BPF_MAP_UPDATE_ELEM, &attr) ? -errno : 0;
}

int guard_update(struct guard *g, const struct claims *c, uint8_t proto, uint16_t port)
{
    unsigned which = proto == IPPROTO_TCP ? CLAIMS_TCP : CLAIMS_UDP;
    if (port) return update_word(g, c, which, port >> 6);
    int err = 0;
    for (unsigned word = c->ephemeral_first >> 6; word < CLAIMS_WORDS && !err; word++)
        err = update_word(g, c, which, word);
    return err;
}

int guard_update_all(struct guard *g, const struct claims *c)
{
    int err = 0;
    for (unsigned which = 0; which < CLAIMS_PROTOS; which++)
        for (unsigned word = 0; word < CLAIMS_WORDS && !err; word++)
            if (claims_word(c, which, word)) err = update_word(g, c, which, word);
    return err;
}

void guard_close(struct guard *g)
{
    if (g->link >= 0) close(g->link);
    if (g->program >= 0) close(g->program);
    if (g->map >= 0) close(g->map);
    *g = (struct guard){-1, -1, -1};
}
