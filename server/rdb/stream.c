/* SPDX-License-Identifier: MIT
 *
 * One walk along the value, in three uses: everything is looked at when it comes from outside (and taped); nothing is
 * when it was written by an older version's rules, only the consumers' times are left out; and the nodes alone are
 * shown to who asks for entries.
 *
 * What is refused is what Redis refuses (rdb.c of 7.2), but that every node is looked through, always: the commands to
 * come will trust it, as all others trust their listpacks.
 */
#include "server/rdb/stream.h"

#include <errno.h>

#include "server/ds/dict.h"
#include "server/mem.h"
#include "server/rdb/stream_ids.h"

struct stream_walk {
    struct rdb_source *s;
    unsigned type;
    bool check, deep;
    uint64_t seed;
    const struct stream_visitor *shown; /* NULL: nothing is */
    struct rdb_sink *to;                /* gets the bytes without the times of activity; NULL: not written */
    const char *bytes;                  /* all of the value, for `to` */
    uint64_t written;                   /* of them */
};

static bool bad(const struct stream_walk *w, const char *why) { return rdb_source_fail(w->s, -EBADMSG, why); }

static bool skip_lengths(const struct stream_walk *w, int count)
{
    uint64_t n;
    while (count--)
        if (!rdb_get_length(w->s, &n)) return false;
    return true;
}

/* A time, which may be any. */
static bool skip_time(const struct stream_walk *w)
{
    uint64_t ms;
    return rdb_get_u64(w->s, &ms);
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static bool read_node(const struct stream_walk *w, struct stream_ids *ids)
{
    struct bytes key, lp;
    char id[STREAM_ID_SIZE];
    if (!rdb_get_string(w->s, RDB_VIEW, &key)) return false;
    if (key.n != sizeof id) return bad(w, "Stream node key entry is not the size of a stream ID");
    memcpy(id, key.p, sizeof id);
    if (!rdb_get_string(w->s, RDB_VIEW, &lp)) return false;
    const unsigned char *p = (const unsigned char *)lp.p;
    if (w->shown) stream_node_walk(p, id, w->shown);
    if (!w->check) return true;
    if (!lp_validate(p, lp.n, true, NULL, NULL) || !stream_node_walk(p, id, NULL))
        return bad(w, "Stream listpack integrity check failed");
    stream_ids_add(ids, id);
    return true;
}

static bool read_nodes(const struct stream_walk *w, uint64_t *count)
{
    struct stream_ids ids = {0};
    if (!rdb_get_length(w->s, count)) return false;
    bool ok = true;
    for (uint64_t n = *count; n && ok; n--) ok = read_node(w, &ids);
    if (ok && !stream_ids_end(&ids)) ok = bad(w, "Stream listpack re-added with existing key");
    stream_ids_free(&ids);
    return ok;
}

/* The length, the last ID; from 7.0 on the first one, the last one that was deleted, and how many were ever added. */
static bool read_head(const struct stream_walk *w, uint64_t nodes)
{
    uint64_t length;
    if (!rdb_get_length(w->s, &length)) return false;
    if (!skip_lengths(w, w->type >= RDB_STREAM_LISTPACKS_2 ? 7 : 2)) return false;
    return !length || nodes || bad(w, "Stream length inconsistent with the number of its nodes");
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

/* The IDs of what nobody has acknowledged: of a group, with the time and number of deliveries; or of a consumer. */
static bool read_pending(const struct stream_walk *w, struct stream_ids *ids, bool group)
{
    uint64_t n;
    char id[STREAM_ID_SIZE];
    if (!rdb_get_length(w->s, &n)) return false;
    for (; n; n--) {
        if (!rdb_get_raw(w->s, id, sizeof id)) return false;
        if (group && (!skip_time(w) || !skip_lengths(w, 1))) return false;
        if (w->check) stream_ids_add(ids, id);
    }
    return stream_ids_end(ids) || bad(w, group ? "Duplicated global PEL entry loading a stream consumer group"
                                               : "Duplicated consumer PEL entry loading a stream consumer group");
}

static bool mark_owned(const struct stream_walk *w, const struct stream_ids *of_group, const struct stream_ids *own)
{
    for (size_t i = 0; i < own->count; i++) {
        struct stream_id *found = stream_ids_find(of_group, own->all[i].id);
        if (!found) return bad(w, "Consumer entry not found in the group's global PEL");
        found->marked = true;
    }
    return true;
}

/* What was read up to here goes out. */
static void write_up_to_here(struct stream_walk *w)
{
    uint64_t now = rdb_source_offset(w->s);
    rdb_put_raw(w->to, w->bytes + w->written, (size_t)(now - w->written));
    w->written = now;
}

static bool read_active_time(struct stream_walk *w)
{
    if (w->type < RDB_STREAM_LISTPACKS_3) return true;
    if (w->to) write_up_to_here(w);
    if (!skip_time(w)) return false;
    w->written = rdb_source_offset(w->s);
    return true;
}

static bool read_consumer(struct stream_walk *w, const struct stream_ids *of_group, struct dict *names)
{
    struct bytes name;
    struct stream_ids own = {0};
    if (!rdb_get_string(w->s, RDB_VIEW, &name)) return false;
    if (w->check && !dict_add(names, name)) return bad(w, "Duplicate stream consumer detected");
    bool ok = skip_time(w) && read_active_time(w) && read_pending(w, &own, false) && mark_owned(w, of_group, &own);
    stream_ids_free(&own);
    return ok;
}

static bool read_consumers(struct stream_walk *w, const struct stream_ids *of_group)
{
    uint64_t n;
    struct dict names;
    if (!rdb_get_length(w->s, &n)) return false;
    dict_init_set(&names, w->seed);
    bool ok = true;
    for (; n && ok; n--) ok = read_consumer(w, of_group, &names);
    dict_fini(&names);
    return ok;
}

static bool check_owned(const struct stream_walk *w, const struct stream_ids *pending)
{
    for (size_t i = 0; i < pending->count; i++)
        if (!pending->all[i].marked) return bad(w, "Stream CG PEL entry without consumer");
    return true;
}

static bool read_group(struct stream_walk *w, struct dict *names)
{
    struct bytes name;
    struct stream_ids pending = {0};
    if (!rdb_get_string(w->s, RDB_VIEW, &name)) return false;
    if (w->check && !dict_add(names, name)) return bad(w, "Duplicated consumer group name");
    if (!skip_lengths(w, w->type >= RDB_STREAM_LISTPACKS_2 ? 3 : 2)) return false;
    bool ok = read_pending(w, &pending, true) && read_consumers(w, &pending);
    if (ok && w->deep) ok = check_owned(w, &pending);
    stream_ids_free(&pending);
    return ok;
}

static bool read_groups(struct stream_walk *w)
{
    uint64_t n;
    struct dict names;
    if (!rdb_get_length(w->s, &n)) return false;
    dict_init_set(&names, w->seed);
    bool ok = true;
    for (; n && ok; n--) ok = read_group(w, &names);
    dict_fini(&names);
    return ok;
}

/* --- public ------------------------------------------------------------------------------------------------------- */

static bool walk_all(struct stream_walk *w)
{
    uint64_t nodes;
    return read_nodes(w, &nodes) && read_head(w, nodes) && read_groups(w);
}

static struct blob *blob_of(unsigned type, struct bytes value)
{
    struct blob *b = blob_new(value.n + 1, value.n + 1);
    b->data[0] = (char)type;
    memcpy(b->data + 1, value.p, value.n);
    return b;
}

bool rdb_read_stream(struct rdb_source *s, unsigned type, bool deep, uint64_t seed, struct blob **out)
{
    struct stream_walk w = {.s = s, .type = type, .check = true, .deep = deep, .seed = seed};
    struct bytes value;
    rdb_source_tape(s);
    bool ok = walk_all(&w);
    if (!rdb_source_tape_end(s, &value) || !ok) return false;
    *out = blob_of(type, value);
    return true;
}

static unsigned type_kept(const struct blob *stream) { return (unsigned char)stream->data[0]; }
static struct bytes value_kept(const struct blob *stream) { return bytes_of(stream->data + 1, stream->len - 1); }

enum rdb_type rdb_stream_type_of(const struct rdb_sink *s, const struct blob *stream)
{
    unsigned type = type_kept(stream);
    return s->version < 11 && type == RDB_STREAM_LISTPACKS_3 ? RDB_STREAM_LISTPACKS_2 : type;
}

void rdb_write_stream(struct rdb_sink *s, const struct blob *stream)
{
    struct bytes value = value_kept(stream);
    if (rdb_stream_type_of(s, stream) == type_kept(stream)) {
        rdb_put_raw(s, value.p, value.n);
        return;
    }
    struct rdb_source from;
    struct stream_walk w = {.s = &from, .type = type_kept(stream), .to = s, .bytes = value.p};
    rdb_source_of_bytes(&from, value);
    bool ok = walk_all(&w);
    ASSERT(ok);
    write_up_to_here(&w);
    rdb_source_fini(&from);
}

void rdb_stream_each(const struct blob *stream, const struct stream_visitor *v)
{
    struct rdb_source from;
    uint64_t nodes;
    struct stream_walk w = {.s = &from, .type = type_kept(stream), .shown = v};
    rdb_source_of_bytes(&from, value_kept(stream));
    bool ok = read_nodes(&w, &nodes);
    ASSERT(ok);
    rdb_source_fini(&from);
}
