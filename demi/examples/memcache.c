/* SPDX-License-Identifier: MIT
 *
 * A cache that memcached's clients take for memcached: its text protocol (doc/protocol.txt of memcached 1.6), a bound
 * of memory, least recently used items going first.
 *
 *     get gets gat gats, set add replace append prepend cas, delete incr decr touch,
 *     flush_all stats version verbosity quit
 *
 * A value that is stored is written where it will lie for good as it comes in, and goes out of there: large ones are
 * not copied. Not here: the binary and the meta protocol, UDP, SASL. Usage: memcache ADDR PORT [MEGABYTES]
 */
#include "demi/examples/clients.h"
#include "demi/examples/memcache/store.h"

#include <ctype.h>
#include <inttypes.h>
#include <unistd.h>

#define LINE_SIZE    8192                /* a get of some thirty long keys */
#define RELATIVE_MAX (60 * 60 * 24 * 30) /* an expiry above is a moment and not a length of time */

enum state { READ_LINE, READ_VALUE, SKIP_VALUE, ANSWER_GET };
enum how { SET, ADD, REPLACE, APPEND, PREPEND, CAS };

struct session {
    enum state state;
    size_t line_size;
    char line[LINE_SIZE + 1];
    /* ANSWER_GET: the words that are left, and what else was asked. */
    char *keys;
    int with_cas, touches;
    int64_t expires;
    /* READ_VALUE, SKIP_VALUE */
    struct item *item;
    size_t wanted, filled; /* bytes with CR LF */
    enum how how;
    uint64_t cas;
    int is_quiet;
};

static struct {
    uint64_t get, set, touch, flush, get_hits, get_misses, delete_hits, delete_misses, incr_hits, incr_misses,
        decr_hits, decr_misses, cas_hits, cas_misses, cas_badval, touch_hits, touch_misses;
} stats;
static int64_t started;

static int64_t now_s(void) { return demi_wall_us() / 1000000; }

/* --- words ------------------------------------------------------------------------------------------------------- */

/* The next word of the line, or NULL; *at goes on behind it. */
static char *word(char **at)
{
    char *start = *at + strspn(*at, " ");
    size_t size = strcspn(start, " ");
    if (size == 0) return NULL;
    *at = start + size + (start[size] == ' ');
    start[size] = 0;
    return start;
}

static int number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (!text || !isdigit((unsigned char)*text)) return 0;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return !errno && !*end && *out <= max;
}

/* An exptime of the protocol, in seconds since 1970; 0: never. */
static int moment(const char *text, int64_t *out)
{
    char *end;
    if (!text || !*text) return 0;
    errno = 0;
    long long t = strtoll(text, &end, 10);
    if (errno || *end) return 0;
    *out = t == 0 ? 0 : t < 0 ? 1 : t <= RELATIVE_MAX ? now_s() + t : t;
    return 1;
}

static int is_key(const char *key)
{
    size_t size = key ? strlen(key) : 0;
    for (size_t i = 0; i < size; i++)
        if (iscntrl((unsigned char)key[i])) return 0;
    return size >= 1 && size <= KEY_MAX;
}

static int is_noreply(const char *text) { return text && strcmp(text, "noreply") == 0; }

static void say(struct client *c, int is_quiet, const char *line)
{
    if (!is_quiet) client_say(c, "%s\r\n", line);
}

/* --- get ---------------------------------------------------------------------------------------------------------- */

static void answer_item(struct client *c, const struct item *i, int with_cas)
{
    client_say(c, "VALUE %.*s %" PRIu32 " %" PRIu32, (int)i->key_size, i->bytes, i->flags, i->value_size);
    if (with_cas) client_say(c, " %" PRIu64, i->cas);
    client_bytes(c, "\r\n", 2);
    const char *value = i->bytes + i->key_size;
    if (i->value_size + 2 < CLIENT_TEXT_SIZE / 4) client_bytes(c, value, i->value_size + 2);
    else client_push(c, value, i->value_size + 2); /* as it lies; it may be put out of the store meanwhile */
}

/* As many keys as go into one turn; the rest when the answers are through. */
static void answer_get(struct client *c, struct session *s)
{
    char *key;
    while (!client_is_full(c) && (key = word(&s->keys))) {
        struct item *i = is_key(key) ? store_find(key, strlen(key), now_s()) : NULL;
        if (!is_key(key)) {
            say(c, 0, "CLIENT_ERROR bad command line format");
            s->state = READ_LINE;
            return;
        }
        stats.get++;
        i ? stats.get_hits++ : stats.get_misses++;
        if (i && s->touches) i->expires = s->expires;
        if (i) answer_item(c, i, s->with_cas);
    }
    if (client_is_full(c) && s->keys[strspn(s->keys, " ")]) return;
    say(c, 0, "END");
    s->state = READ_LINE;
}

static void begin_get(struct client *c, struct session *s, char *rest, int with_cas, int touches)
{
    s->touches = touches;
    s->with_cas = with_cas;
    if (touches && !moment(word(&rest), &s->expires)) {
        say(c, 0, "CLIENT_ERROR invalid exptime argument");
        return;
    }
    s->keys = rest;
    if (!rest[strspn(rest, " ")]) {
        say(c, 0, "ERROR");
        return;
    }
    s->state = ANSWER_GET;
}

/* --- set and its kin ---------------------------------------------------------------------------------------------- */

static void begin_set(struct client *c, struct session *s, enum how how, char *rest)
{
    uint64_t flags, size;
    int64_t expires;
    const char *key = word(&rest), *flags_text = word(&rest), *expires_text = word(&rest), *size_text = word(&rest);
    const char *cas = how == CAS ? word(&rest) : "0";
    int has_numbers = number(flags_text, UINT32_MAX, &flags) && moment(expires_text, &expires) &&
                      number(size_text, INT32_MAX, &size) && number(cas, UINT64_MAX, &s->cas);
    s->is_quiet = is_noreply(word(&rest));
    s->how = how;
    if (!is_key(key) || !has_numbers) {
        say(c, 0, "CLIENT_ERROR bad command line format");
        if (number(size_text, INT32_MAX, &size)) {
            s->state = SKIP_VALUE;
            s->wanted = (size_t)size + 2;
            s->filled = 0;
        } else c->is_ending = 1; /* where the next command begins is not known */
        return;
    }
    s->wanted = (size_t)size + 2;
    s->filled = 0;
    s->item = size <= VALUE_MAX && store_may_fill() ? item_new(key, strlen(key), (size_t)size, (uint32_t)flags, expires)
                                                    : NULL;
    s->state = s->item ? READ_VALUE : SKIP_VALUE;
    if (!s->item)
        say(c, s->is_quiet,
            size <= VALUE_MAX ? "SERVER_ERROR out of memory storing object"
                              : "SERVER_ERROR object too large for cache");
}

/* before's value and i's in one. NULL: they do not fit. */
static struct item *joined(struct item *i, struct item *before, int in_front)
{
    size_t size = (size_t)before->value_size + i->value_size;
    struct item *both =
        size <= VALUE_MAX ? item_new(i->bytes, i->key_size, size, before->flags, before->expires) : NULL;
    if (!both) return NULL;
    memcpy(item_value(both) + (in_front ? i->value_size : 0), item_value(before), before->value_size);
    memcpy(item_value(both) + (in_front ? 0 : before->value_size), item_value(i), i->value_size);
    return both;
}

static const char *end_set(struct session *s)
{
    struct item *i = s->item, *before = store_find(i->bytes, i->key_size, now_s());
    s->item = NULL;
    stats.set++;
    if (s->how == CAS) {
        const char *bad = !before ? "NOT_FOUND" : before->cas != s->cas ? "EXISTS" : NULL;
        if (!before) stats.cas_misses++;
        else if (bad) stats.cas_badval++;
        else stats.cas_hits++;
        if (bad) {
            item_drop(i);
            return bad;
        }
    } else if (s->how == ADD ? before != NULL : s->how != SET && !before) {
        item_drop(i);
        return "NOT_STORED";
    }
    if (s->how == APPEND || s->how == PREPEND) {
        struct item *both = joined(i, before, s->how == PREPEND);
        item_drop(i);
        if (!both) return "SERVER_ERROR object too large for cache";
        i = both;
    }
    store_put(i, now_s());
    return "STORED";
}

/* The value as it comes. Its end is seen where it has to be: what else stands there is no value. */
static void take_value(struct client *c, struct session *s, const char *at, size_t size)
{
    size_t n = s->wanted - s->filled < size ? s->wanted - s->filled : size;
    if (s->state == READ_VALUE) memcpy(item_value(s->item) + s->filled, at, n);
    s->filled += n;
    client_use(c, n);
    if (s->filled < s->wanted) return;
    if (s->state == READ_VALUE && memcmp(item_value(s->item) + s->item->value_size, "\r\n", 2) != 0) {
        item_drop(s->item);
        s->item = NULL;
        say(c, 0, "CLIENT_ERROR bad data chunk");
        c->is_ending = 1;
    } else if (s->state == READ_VALUE) {
        say(c, s->is_quiet, end_set(s));
    }
    s->state = READ_LINE;
}

/* --- the other commands ------------------------------------------------------------------------------------------- */

static void incr(struct client *c, char *rest, int is_decr)
{
    char digits[24];
    uint64_t by, value;
    const char *key = word(&rest), *by_text = word(&rest);
    int is_quiet = is_noreply(word(&rest));
    struct item *i = is_key(key) ? store_find(key, strlen(key), now_s()) : NULL;
    if (!is_key(key)) {
        say(c, is_quiet, "CLIENT_ERROR bad command line format");
    } else if (!number(by_text, UINT64_MAX, &by)) {
        say(c, is_quiet, "CLIENT_ERROR invalid numeric delta argument");
    } else if (!i) {
        is_decr ? stats.decr_misses++ : stats.incr_misses++;
        say(c, is_quiet, "NOT_FOUND");
    } else {
        snprintf(digits, sizeof digits, "%.*s", i->value_size < 21 ? (int)i->value_size : 1,
                 i->value_size < 21 ? item_value(i) : "x");
        if (!number(digits, UINT64_MAX, &value)) {
            say(c, is_quiet, "CLIENT_ERROR cannot increment or decrement non-numeric value");
            return;
        }
        is_decr ? stats.decr_hits++ : stats.incr_hits++;
        value = !is_decr ? value + by : by < value ? value - by : 0;
        int n = snprintf(digits, sizeof digits, "%" PRIu64, value);
        struct item *next = item_new(i->bytes, i->key_size, (size_t)n, i->flags, i->expires);
        if (!next) {
            say(c, is_quiet, "SERVER_ERROR out of memory in incr");
            return;
        }
        memcpy(item_value(next), digits, (size_t)n);
        store_put(next, now_s());
        say(c, is_quiet, digits);
    }
}

static void delete_key(struct client *c, char *rest)
{
    const char *key = word(&rest), *last = word(&rest);
    if (last && strcmp(last, "0") == 0) last = word(&rest);
    struct item *i = is_key(key) ? store_find(key, strlen(key), now_s()) : NULL;
    if (!is_key(key) || (last && !is_noreply(last))) {
        say(c, 0, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]");
        return;
    }
    i ? stats.delete_hits++ : stats.delete_misses++;
    if (i) store_delete(i);
    say(c, is_noreply(last), i ? "DELETED" : "NOT_FOUND");
}

static void touch(struct client *c, char *rest)
{
    int64_t expires;
    const char *key = word(&rest), *text = word(&rest);
    int is_quiet = is_noreply(word(&rest));
    struct item *i = is_key(key) ? store_find(key, strlen(key), now_s()) : NULL;
    if (!is_key(key) || !moment(text, &expires)) {
        say(c, 0, is_key(key) ? "CLIENT_ERROR invalid exptime argument" : "CLIENT_ERROR bad command line format");
        return;
    }
    stats.touch++;
    i ? stats.touch_hits++ : stats.touch_misses++;
    if (i) i->expires = expires;
    say(c, is_quiet, i ? "TOUCHED" : "NOT_FOUND");
}

static void flush_all(struct client *c, char *rest)
{
    uint64_t delay = 0;
    const char *text = word(&rest);
    int is_quiet = is_noreply(text) || is_noreply(word(&rest));
    if (text && !is_noreply(text) && !number(text, INT32_MAX, &delay)) {
        say(c, 0, "CLIENT_ERROR bad command line format");
        return;
    }
    stats.flush++;
    store_flush(now_s() + (int64_t)delay, now_s());
    say(c, is_quiet, "OK");
}

static void tell_stats(struct client *c, char *rest)
{
    struct store_stats s;
    const char *which = word(&rest);
    store_stats(&s);
    if (which) { /* settings, items, slabs: nothing to tell */
        say(c, 0, strcmp(which, "reset") == 0 ? "RESET" : "END");
        if (strcmp(which, "reset") == 0) memset(&stats, 0, sizeof stats);
        return;
    }
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"pid", (uint64_t)getpid()},
        {"uptime", (uint64_t)(now_s() - started)},
        {"time", (uint64_t)now_s()},
        {"pointer_size", 8 * sizeof(void *)},
        {"curr_connections", clients.count},
        {"max_connections", CLIENTS_MAX},
        {"total_connections", clients.total},
        {"cmd_get", stats.get},
        {"cmd_set", stats.set},
        {"cmd_flush", stats.flush},
        {"cmd_touch", stats.touch},
        {"get_hits", stats.get_hits},
        {"get_misses", stats.get_misses},
        {"delete_misses", stats.delete_misses},
        {"delete_hits", stats.delete_hits},
        {"incr_misses", stats.incr_misses},
        {"incr_hits", stats.incr_hits},
        {"decr_misses", stats.decr_misses},
        {"decr_hits", stats.decr_hits},
        {"cas_misses", stats.cas_misses},
        {"cas_hits", stats.cas_hits},
        {"cas_badval", stats.cas_badval},
        {"touch_hits", stats.touch_hits},
        {"touch_misses", stats.touch_misses},
        {"threads", 1},
        {"limit_maxbytes", s.limit},
        {"bytes", s.bytes},
        {"curr_items", s.items},
        {"total_items", s.items_total},
        {"evictions", s.evictions},
        {"reclaimed", s.expired},
    };
    client_say(c, "STAT version %s\r\nSTAT libos %s\r\n", demi_version(), demi_libos_name());
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        client_say(c, "STAT %s %" PRIu64 "\r\n", rows[i].name, rows[i].value);
    say(c, 0, "END");
}

static void verbosity(struct client *c, char *rest)
{
    const char *level = word(&rest), *last = word(&rest);
    say(c, is_noreply(level) || is_noreply(last), level ? "OK" : "ERROR"); /* there is nothing to be verbose about */
}

static void command(struct client *c, struct session *s)
{
    char *rest = s->line;
    const char *name = word(&rest);
    static const char *const sets[] = {"set", "add", "replace", "append", "prepend", "cas"};
    if (!name) {
        say(c, 0, "ERROR");
        return;
    }
    for (int how = SET; how <= CAS; how++) {
        if (strcmp(name, sets[how]) != 0) continue;
        begin_set(c, s, (enum how)how, rest);
        return;
    }
    if (strcmp(name, "get") == 0) begin_get(c, s, rest, 0, 0);
    else if (strcmp(name, "gets") == 0) begin_get(c, s, rest, 1, 0);
    else if (strcmp(name, "gat") == 0) begin_get(c, s, rest, 0, 1);
    else if (strcmp(name, "gats") == 0) begin_get(c, s, rest, 1, 1);
    else if (strcmp(name, "delete") == 0) delete_key(c, rest);
    else if (strcmp(name, "incr") == 0) incr(c, rest, 0);
    else if (strcmp(name, "decr") == 0) incr(c, rest, 1);
    else if (strcmp(name, "touch") == 0) touch(c, rest);
    else if (strcmp(name, "flush_all") == 0) flush_all(c, rest);
    else if (strcmp(name, "stats") == 0) tell_stats(c, rest);
    else if (strcmp(name, "version") == 0) client_say(c, "VERSION %s\r\n", demi_version());
    else if (strcmp(name, "verbosity") == 0) verbosity(c, rest);
    else if (strcmp(name, "quit") == 0) c->is_ending = 1;
    else say(c, 0, "ERROR");
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */

static void take_line(struct client *c, struct session *s, const char *at, size_t size)
{
    const char *end = memchr(at, '\n', size);
    size_t n = end ? (size_t)(end - at) : size;
    if (n > LINE_SIZE - s->line_size) {
        say(c, 0, "CLIENT_ERROR line too long");
        c->is_ending = 1;
        return;
    }
    memcpy(s->line + s->line_size, at, n);
    s->line_size += n;
    client_use(c, n + (end != NULL));
    if (!end) return;
    if (s->line_size && s->line[s->line_size - 1] == '\r') s->line_size--;
    s->line[s->line_size] = 0;
    int has_zero = memchr(s->line, 0, s->line_size) != NULL;
    s->line_size = 0;
    if (has_zero) say(c, 0, "CLIENT_ERROR bad command line format");
    else command(c, s);
}

static void advance(struct client *c)
{
    struct session *s = c->session;
    const char *at = NULL;
    size_t size;
    while (!c->is_ending && !client_is_full(c)) {
        if (s->state == ANSWER_GET) answer_get(c, s);
        else if ((size = client_input(c, &at)) == 0) return;
        else if (s->state == READ_LINE) take_line(c, s, at, size);
        else take_value(c, s, at, size);
    }
}

static void *session_open(struct client *c)
{
    (void)c;
    return calloc(1, sizeof(struct session));
}

static void session_close(void *session)
{
    item_drop(((struct session *)session)->item);
    free(session);
}

static const struct service service = {session_open, session_close, advance, NULL};

int main(int argc, char *const argv[])
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct demi_args args = {argc, argv, NULL};
    uint64_t port, megabytes = 64;
    if (argc < 3 || argc > 4 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1 || !number(argv[2], 65535, &port) ||
        (argc == 4 && (!number(argv[3], 1 << 20, &megabytes) || megabytes < 4))) {
        fprintf(stderr, "usage: %s ADDR PORT [MEGABYTES]          4 megabytes at least, 64 if not said\n", argv[0]);
        return 1;
    }
    at.sin_port = htons((uint16_t)port);
    MUST(demi_init(&args));
    started = now_s();
    store_init((size_t)megabytes << 20);
    clients_serve(&at, &service);
}
