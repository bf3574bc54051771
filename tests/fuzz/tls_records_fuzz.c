/* SPDX-License-Identifier: MIT
 *
 * A client and a server that speak TLS over pipes, and a relay between them that does what the input says. Each two
 * bytes are an order:
 *
 *     | what, 3 bits; which way, 1; more, 4 | number |
 *
 * After it both ends must stand or have failed with a reason, what arrived must be a beginning of what was sent, and
 * nothing may be left in memory. Where there is no plug-in or no openssl command, the target does nothing.
 */
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "tests/demi/tls_files.h"

#include "alloc/base/assert.h"

#define ORDERS_MAX 64
#define HELD_MAX   65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static demi_tls_context_t *contexts[2];
static bool is_ready;

struct relay_way {
    int from, to; /* the relay's ends of the pipes */
    int ends[2];  /* who sends, who gets */
    demi_qtoken_t pop, got;
    uint8_t held[HELD_MAX];
    size_t held_count;
    uint64_t sent, arrived;
    bool ended;
};
static struct relay_way ways[2];

static void get_ready(void)
{
    static bool tried;
    if (tried) return;
    tried = true;
    if (tls_missing() || demi_init(NULL)) return;
    struct demi_tls_options o[2] = {tls_client_options(), tls_server_options()};
    is_ready =
        !demi_tls_context_new(&contexts[0], &o[0], NULL, 0) && !demi_tls_context_new(&contexts[1], &o[1], NULL, 0);
}

static uint8_t byte_of(uint64_t at) { return (uint8_t)(at % 251); }

static void push_bytes(int qd, const void *p, size_t n)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    demi_qtoken_t qt;
    if (n) demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN);
}

static void arrive(struct relay_way *w, const demi_qresult_t *qr)
{
    const demi_sgarray_t *sga = &qr->qr_value.sga;
    const uint8_t *p = sga->sga_segs[0].sgaseg_buf;
    w->ended |= qr->qr_opcode == DEMI_OPC_FAILED || !sga->sga_segs[0].sgaseg_len;
    if (qr->qr_opcode != DEMI_OPC_POP) return;
    for (uint32_t i = 0; i < sga->sga_segs[0].sgaseg_len; i++) ASSERT(p[i] == byte_of(w->arrived++));
    ASSERT(w->arrived <= w->sent);
}

static void keep(struct relay_way *w, const demi_qresult_t *qr)
{
    const demi_sgarray_t *sga = &qr->qr_value.sga;
    if (qr->qr_opcode != DEMI_OPC_POP) return;
    size_t n = sga->sga_segs[0].sgaseg_len;
    if (n > HELD_MAX - w->held_count) n = HELD_MAX - w->held_count;
    memcpy(w->held + w->held_count, sga->sga_segs[0].sgaseg_buf, n);
    w->held_count += n;
}

/* Everything that can happen by itself. */
static void settle(void)
{
    for (int idle = 0; idle < 2;) {
        demi_qresult_t qrs[16];
        int n = 0;
        const struct timespec poll = {0, 0};
        for (int i = 0; i < 2; i++) {
            struct relay_way *w = &ways[i];
            if (!w->pop && demi_pop(&w->pop, w->from)) w->pop = 0;
            if (!w->got && !w->ended && demi_pop(&w->got, w->ends[1])) w->got = 0;
        }
        idle = demi_wait_batch(qrs, 16, &n, &poll) ? idle + 1 : 0;
        for (int k = 0; k < n; k++) {
            bool ends = qrs[k].qr_opcode != DEMI_OPC_POP;
            for (int i = 0; i < 2; i++) {
                struct relay_way *w = &ways[i];
                if (qrs[k].qr_qt == w->got) arrive(w, &qrs[k]), w->got = 0;
                if (qrs[k].qr_qt == w->pop) keep(w, &qrs[k]), ends |= !qrs[k].qr_value.sga.sga_segs[0].sgaseg_len;
                if (qrs[k].qr_qt == w->pop && !ends) w->pop = 0; /* the other direction's end is asked for once */
            }
            if (qrs[k].qr_opcode == DEMI_OPC_POP) demi_sgafree(&qrs[k].qr_value.sga);
        }
    }
}

static void hand_on(struct relay_way *w, size_t n, size_t piece)
{
    if (n > w->held_count) n = w->held_count;
    for (size_t at = 0; at < n; at += piece) push_bytes(w->to, w->held + at, n - at < piece ? n - at : piece);
    memmove(w->held, w->held + n, w->held_count - n);
    w->held_count -= n;
}

static void obey(uint8_t what, uint8_t number, const uint8_t *rest, size_t left)
{
    struct relay_way *w = &ways[what >> 3 & 1];
    uint8_t bytes[512];
    size_t n = 1 + number + ((size_t)(what >> 4) << 8), at = w->held_count ? n % w->held_count : 0;
    switch (what & 7) {
    case 0: hand_on(w, HELD_MAX, HELD_MAX); break;
    case 1: hand_on(w, n, 1 + number % 7); break;
    case 2: w->held[at] ^= (uint8_t)(1u << (what >> 4 & 7)); break;
    case 3:
        memmove(w->held + at, w->held + at + 1, w->held_count ? w->held_count - at - 1 : 0);
        w->held_count -= w->held_count != 0;
        break;
    case 4: push_bytes(w->to, rest, left < n ? left : n); break;
    case 5:
        if (n > sizeof bytes) n = sizeof bytes;
        for (size_t i = 0; i < n; i++) bytes[i] = byte_of(w->sent + i);
        push_bytes(w->ends[0], bytes, n);
        w->sent += n;
        break;
    case 6: demi_shutdown(w->ends[0], SHUT_WR); break;
    default: hand_on(w, HELD_MAX, HELD_MAX), demi_shutdown(w->to, SHUT_WR); break;
    }
}

static void check_end(int qd)
{
    struct demi_tls_info info;
    ASSERT(!demi_tls_info(qd, &info));
    ASSERT(!info.is_done || *info.why || info.version[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int a[2], b[2];
    struct demi_mem_stats before, after;
    get_ready();
    if (!is_ready) return 0;
    demi_mem_stats(&before);
    if (demi_pipe(a) || demi_pipe(b)) return 0;
    ways[0] = (struct relay_way){.from = a[1], .to = b[0], .ends = {a[0], b[1]}};
    ways[1] = (struct relay_way){.from = b[0], .to = a[1], .ends = {b[1], a[0]}};
    ASSERT(!demi_tls_client(a[0], contexts[0], NULL));
    ASSERT(!demi_tls_server(b[1], contexts[1]));
    for (size_t i = 0; i + 1 < size && i < 2 * ORDERS_MAX; i += 2) {
        settle();
        obey(data[i], data[i + 1], data + i + 2, size - i - 2);
    }
    settle();
    check_end(a[0]);
    check_end(b[1]);
    demi_close(a[1]);
    demi_close(b[0]);
    demi_close(a[0]);
    demi_close(b[1]);
    for (int i = 0; i < 4; i++) settle();
    demi_mem_stats(&after);
    ASSERT(after.used <= before.used + 65536); /* the heap's own caches */
    return 0;
}
