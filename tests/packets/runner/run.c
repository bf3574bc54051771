/* SPDX-License-Identifier: MIT
 *
 * Runs a script: events in their order, each at its time, the clock standing still in between.
 *
 *   <  and calls, assertions   the clock goes to the event's time; timers on the way run at theirs
 *   >                          the oldest packet that was not yet expected is it; without one the clock goes on, timer
 *                              by timer, until one comes or the time has passed
 *
 * Relative times count from the previous event: from when it was to be, or, for packets that came out, from when it
 * was. Nothing may be left over: a packet that no event expects fails the script at its end, or the next > that it is
 * taken for. A call that blocks is tried again after each packet and timer; the next call waits for it.
 *
 * The wheel's timers may be a tick (1.024 us) late, which is what the default tolerance of 2 us is for.
 */
#include "tests/packets/runner/run.h"

#include <stdarg.h>
#include <string.h>

#include "alloc/heap.h"

#define TOLERANCE   (2 * NSEC_PER_USEC)
#define ISN_TICK    (4 * NSEC_PER_USEC)
#define TSO_MAX     32000u
#define OFFLOADS    (OFFLOAD_RX_IP_CSUM | OFFLOAD_RX_L4_CSUM | OFFLOAD_TX_IP_CSUM | OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_TSO)
#define WRAPS_AFTER 1500u                  /* bytes: in the second segment of most scripts */
#define FOREVER     (10000 * NSEC_PER_SEC) /* how long a packet at any time (*) is waited for */

void run_fail(struct run *r, unsigned line, const char *format, ...)
{
    char text[1024];
    va_list ap;
    if (r->failed) return;
    r->failed = true;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    fprintf(r->log, "# %s:%u: %s\n", r->script->path, line, text);
    if (line) fprintf(r->log, "#   line: %s\n", script_line(r->script, line, text, sizeof text));
}

static double seconds(nsec t) { return (double)t / 1e9; }

static void say_time(struct run *r, const char *what, nsec from, nsec to)
{
    if (from == to) fprintf(r->log, "#   %s at %.6f\n", what, seconds(from));
    else fprintf(r->log, "#   %s at %.6f to %.6f\n", what, seconds(from), seconds(to));
}

/* What has come out and nobody asked for, at most a few. */
static void tell_output(struct run *r, const char *what)
{
    char text[512];
    for (int i = 0; i < 6 && host_output(r->host); i++) {
        struct host_packet *p = host_output(r->host);
        fprintf(r->log, "#   %s: %.6f %s\n", what, seconds(p->at), flow_print(&r->flows, &p->w, text, sizeof text));
        host_drop_output(r->host);
    }
}

static void tell_conns(void *arg, struct conn *c)
{
    struct run *r = arg;
    char text[1024];
    fprintf(r->log, "#   %s\n", conn_print(c, text, sizeof text));
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void settle(struct run *r)
{
    if (r->pending && run_call(r, r->pending)) {
        nsec now = host_now(r->host), end = r->pending_end;
        if (now + r->tolerance < end || now > end + r->tolerance) {
            run_fail(r, r->pending->line, "%s() returned at another time", r->pending->call.name);
            say_time(r, "expected", end, end);
            say_time(r, "got", now, now);
        }
        r->pending = NULL;
    }
    host_flush(r->host);
    stack_check(host_stack(r->host));
}

/* One timer, or the way to `to` if there is none before. */
static void step(struct run *r, nsec to)
{
    nsec t = host_deadline(r->host), now = host_now(r->host);
    /* it may wait for the time alone */
    if (r->pending && r->pending_end > now && r->pending_end < t) t = r->pending_end;
    if (t <= now) t = now + 1;
    host_advance(r->host, t < to ? t : to);
    settle(r);
}

static void go_to(struct run *r, nsec to)
{
    while (!r->failed && host_now(r->host) < to) step(r, to);
    if (!r->pending || host_now(r->host) <= r->pending_end + r->tolerance) return;
    run_fail(r, r->pending->line, "%s() did not return", r->pending->call.name);
}

static void wait_for_pending(struct run *r)
{
    if (!r->pending) return;
    nsec end = r->pending_end + r->tolerance;
    while (!r->failed && r->pending && host_now(r->host) < end) step(r, end);
    if (r->pending) run_fail(r, r->pending->line, "%s() did not return", r->pending->call.name);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void expect_packet(struct run *r, const struct event *e, nsec from, nsec to)
{
    char why[128], text[512];
    nsec late = to + r->tolerance;
    while (!r->failed && !host_output(r->host) && host_now(r->host) < late) step(r, late);
    if (r->failed) return;
    struct host_packet *p = host_output(r->host);
    if (!p) {
        run_fail(r, e->line, "no packet came");
        say_time(r, "expected", from, to);
        stack_visit_conns(host_stack(r->host), tell_conns, r);
        return;
    }
    bool same = flow_matches(&r->flows, &e->pkt, &p->w, why, sizeof why);
    if (same && (p->at + r->tolerance < from || p->at > late)) {
        same = false;
        snprintf(why, sizeof why, "another time");
    }
    if (!same) {
        run_fail(r, e->line, "%s", why);
        say_time(r, "expected", from, to);
        fprintf(r->log, "#   got:  %.6f %s\n", seconds(p->at), flow_print(&r->flows, &p->w, text, sizeof text));
        host_drop_output(r->host);
        tell_output(r, "then");
        stack_visit_conns(host_stack(r->host), tell_conns, r);
        return;
    }
    r->last = p->at;
    host_drop_output(r->host);
}

static void send_packet(struct run *r, const struct event *e)
{
    static struct wire w;
    flow_build(&r->flows, &e->pkt, &w);
    host_input(r->host, &w);
    settle(r);
}

static void make_call(struct run *r, const struct event *e, nsec from, nsec to)
{
    if (run_call(r, e)) {
        if (e->when.blocks && to > from + r->tolerance) run_fail(r, e->line, "%s() did not block", e->call.name);
    } else {
        r->pending = e;
        r->pending_since = from;
        r->pending_end = to;
    }
    settle(r);
}

static void run_event(struct run *r, const struct event *e)
{
    nsec base = e->when.kind == TIME_RELATIVE ? r->last : 0, from = base + e->when.from, to = base + e->when.to;
    if (e->when.kind == TIME_ANY) {
        from = 0;
        to = host_now(r->host) + FOREVER;
    }
    if (e->kind == EVENT_PACKET && !e->pkt.in) {
        expect_packet(r, e, from, to);
        return;
    }
    if (e->when.kind == TIME_ANY) from = host_now(r->host);
    if (e->kind == EVENT_CALL) wait_for_pending(r);
    if (host_now(r->host) > from + r->tolerance) {
        run_fail(r, e->line, "its time has passed: it is %.6f", seconds(host_now(r->host)));
        return;
    }
    go_to(r, from);
    r->last = from;
    if (r->failed) return;
    if (e->kind == EVENT_PACKET) send_packet(r, e);
    else if (e->kind == EVENT_CALL) make_call(r, e, from, to);
    else run_claims(r, e);
}

static void run_events(struct run *r)
{
    unsigned line = 0;
    char text[256];
    for (const struct event *e = r->script->events; e && !r->failed; e = e->next) {
        line = e->line;
        if (r->verbose)
            fprintf(r->log, "# %.6f  %s\n", seconds(host_now(r->host)),
                    script_line(r->script, line, text, sizeof text));
        run_event(r, e);
    }
    if (!r->failed) wait_for_pending(r);
    if (r->failed || !host_output(r->host)) return;
    run_fail(r, line, "a packet was sent that no line expects");
    tell_output(r, "got");
}

/* *our_isn is where flow 1's numbers began on the wire; 0: it has none. */
static bool run_once(const struct script *s, bool verbose, FILE *log, nsec start, uint32_t remote_isn,
                     uint32_t offloads, uint32_t *our_isn)
{
    struct run r = {.script = s, .log = log, .verbose = verbose, .tolerance = TOLERANCE};
    struct host_config c;
    host_defaults(&c);
    c.start = start;
    c.stack.offloads = offloads;
    c.stack.tso_max = offloads ? TSO_MAX : 0;
    if (!run_options(&r, &c, &remote_isn)) return false;
    size_t before = heap_used();
    int err = host_new(&c, &r.host);
    if (err) {
        run_fail(&r, 0, "no stack: %s", strerror(-err));
        return false;
    }
    flows_init(&r.flows, r.v6, r.v6 ? &c.local6 : &c.local4, r.v6 ? &c.remote6 : &c.remote4, remote_isn);
    run_events(&r);
    *our_isn = r.flows.f[1].local_known ? r.flows.f[1].local_offset : 0;
    if (verbose) fprintf(log, "# our numbers began at %u, the peer's at %u\n", *our_isn, remote_isn);
    host_free(r.host);
    if (heap_used() != before) run_fail(&r, 0, "%zu bytes are left over when the stack has gone", heap_used() - before);
    return !r.failed;
}

/* Our numbers grow by one in 4 us (RFC 9293 3.4.1): the stack's clock starts so much later that they are nearly at
 * their end. Whole milliseconds, for the sake of timestamps. */
static nsec start_to_wrap(uint32_t our_isn)
{
    nsec shift = (nsec)(uint32_t)(-WRAPS_AFTER - our_isn) * ISN_TICK;
    return shift - shift % NSEC_PER_MSEC;
}

bool run_script(const struct script *s, bool verbose, unsigned also, FILE *log)
{
    uint32_t our_isn;
    if (!run_once(s, verbose, log, 0, 0, 0, &our_isn)) return false;
    nsec start = our_isn ? start_to_wrap(our_isn) : 0;
    if (also & RUN_WRAP && !run_once(s, verbose, log, start, -WRAPS_AFTER, 0, &our_isn)) {
        fprintf(log, "#   (with numbers that wrap)\n");
        return false;
    }
    if (also & RUN_OFFLOAD && !run_once(s, verbose, log, 0, 0, OFFLOADS, &our_isn)) {
        fprintf(log, "#   (with offloads)\n");
        return false;
    }
    return true;
}
