/* SPDX-License-Identifier: MIT
 *
 * The lines --name=value at a script's top: what the stack is configured with, and how the script is read.
 */
#include "tests/packets/runner/run.h"

#include <stdlib.h>
#include <string.h>

enum option_kind { O_U16, O_U32, O_BOOL, O_USEC, O_UINT };
#define OPT(name, kind, field)                                                                                         \
    {                                                                                                                  \
        name, kind, offsetof(struct stack_config, field)                                                               \
    }
static const struct stack_option {
    const char *name;
    int kind;
    size_t at;
} stack_options[] = {
    OPT("mtu", O_U16, mtu),
    OPT("mss_max", O_U16, mss_max),
    OPT("no_timestamps", O_BOOL, no_timestamps),
    OPT("no_sack", O_BOOL, no_sack),
    OPT("no_wscale", O_BOOL, no_wscale),
    OPT("no_ecn", O_BOOL, no_ecn),
    OPT("ask_ecn", O_BOOL, ask_ecn),
    OPT("rto_min_usecs", O_USEC, rto_min),
    OPT("rto_initial_usecs", O_USEC, rto_initial),
    OPT("rto_max_usecs", O_USEC, rto_max),
    OPT("delayed_ack_usecs", O_USEC, delayed_ack),
    OPT("time_wait_usecs", O_USEC, time_wait),
    OPT("quiet_closed_ports", O_BOOL, quiet_closed_ports),
    OPT("icmp_echo", O_BOOL, icmp_echo),
    OPT("conns", O_U32, limits.conns),
    OPT("half_open", O_U32, limits.half_open),
    OPT("time_waits", O_U32, limits.time_wait),
    OPT("rcv_buffer", O_U32, limits.rcv_buffer),
    OPT("snd_buffer", O_U32, limits.snd_buffer),
    OPT("unsent_max", O_U32, limits.unsent_max),
    OPT("icmp_per_s", O_U32, limits.icmp_per_s),
    OPT("resets_per_s", O_U32, limits.resets_per_s),
    OPT("challenge_per_s", O_U32, limits.challenge_per_s),
    OPT("udp_queue", O_U32, limits.udp_queue),
    OPT("tso_max", O_U32, tso_max),
};

static bool set_stack_option(struct stack_config *c, const char *name, const char *value)
{
    unsigned long v = strtoul(value, NULL, 0);
    for (size_t i = 0; i < sizeof stack_options / sizeof *stack_options; i++) {
        const struct stack_option *o = &stack_options[i];
        void *p = (char *)c + o->at;
        if (strcmp(o->name, name)) continue;
        if (o->kind == O_U16) *(uint16_t *)p = (uint16_t)v;
        if (o->kind == O_U32) *(uint32_t *)p = (uint32_t)v;
        if (o->kind == O_BOOL) *(bool *)p = v;
        if (o->kind == O_USEC) *(nsec *)p = v * NSEC_PER_USEC;
        return true;
    }
    return false;
}

static bool set_ip_version(struct run *r, const char *value)
{
    r->v6 = !strcmp(value, "ipv6");
    r->mapped = !strcmp(value, "ipv4-mapped-ipv6");
    return r->v6 || r->mapped || !strcmp(value, "ipv4");
}

bool run_options(struct run *r, struct host_config *c, uint32_t *remote_isn)
{
    for (const struct option *o = r->script->options; o; o = o->next) {
        bool known = true;
        if (!strcmp(o->name, "tolerance_usecs")) r->tolerance = strtoul(o->value, NULL, 0) * NSEC_PER_USEC;
        else if (!strcmp(o->name, "ip_version")) known = set_ip_version(r, o->value);
        else if (!strcmp(o->name, "remote_isn")) *remote_isn = (uint32_t)strtoul(o->value, NULL, 0);
        else if (!strcmp(o->name, "seed"))
            memset(c->stack.seed, (int)strtoul(o->value, NULL, 0) | 1, sizeof c->stack.seed);
        else if (!strcmp(o->name, "cc")) c->stack.cc = o->value;
        else known = set_stack_option(&c->stack, o->name, o->value);
        if (known) continue;
        run_fail(r, o->line, "--%s=%s is not known", o->name, o->value);
        return false;
    }
    return true;
}
