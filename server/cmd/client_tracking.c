/* SPDX-License-Identifier: MIT
 *
 * CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO over server/net/tracking.h.
 */
#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/net/tracking.h"
#include "server/net/tracking_prefixes.h"
#include "server/server.h"
#include "server/worker.h"

#define SHOWN_MAX 128 /* of a prefix, in an error */

struct tracking_options {
    uint32_t flags; /* enum tracking_flag */
    int64_t redirect;
    struct bytes *prefixes; /* NULL or freed by the caller */
    size_t prefix_count;
};

static bool parse_redirect(struct call *c, struct bytes id, int64_t *redirect)
{
    if (*redirect) {
        call_error(c, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (!call_int(c, id, redirect)) return false;
    const struct client *to = client_find(c->srv, (uint64_t)*redirect);
    if (to && !(to->flags & CLIENT_CLOSE_NOW)) return true;
    call_error(c, "ERR The client ID you want redirect to does not exist");
    return false;
}

static bool parse_tracking(struct call *c, struct tracking_options *o)
{
    static const struct {
        const char *word;
        uint32_t flag;
    } words[] = {
        {"bcast", TRACKING_BCAST}, {"optin", TRACKING_OPTIN}, {"optout", TRACKING_OPTOUT}, {"noloop", TRACKING_NOLOOP}};
    const size_t count = sizeof words / sizeof *words;
    for (int i = 3; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        size_t k = 0;
        while (k < count && !bytes_is_word(word, words[k].word)) k++;
        if (k < count) {
            o->flags |= words[k].flag;
        } else if (i + 1 < c->argc && bytes_is_word(word, "redirect")) {
            if (!parse_redirect(c, c->argv[++i], &o->redirect)) return false;
        } else if (i + 1 < c->argc && bytes_is_word(word, "prefix")) {
            if (!o->prefixes) o->prefixes = mem_alloc((size_t)c->argc * sizeof *o->prefixes);
            o->prefixes[o->prefix_count++] = c->argv[++i];
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* Against each other, and against what the client has. NULL: nothing. */
static const char *contradiction(const struct tracking_options *o, const struct tracking_client *has)
{
    uint32_t had = has ? has->flags : 0;
    bool bcast = o->flags & TRACKING_BCAST, optin = o->flags & TRACKING_OPTIN, optout = o->flags & TRACKING_OPTOUT;
    if (!bcast && o->prefix_count) return "ERR PREFIX option requires BCAST mode to be enabled";
    if (has && bcast != !!(had & TRACKING_BCAST))
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling "
               "it with a different mode.";
    if (bcast && (optin || optout)) return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    if (optin && optout) return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    if ((optin && (had & TRACKING_OPTOUT)) || (optout && (had & TRACKING_OPTIN)))
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling "
               "it with a different mode.";
    return NULL;
}

static int shown(struct bytes s) { return (int)(s.n < SHOWN_MAX ? s.n : SHOWN_MAX); }

static bool prefixes_fit(struct call *c, const struct tracking_options *o)
{
    struct prefix_overlap at;
    if (!prefixes_overlap(c->client, o->prefixes, o->prefix_count, &at)) return true;
    struct bytes one = o->prefixes[at.at], other = at.with_old ? at.old : o->prefixes[at.at2];
    call_errorf(c, "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client must not overlap.",
                shown(one), one.p, at.with_old ? "an existing" : "another provided", shown(other), other.p);
    return false;
}

static void turn_on(struct call *c, const struct tracking_options *o)
{
    const char *wrong = contradiction(o, c->client->tracking);
    if (wrong) {
        call_error(c, wrong);
        return;
    }
    if (!prefixes_fit(c, o)) return;
    tracking_start(c, (uint64_t)o->redirect, o->flags, o->prefixes, o->prefix_count);
    call_ok(c);
}

void cmd_client_tracking(struct call *c)
{
    struct tracking_options o = {0};
    if (!parse_tracking(c, &o)) {
    } else if (bytes_is_word(c->argv[2], "on")) {
        turn_on(c, &o);
    } else if (bytes_is_word(c->argv[2], "off")) {
        tracking_stop(c->client);
        call_ok(c);
    } else {
        call_syntax_error(c);
    }
    mem_free(o.prefixes);
}

void cmd_client_caching(struct call *c)
{
    struct tracking_client *tc = c->client->tracking;
    bool yes = bytes_is_word(c->argv[2], "yes");
    if (!tc) {
        call_error(c, "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
                      "mode enabled");
    } else if (!yes && !bytes_is_word(c->argv[2], "no")) {
        call_syntax_error(c);
    } else if (!(tc->flags & (yes ? TRACKING_OPTIN : TRACKING_OPTOUT))) {
        call_errorf(c, "ERR CLIENT CACHING %s is only valid when tracking is enabled in %s mode.", yes ? "YES" : "NO",
                    yes ? "OPTIN" : "OPTOUT");
    } else {
        tc->flags |= TRACKING_CACHING;
        call_ok(c);
    }
}

static int64_t redirect_of(const struct client *cl) { return cl->tracking ? (int64_t)cl->tracking->redirect : -1; }

void cmd_client_getredir(struct call *c) { call_integer(c, redirect_of(c->client)); }

void cmd_client_trackinginfo(struct call *c)
{
    const struct tracking_client *tc = c->client->tracking;
    uint32_t flags = tc ? tc->flags : 0;
    const char *words[8];
    size_t n = 0;
    words[n++] = tc ? "on" : "off";
    if (flags & TRACKING_BCAST) words[n++] = "bcast";
    if (flags & TRACKING_OPTIN) words[n++] = "optin";
    if ((flags & TRACKING_OPTIN) && (flags & TRACKING_CACHING)) words[n++] = "caching-yes";
    if (flags & TRACKING_OPTOUT) words[n++] = "optout";
    if ((flags & TRACKING_OPTOUT) && (flags & TRACKING_CACHING)) words[n++] = "caching-no";
    if (flags & TRACKING_NOLOOP) words[n++] = "noloop";
    if (flags & TRACKING_BROKEN) words[n++] = "broken_redirect";
    reply_map(c->out, 3);
    reply_bulk_str(c->out, "flags");
    reply_set(c->out, n);
    for (size_t i = 0; i < n; i++) reply_bulk_str(c->out, words[i]);
    reply_bulk_str(c->out, "redirect");
    reply_int(c->out, redirect_of(c->client));
    reply_bulk_str(c->out, "prefixes");
    size_t prefixes = tc ? tc->prefix_count : 0;
    reply_array(c->out, prefixes);
    for (size_t i = 0; i < prefixes; i++) reply_bulk(c->out, prefix_name(tc->prefixes[i]));
}
