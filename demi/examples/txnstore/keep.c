/* SPDX-License-Identifier: MIT
 *
 * What a replica's log on the disk has, and how a replica comes back from it. Its records:
 *
 *     'M'  META   version, replica, vote or 255, term          what was promised
 *     'E'  ENTRY  index, term of the one before, entry         replaces those from that index on
 *     'S'  ITEMS  items of the store                           all of them committed
 *     'K'  MARK   index, term                                  the items before this make the store up to index, at
 *                                                              least; entries up to there are not needed
 *
 * A checkpoint is META, all ITEMS, MARK, with other records between them. When it is durable, what lies before it goes,
 * but for entries that are behind its mark.
 */
#include "demi/examples/txnstore/replica.h"

#include <errno.h>
#include <string.h>

enum { VERSION = 1, PIECE = 16384 };

static uint64_t push(struct txn_replica *r, uint8_t *head, const struct txn_writer *w, const void *bytes, size_t size)
{
    struct iovec iov[2] = {{head, (size_t)(w->at - head)}, {(void *)(uintptr_t)bytes, size}};
    return txn_disk_push(&r->disk, iov, size ? 2 : 1);
}

static bool push_meta(struct txn_replica *r)
{
    uint8_t head[12];
    struct txn_writer w = {head, head + sizeof head, false};
    txn_write(&w, 'M', 1);
    txn_write(&w, VERSION, 1);
    txn_write(&w, r->o->id, 1);
    txn_write(&w, r->vote < 0 ? TXN_CLIENT : (unsigned)r->vote, 1);
    txn_write(&w, r->term, 8);
    return (r->meta_push = push(r, head, &w, NULL, 0)) != 0;
}

static bool push_entry(struct txn_replica *r, uint64_t index)
{
    uint8_t head[17];
    struct txn_writer w = {head, head + sizeof head, false};
    struct txn_slot *s = txn_entries_at(&r->log, index);
    txn_write(&w, 'E', 1);
    txn_write(&w, index, 8);
    txn_write(&w, txn_entries_term(&r->log, index - 1), 8);
    return (s->push = push(r, head, &w, s->bytes, s->size)) != 0;
}

bool txn_keep_items(struct txn_replica *r, const uint8_t *bytes, size_t size)
{
    uint8_t head[1] = {'S'};
    struct txn_writer w = {head + 1, head + 1, false};
    return size == 0 || push(r, head, &w, bytes, size);
}

static uint64_t push_mark(struct txn_replica *r, uint64_t index, uint64_t term)
{
    uint8_t head[17];
    struct txn_writer w = {head, head + sizeof head, false};
    txn_write(&w, 'K', 1);
    txn_write(&w, index, 8);
    txn_write(&w, term, 8);
    return push(r, head, &w, NULL, 0);
}

/* A copy from the leader ends. A checkpoint that was under way knows nothing of it: another one has to follow. */
bool txn_keep_mark(struct txn_replica *r, uint64_t index, uint64_t term)
{
    uint64_t number = push_mark(r, index, term);
    if (!number) return false;
    memset(&r->checkpoint, 0, sizeof r->checkpoint);
    txn_entries_rebase(&r->log, index, term);
    r->base_push = number;
    if (r->pushed < index || r->pushed > r->log.last) r->pushed = index;
    if (r->durable > r->commit) r->durable = r->commit; /* what is behind may not be the leader's */
    return true;
}

/* --- checkpoints -------------------------------------------------------------------------------------------------- */

static bool checkpoint_is_due(const struct txn_replica *r)
{
    return r->applied - r->mark > r->log.max / 2 || r->log_offset - r->mark_offset > r->o->checkpoint_bytes;
}

static void checkpoint_begin(struct txn_replica *r)
{
    struct txn_checkpoint *c = &r->checkpoint;
    memset(c, 0, sizeof *c);
    if (!push_meta(r)) return;
    c->runs = true;
    c->begin_push = r->meta_push;
    c->mark = r->applied;
    c->mark_term = txn_entries_term(&r->log, r->applied);
}

static void checkpoint_step(struct txn_replica *r)
{
    struct txn_checkpoint *c = &r->checkpoint;
    static uint8_t piece[PIECE];
    while (c->position != UINT32_MAX) {
        struct txn_writer w = {piece, piece + sizeof piece, false};
        uint32_t next = txn_store_copy(&r->store, c->position, &w);
        if (r->disk.pushed - r->disk.durable > TXN_PUSHES_MAX / 4) return; /* work goes first */
        if (!txn_keep_items(r, piece, (size_t)(w.at - piece))) return;
        c->position = next ? next : UINT32_MAX;
    }
    if (!c->mark_push) c->mark_push = push_mark(r, c->mark, c->mark_term);
}

static void checkpoint_durable(struct txn_replica *r)
{
    struct txn_checkpoint *c = &r->checkpoint;
    if (!c->begin_offset && c->begin_push && c->begin_push <= r->disk.durable)
        c->begin_offset = r->disk.offsets[c->begin_push % TXN_PUSHES_MAX];
    if (!c->runs || !c->mark_push || c->mark_push > r->disk.durable) return;
    c->runs = false;
    r->counts.checkpoints++;
    r->mark = c->mark;
    r->mark_offset = r->log_offset;
    uint64_t from = c->begin_offset;
    if (c->mark < r->log.last && c->mark >= r->log.base) {
        const struct txn_slot *s = txn_entries_at(&r->log, c->mark + 1);
        if (s->offset && s->offset < from) from = s->offset;
    }
    txn_disk_trim(&r->disk, from);
}

/* Old entries stay as long as there is room: for a follower that lags. */
bool txn_keep_room(struct txn_replica *r)
{
    uint64_t first = r->log.base + 1;
    if (r->log.last - r->log.base < r->log.max) return true;
    if (first > r->mark || first > r->applied || first > r->durable) return false;
    txn_entries_drop(&r->log, first);
    return true;
}

/* --- while it runs ------------------------------------------------------------------------------------------------ */

/* Pushes what is not on its way yet, promises first: an entry's term is never newer than the record of it. */
void txn_keep_flush(struct txn_replica *r)
{
    if (!r->meta_push && !push_meta(r)) return;
    for (; r->pushed < r->log.last; r->pushed++)
        if (!push_entry(r, r->pushed + 1)) return;
    if (!r->checkpoint.runs && checkpoint_is_due(r)) checkpoint_begin(r);
    if (r->checkpoint.runs) checkpoint_step(r);
}

/* A result of the disk; true: more of it is durable. */
bool txn_keep_take(struct txn_replica *r, const demi_qresult_t *qr)
{
    if (!txn_disk_take(&r->disk, qr)) return false;
    r->log_offset = (uint64_t)qr->qr_ret;
    if (r->base_push > r->disk.durable) return true;
    if (r->durable < r->log.base) r->durable = r->log.base;
    for (; r->durable < r->pushed; r->durable++) {
        struct txn_slot *s = txn_entries_at(&r->log, r->durable + 1);
        if (s->push > r->disk.durable) break;
        /* Known already where a copy from the leader took r->durable back: the disk keeps the last offsets only. */
        if (!s->offset) s->offset = r->disk.offsets[s->push % TXN_PUSHES_MAX];
    }
    checkpoint_durable(r);
    return true;
}

/* --- after a start ------------------------------------------------------------------------------------------------ */

struct recovery {
    struct txn_replica *r;
    bool has_mark;
};

static int found_meta(struct txn_replica *r, struct txn_reader *in)
{
    uint64_t version = txn_read(in, 1), id = txn_read(in, 1), vote = txn_read(in, 1), term = txn_read(in, 8);
    if (in->bad || id != r->o->id || (vote >= TXN_REPLICAS && vote != TXN_CLIENT)) return EBADMSG;
    if (version != VERSION) return EPROTONOSUPPORT;
    r->term = term;
    r->vote = vote == TXN_CLIENT ? -1 : (int)vote;
    r->meta_push = 1;
    return 0;
}

static int found_entry(struct recovery *rec, struct txn_reader *in, uint64_t offset)
{
    struct txn_entries *log = &rec->r->log;
    struct txn_entry e;
    uint64_t index = txn_read(in, 8), before = txn_read(in, 8);
    if (in->bad || !txn_entry_decode(&e, in->at, (size_t)(in->end - in->at))) return EBADMSG;
    if (index <= log->base) return 0;
    if (log->last == 0 && !rec->has_mark) txn_entries_rebase(log, index - 1, before);
    if (index > log->last + 1) return EBADMSG;
    txn_entries_cut(log, index);
    int err = txn_entries_append(log, e.term, in->at, (size_t)(in->end - in->at));
    if (!err) txn_entries_at(log, index)->offset = offset;
    return err;
}

static int found(void *arg, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct recovery *rec = arg;
    struct txn_replica *r = rec->r;
    struct txn_reader in = {bytes, bytes + size, false};
    uint64_t kind = txn_read(&in, 1), index, term;
    r->log_offset = offset;
    if (kind == 'M') return found_meta(r, &in);
    if (kind == 'E') return found_entry(rec, &in, offset);
    if (kind == 'S') return txn_store_fold(&r->store, in.at, (size_t)(in.end - in.at));
    index = txn_read(&in, 8);
    term = txn_read(&in, 8);
    if (kind != 'K' || in.bad) return EBADMSG;
    if (index < r->log.base) return 0;
    rec->has_mark = true;
    txn_entries_rebase(&r->log, index, term);
    return 0;
}

int txn_keep_recover(struct txn_replica *r)
{
    struct recovery rec = {r, false};
    int err = txn_disk_open(&r->disk, r->o->log_path, r->o->create, found, &rec);
    if (!err && r->log.base && !rec.has_mark) err = EBADMSG; /* its beginning is lost */
    if (!err && !r->meta_push && !r->o->create) err = ENODATA;
    if (err) {
        txn_say(r, "the log %s cannot be used: %s", r->o->log_path,
                err == EBADMSG ? "it is damaged, or another replica's" : strerror(err));
        return err;
    }
    /* All of it is durable (demi_open(3)). What was promised is written again: the replica's own number, at least. */
    r->meta_push = 0;
    r->pushed = r->durable = r->log.last;
    r->commit = r->applied = r->mark = r->log.base;
    return 0;
}
