/* SPDX-License-Identifier: MIT
 *
 * A packet script as the parser leaves it: options, then events in the order of the file. Everything a script owns lies
 * in its arena and goes with it. tests/packets/README.md tells the language.
 */
#ifndef PACKETS_SCRIPT_H
#define PACKETS_SCRIPT_H

#include "alloc/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define PKT_OPTS_MAX  24
#define CALL_ARGS_MAX 8

/* --- times -------------------------------------------------------------------------------------------------------- */

enum time_kind { TIME_ABSOLUTE, TIME_RELATIVE, TIME_ANY };
struct when {
    uint8_t kind;
    bool range;  /* [from, to], of packets that are expected */
    bool blocks; /* a call that starts at `from` and returns at `to` */
    nsec from, to;
};

/* --- packets ------------------------------------------------------------------------------------------------------ */

enum ecn_mark { ECN_UNSAID = -1, ECN_NONE = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3, ECN_ECT_ANY = 4 };

enum opt_kind {
    OPT_EOL_ = 0,
    OPT_NOP_ = 1,
    OPT_MSS_ = 2,
    OPT_WSCALE_ = 3,
    OPT_SACK_OK_ = 4,
    OPT_SACK_ = 5,
    OPT_TS_ = 8,
    OPT_RAW_ = 256
};
struct opt_spec {
    uint16_t kind;
    bool any_val, any_ecr; /* TS val * ecr * */
    uint8_t raw;           /* OPT_RAW_: one byte */
    uint8_t sack_count;
    uint32_t a, b; /* value; TS val and ecr */
    uint32_t sack[8];
};

enum pkt_proto { PKT_TCP, PKT_UDP, PKT_ICMP };

struct pkt_spec {
    bool in; /* < : the script sends it to the stack */
    uint8_t proto;
    int flow;          /* @N; 1 */
    int local_port;    /* @N:port; 0: the flow's */
    int ecn, tos, ttl; /* -1: unsaid */
    int df;            /* -1: unsaid */
    /* TCP; of ICMP what is quoted */
    uint8_t flags;
    bool has_ack, no_opts_check;
    uint32_t seq, len, ack;
    long window, urgent; /* -1: unsaid */
    unsigned opt_count;
    struct opt_spec opts[PKT_OPTS_MAX];
    /* what is wrong with a packet that goes in */
    bool bad_checksum, bad_ip_checksum;
    int doff;     /* words; -1: right */
    int truncate; /* bytes of the L4 packet left; -1: all */
    /* ICMP */
    uint8_t icmp_type, icmp_code;
    bool icmp_quotes, icmp_quotes_udp;
    uint32_t icmp_mtu;
};

/* --- calls -------------------------------------------------------------------------------------------------------- */

enum arg_kind { ARG_DOTS, ARG_NUMBER, ARG_TEXT, ARG_LIST, ARG_STRUCT, ARG_FLOW, ARG_ANY };
struct arg {
    uint8_t kind;
    long number;
    const char *text; /* ARG_TEXT; the name of a field in a struct */
    struct arg *items, *next;
    struct arg *value; /* of a field */
};

struct call {
    const char *name;
    unsigned argc;
    struct arg *args[CALL_ARGS_MAX];
    bool any_result;
    long result;
    int err; /* errno expected with -1; 0: any */
};

/* --- assertions --------------------------------------------------------------------------------------------------- */

struct expr {
    char op; /* 'n' number, 'v' name, or e(==) !(!=) < > l(<=) g(>=) a(and) o(or) + - * / */
    long number;
    const char *name;
    int fd; /* name@fd; -1: the newest connection */
    struct expr *a, *b;
};
struct claim {
    struct expr *e;
    const char *text;
    struct claim *next;
};

/* --- the script --------------------------------------------------------------------------------------------------- */

enum event_kind { EVENT_PACKET, EVENT_CALL, EVENT_CHECK };
struct event {
    struct event *next;
    unsigned line;
    uint8_t kind;
    struct when when;
    union {
        struct pkt_spec pkt;
        struct call call;
        struct claim *claims;
    };
};

struct option {
    const char *name, *value;
    unsigned line;
    struct option *next;
};

struct script {
    const char *path;
    char *text; /* the file, for the lines of failures */
    struct event *events;
    struct option *options; /* --name=value lines */
    struct arena *arena;
    char error[256]; /* "line 7: …" when parsing failed */
};

/* 0, or -1 with s->error. script_free() after both. */
int script_parse(struct script *s, const char *path);
void script_free(struct script *s);
/* The text of one line, without its end. */
const char *script_line(const struct script *s, unsigned line, char *out, unsigned size);

#endif
