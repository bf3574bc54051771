/* SPDX-License-Identifier: MIT
 *
 * The options of the IP header, on every libOS alike: what may be set and is read, and, where there is a wire, what
 * stands in the packets. pairs.h says where each row runs.
 */
#include "tests/demi/pairs.h"

#include <netinet/in.h>

enum { HOPS, TOS };

/* Of the two families: level, hops, tos. */
static const int names[2][3] = {{IPPROTO_IP, IP_TTL, IP_TOS}, {IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_TCLASS}};

static int set(int qd, bool six, int option, int value)
{
    return demi_setsockopt(qd, names[six][0], names[six][1 + option], &value, sizeof value);
}

/* Negative: an errno. */
static int get(int qd, bool six, int option)
{
    int value = -1;
    socklen_t size = sizeof value;
    int err = demi_getsockopt(qd, names[six][0], names[six][1 + option], &value, &size);
    return err ? -err : size == sizeof value ? value : -E2BIG;
}

__attribute__((format(printf, 4, 5))) static void same(struct run *r, int is, int want, const char *fmt, ...)
{
    char what[100];
    va_list args;
    if (is == want || r->failure[0]) return;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    snprintf(r->failure, sizeof r->failure, "%s: %d and not %d", what, is, want);
}

/* --- what may be set ---------------------------------------------------------------------------------------------- */

static const struct {
    int option, value, err, read;
} values[] = {
    {HOPS, 1, 0, 1},
    {HOPS, 255, 0, 255},
    {HOPS, 33, 0, 33},
    {HOPS, 0, EINVAL, 33},
    {HOPS, 256, EINVAL, 33},
    {HOPS, -2, EINVAL, 33},
    {HOPS, 1 << 30, EINVAL, 33},
    {HOPS, -1, 0, 64},
    {TOS, 0x20, 0, 0x20},
    {TOS, 0xff, 0, 0xfc},
    {TOS, 256, EINVAL, 0xfc},
    {TOS, -2, EINVAL, 0xfc},
    {TOS, 3, 0, 0},
    {TOS, 0xb8, 0, 0xb8},
    {TOS, 0, 0, 0},
};

static void check_socket(struct run *r, int qd, bool six, const char *which)
{
    const int *other = names[!six];
    int one = 1;
    socklen_t size = sizeof one;
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        int option = values[i].option, value = values[i].value;
        same(r, set(qd, six, option, value), values[i].err, "%s %d: setting %d", which, option, value);
        same(r, get(qd, six, option), values[i].read, "%s %d: reading after %d", which, option, value);
    }
    same(r, set(qd, six, TOS, -1), six ? 0 : EINVAL, "%s: TOS -1", which);
    same(r, demi_setsockopt(qd, names[six][0], names[six][1], &one, 2), EINVAL, "%s: a short value", which);
    same(r, demi_setsockopt(qd, other[0], other[1], &one, sizeof one), ENOPROTOOPT, "%s: of the other family", which);
    same(r, demi_getsockopt(qd, other[0], other[2], &one, &size), ENOPROTOOPT, "%s: of the other family", which);
    same(r, demi_setsockopt(qd, IPPROTO_IP, IP_RECVTTL, &one, sizeof one), ENOPROTOOPT, "%s: another option", which);
    same(r, demi_getsockopt(qd, IPPROTO_IP, IP_RECVTTL, &one, &size), ENOPROTOOPT, "%s: another option", which);
}

static void check_fresh(struct run *r, bool six, int type, const char *which)
{
    int qd = -1;
    if (!TRY(r, demi_socket(&qd, six ? AF_INET6 : AF_INET, type, 0))) return;
    same(r, get(qd, six, HOPS), 64, "%s: the default", which);
    same(r, get(qd, six, TOS), 0, "%s: the default", which);
    check_socket(r, qd, six, which);
    demi_close(qd);
}

static void act_set(struct run *r, int qd)
{
    check_fresh(r, false, SOCK_STREAM, "a stream");
    check_fresh(r, false, SOCK_DGRAM, "a datagram socket");
    check_socket(r, qd, false, "a connected stream");
    closes(r, qd);
}

static void act_set_six(struct run *r, int none)
{
    check_fresh(r, true, SOCK_STREAM, "a stream");
    check_fresh(r, true, SOCK_DGRAM, "a datagram socket");
}

static void see_set(struct run *r, int qd)
{
    note(r, OBSERVER, pop(r, qd));
    check_socket(r, qd, false, "an accepted stream");
}

static void see_nothing(struct run *r, int none) {}

/* --- what is sent ------------------------------------------------------------------------------------------------- */

/* How the two reach each other. */
enum way { FOUR, SIX, MAPPED };

static int marked_socket(struct run *r, int who, enum way way, int type)
{
    int qd = -1;
    if (!TRY(r, demi_socket(&qd, way == FOUR ? AF_INET : AF_INET6, type, 0))) return -1;
    TRY(r, set(qd, way != FOUR, HOPS, marks[who][0]));
    TRY(r, set(qd, way != FOUR, TOS, marks[who][1]));
    return qd;
}

static void check_marks(struct run *r, int who, enum way way, int qd)
{
    same(r, get(qd, way != FOUR, HOPS), marks[who][0], "hops of %d", who);
    same(r, get(qd, way != FOUR, TOS), marks[who][1], "tos of %d", who);
}

/* The observer's, as a socket of that way has it. Its length. */
static socklen_t address(const struct run *r, enum way way, in_port_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (way == FOUR) {
        *four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = r->at.sin_addr};
        return sizeof *four;
    }
    *six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = r->at6.sin6_addr};
    if (way == SIX) return sizeof *six;
    memset(&six->sin6_addr, 0, 16);
    six->sin6_addr.s6_addr[10] = six->sin6_addr.s6_addr[11] = 0xff;
    memcpy(&six->sin6_addr.s6_addr[12], &r->at.sin_addr, 4);
    return sizeof *six;
}

/* The port it gets. */
static in_port_t bind_marked(struct run *r, int qd, enum way way)
{
    struct sockaddr_storage a;
    socklen_t size = address(r, way, 0, &a);
    if (way == MAPPED) memset(&((struct sockaddr_in6 *)&a)->sin6_addr, 0, 16); /* takes both families */
    if (TRY(r, demi_bind(qd, (struct sockaddr *)&a, size))) TRY(r, demi_getsockname(qd, (struct sockaddr *)&a, &size));
    return way == FOUR ? ((struct sockaddr_in *)&a)->sin_port : ((struct sockaddr_in6 *)&a)->sin6_port;
}

#define PATTERN 251 /* bytes: as many, one way after the other, that both begin with the same */

static int pop_bytes(struct run *r, int qd, uint64_t until)
{
    int what = DATA;
    while (what == DATA && r->bytes < until) what = pop(r, qd);
    return what;
}

static void see_marked(struct run *r, enum way way)
{
    const struct timespec limit = {30, 0};
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int listener = marked_socket(r, OBSERVER, way, SOCK_STREAM), dgram = marked_socket(r, OBSERVER, way, SOCK_DGRAM);
    r->marked_ports[0] = bind_marked(r, listener, way);
    r->marked_ports[1] = bind_marked(r, dgram, way);
    if (!TRY(r, demi_listen(listener, 1)) || !TRY(r, demi_accept(&qt, listener))) return;
    r->step = 1;
    if (!TRY(r, demi_wait(&qr, qt, &limit))) return;
    if (!okay(r, "accept", qr.qr_opcode == DEMI_OPC_ACCEPT ? 0 : (int)qr.qr_ret)) return;
    int qd = qr.qr_value.ares.qd;
    check_marks(r, OBSERVER, way, qd); /* it has what its listener had */
    note(r, OBSERVER, push(r, qd, PATTERN));
    note(r, OBSERVER, pop_bytes(r, qd, 2 * PATTERN + 1));
    demi_close(qd);
    demi_close(dgram);
    demi_close(listener);
}

static void act_marked(struct run *r, enum way way)
{
    struct sockaddr_storage to;
    demi_qtoken_t qt;
    for (int i = 0; i < 10000 && !r->step; i++) rest(r, 1);
    int qd = marked_socket(r, ACTOR, way, SOCK_STREAM), dgram = marked_socket(r, ACTOR, way, SOCK_DGRAM);
    socklen_t size = address(r, way, (in_port_t)r->marked_ports[1], &to);
    demi_sgarray_t sga = array_of(r, 20, 0);
    if (TRY(r, demi_pushto(&qt, dgram, &sga, (struct sockaddr *)&to, size))) note(r, ACTOR, outcome(r, qt));
    demi_sgafree(&sga);
    address(r, way, (in_port_t)r->marked_ports[0], &to);
    if (TRY(r, demi_connect(&qt, qd, (struct sockaddr *)&to, size))) note(r, ACTOR, outcome(r, qt));
    check_marks(r, ACTOR, way, qd);
    note(r, ACTOR, pop_bytes(r, qd, PATTERN));
    note(r, ACTOR, push(r, qd, PATTERN));
    TRY(r, demi_shutdown(qd, SHUT_WR));
    note(r, ACTOR, pop(r, qd));
    demi_close(dgram);
    demi_close(qd);
}

static void act_four(struct run *r, int none) { act_marked(r, FOUR); }
static void see_four(struct run *r, int none) { see_marked(r, FOUR); }
static void act_six(struct run *r, int none) { act_marked(r, SIX); }
static void see_six(struct run *r, int none) { see_marked(r, SIX); }
static void act_mapped(struct run *r, int none) { act_marked(r, MAPPED); }
static void see_mapped(struct run *r, int none) { see_marked(r, MAPPED); }

static const struct row table[] = {
    {"what may be set", act_set, see_set, .sees = {END}},
    {"what IPv6 sockets may have", act_set_six, see_nothing, .apart = true, .six = true},
    {"IPv4 packets have it", act_four, see_four, .apart = true, .marked = true, .acts = {0, 0, DATA, 0, END},
     .sees = {0, END}},
    {"IPv6 packets have it", act_six, see_six, .apart = true, .marked = true, .six = true, .acts = {0, 0, DATA, 0, END},
     .sees = {0, END}},
    {"IPv4 packets of IPv6 sockets have it", act_mapped, see_mapped, .apart = true, .marked = true, .six = true,
     .acts = {0, 0, DATA, 0, END}, .sees = {0, END}},
};

/* On the machine's loopback other tests would fill the socket that looks at the wire, and ours would not be seen. */
static void be_alone(void)
{
    if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && system("ip link set lo up") != 0)
        fputs("# the loopback of our own does not come up\n", stderr);
}

int main(void)
{
    be_alone();
    return run_rows(table, sizeof table / sizeof *table);
}
