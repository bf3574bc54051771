/* SPDX-License-Identifier: MIT
 *
 * Keys and sessions. An item of a copy is a session or a key:
 *
 *     0  1  0       0  1  1
 *     1  8  version 1  8  version
 *     9  2  slot    9  -  a write, as in an entry
 *    11  8  id
 *    19  8  number
 *    27  1  outcome
 */
#include "demi/examples/txnstore/store.h"

#include <demi/ext.h>
#include <errno.h>
#include <string.h>

enum { SESSION_BYTES = 28, KEY_BYTES_MAX = 9 + TXN_OP_MAX };

int txn_store_init(struct txn_store *s, uint32_t keys_max)
{
    uint32_t places = 16;
    while (places < 2 * keys_max) places *= 2;
    memset(s, 0, sizeof *s);
    s->items = demi_calloc(keys_max, sizeof *s->items);
    s->table = demi_calloc(places, sizeof *s->table);
    s->count_max = keys_max;
    s->table_mask = places - 1;
    if (s->items && s->table) return 0;
    txn_store_fini(s);
    return ENOMEM;
}

void txn_store_fini(struct txn_store *s)
{
    for (uint32_t i = 0; i < s->count; i++) demi_free(s->items[i]);
    demi_free(s->items);
    demi_free(s->table);
    memset(s, 0, sizeof *s);
}

/* Where the key is, or would be. */
static uint32_t *place_of_key(const struct txn_store *s, const uint8_t *key, size_t key_size)
{
    uint64_t at = txn_hash(key, key_size, 0);
    for (;; at++) {
        uint32_t *place = &s->table[at & s->table_mask];
        if (!*place) return place;
        const struct txn_item *it = s->items[*place - 1];
        if (it->key_size == key_size && memcmp(it->key, key, key_size) == 0) return place;
    }
}

const struct txn_item *txn_store_find(const struct txn_store *s, const uint8_t *key, size_t key_size)
{
    uint32_t place = *place_of_key(s, key, key_size);
    return place ? s->items[place - 1] : NULL;
}

int txn_store_put(struct txn_store *s, const struct txn_op *op, uint64_t version)
{
    uint32_t *place = place_of_key(s, op->key, op->key_size);
    struct txn_item *it = *place ? s->items[*place - 1] : NULL;
    if (!it) {
        if (s->count == s->count_max) return ENOSPC;
        if (!(it = demi_calloc(1, sizeof *it))) return ENOMEM;
        s->items[s->count] = it;
        *place = ++s->count;
        it->key_size = op->key_size;
        memcpy(it->key, op->key, op->key_size);
    }
    if (it->version >= version) return 0;
    it->version = version;
    it->value_size = op->value_size;
    if (op->value_size) memcpy(it->value, op->value, op->value_size);
    return 0;
}

void txn_store_put_session(struct txn_store *s, unsigned slot, const struct txn_session *session)
{
    if (s->sessions[slot].version < session->version) s->sessions[slot] = *session;
}

uint64_t txn_store_digest(const struct txn_store *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct txn_item *it = s->items[i];
        sum += txn_hash(it->value, it->value_size, txn_hash(it->key, it->key_size, it->version));
    }
    for (unsigned i = 0; i < TXN_SESSIONS; i++) {
        const struct txn_session *c = &s->sessions[i];
        uint64_t words[5] = {i, c->version, c->id, c->number, c->outcome};
        if (c->version) sum += txn_hash(words, sizeof words, 1);
    }
    return sum;
}

static void copy_session(const struct txn_session *c, uint32_t slot, struct txn_writer *w)
{
    if (!c->version) return;
    txn_write(w, 0, 1);
    txn_write(w, c->version, 8);
    txn_write(w, slot, 2);
    txn_write(w, c->id, 8);
    txn_write(w, c->number, 8);
    txn_write(w, c->outcome, 1);
}

static void copy_key(const struct txn_item *it, struct txn_writer *w)
{
    struct txn_op op = {TXN_OP_WRITE, it->key_size, it->value_size, it->key, it->value, 0};
    txn_write(w, 1, 1);
    txn_write(w, it->version, 8);
    txn_op_write(w, &op);
}

uint32_t txn_store_copy(const struct txn_store *s, uint32_t position, struct txn_writer *w)
{
    for (; position < TXN_SESSIONS + s->count; position++) {
        if (w->end - w->at < (position < TXN_SESSIONS ? (int)SESSION_BYTES : (int)KEY_BYTES_MAX)) return position;
        if (position < TXN_SESSIONS) copy_session(&s->sessions[position], position, w);
        else copy_key(s->items[position - TXN_SESSIONS], w);
    }
    return 0;
}

int txn_store_fold(struct txn_store *s, const uint8_t *bytes, size_t size)
{
    struct txn_reader r = {bytes, bytes + size, false};
    while (!r.bad && r.at < r.end) {
        uint64_t kind = txn_read(&r, 1), version = txn_read(&r, 8);
        struct txn_session c = {.version = version};
        struct txn_op op;
        int err = 0;
        if (kind == 0) {
            unsigned slot = (unsigned)txn_read(&r, 2);
            c.id = txn_read(&r, 8);
            c.number = txn_read(&r, 8);
            c.outcome = (uint8_t)txn_read(&r, 1);
            if (slot >= TXN_SESSIONS) r.bad = true;
            if (!r.bad) txn_store_put_session(s, slot, &c);
        } else if (kind != 1 || !txn_op_next(&r, &op) || op.flags != TXN_OP_WRITE) {
            r.bad = true;
        } else {
            err = txn_store_put(s, &op, version);
        }
        if (err) return err;
    }
    return r.bad ? EBADMSG : 0;
}
