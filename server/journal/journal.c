/* SPDX-License-Identifier: MIT */
#include "server/journal/journal.h"

#include <string.h>

#include "server/ds/number.h"
#include "server/server.h"

#define HEAD_MAX (NUMBER_I64_SIZE + 3)

/* "*3\r\n", "$10\r\n" */
static void append_head(struct broadcast *s, char kind, size_t n)
{
    char text[HEAD_MAX] = {kind};
    size_t used = 1 + number_format_u64(text + 1, n);
    text[used++] = '\r';
    text[used++] = '\n';
    broadcast_append(s, bytes_of(text, used));
}

/* The same at p; where it ends. */
static inline char *put_head(char *p, char kind, size_t n)
{
    *p++ = kind;
    if (likely(n < 10)) *p++ = (char)('0' + n);
    else p += number_format_u64(p, n);
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

static inline char *put_request(char *p, const struct bytes *argv, int argc)
{
    p = put_head(p, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        p = put_head(p, '$', argv[i].n);
        if (likely(argv[i].n != 0)) memcpy(p, argv[i].p, argv[i].n);
        p += argv[i].n;
        *p++ = '\r';
        *p++ = '\n';
    }
    return p;
}

/* Most requests go into the block that there is, in one piece; what does not goes in many. */
static void append_request(struct broadcast *s, const struct bytes *argv, int argc)
{
    ASSERT(argc > 0);
    size_t most = HEAD_MAX;
    for (int i = 0; i < argc; i++) most += HEAD_MAX + 2 + argv[i].n;
    char *p = broadcast_room(s, most);
    if (likely(p != NULL)) {
        broadcast_filled(s, (size_t)(put_request(p, argv, argc) - p));
        return;
    }
    append_head(s, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        append_head(s, '$', argv[i].n);
        broadcast_append(s, argv[i]);
        broadcast_append(s, BYTES("\r\n"));
    }
}

static void on_effect(struct effect_sink *sink, int dbid, const struct bytes *argv, int argc)
{
    struct journal *j = list_entry(sink, struct journal, sink);
    ASSERT(j->readers > 0);
    ASSERT(dbid == EFFECT_ANY_DB || (dbid >= 0 && dbid < j->srv->db_count));
    if (j->selected != dbid && dbid != EFFECT_ANY_DB) {
        char text[NUMBER_I64_SIZE];
        append_request(&j->text, (struct bytes[]){BYTES("SELECT"), bytes_of(text, number_format_i64(text, dbid))}, 2);
        j->selected = dbid;
    }
    append_request(&j->text, argv, argc);
    j->appended(j);
}

void journal_init(struct journal *j, struct server *srv, void (*appended)(struct journal *j))
{
    *j = (struct journal){
        .srv = srv, .selected = -1, .appended = appended, .takes_effects = true, .sink.effect = on_effect};
    list_init(&j->sink.link);
}

void journal_fini(struct journal *j)
{
    ASSERT(j->readers == 0);
    ASSERT(list_is_empty(&j->sink.link));
    broadcast_fini(&j->text);
}

/* On the server's list while somebody reads what effects come to. */
static void see_sink(struct journal *j)
{
    bool wanted = j->readers && j->takes_effects;
    if (wanted == !list_is_empty(&j->sink.link)) return;
    if (wanted) list_push_back(&j->srv->sinks, &j->sink.link);
    else list_remove(&j->sink.link);
}

static void add_reader(struct journal *j)
{
    j->readers++;
    see_sink(j);
}

void journal_read(struct journal *j, struct broadcast_reader *r)
{
    add_reader(j);
    broadcast_read(&j->text, r);
    j->selected = -1;
}

void journal_read_from(struct journal *j, const struct broadcast_reader *from, struct broadcast_reader *r)
{
    ASSERT(from->of == &j->text);
    add_reader(j);
    broadcast_read_from(from, r);
}

void journal_reader_end(struct journal *j, struct broadcast_reader *r)
{
    if (!r->of) return;
    ASSERT(r->of == &j->text && j->readers > 0);
    broadcast_reader_end(r);
    j->readers--;
    see_sink(j);
}

void journal_record(struct journal *j, const struct bytes *argv, int argc)
{
    append_request(&j->text, argv, argc);
    j->appended(j);
}

void journal_take_effects(struct journal *j, bool on)
{
    j->takes_effects = on;
    j->selected = -1;
    see_sink(j);
}

void journal_select_again(struct journal *j) { j->selected = -1; }
