/* SPDX-License-Identifier: MIT
 *
 * Encoding and decoding. A datagram:
 *
 *     0    3  "TXN"
 *     3    1  version: 1
 *     4    4  checksum of all behind it
 *     8    1  type
 *     9    1  replica it comes from, or 255
 *     10   8n words, as many as the type has
 *          -  tail
 *
 * The checksum is against what is torn or not ours, not against who means harm: there is no authentication here.
 */
#include "demi/examples/txnstore/wire.h"

#include <string.h>

enum { VERSION = 1 };

static const struct {
    uint8_t words;
    bool has_tail;
} shapes[TXN_TYPES] = {
    [TXN_VOTE_ASK] = {3, false}, [TXN_VOTE] = {1, false},    [TXN_APPEND] = {4, true},
    [TXN_ACK] = {3, false},      [TXN_STATE] = {5, true},    [TXN_STATE_ASK] = {4, false},
    [TXN_HELLO] = {1, false},    [TXN_WELCOME] = {3, false}, [TXN_GET] = {1, true},
    [TXN_VALUE] = {2, true},     [TXN_COMMIT] = {3, true},   [TXN_OUTCOME] = {4, false},
    [TXN_REDIRECT] = {1, false}, [TXN_STATUS] = {1, false},  [TXN_STATUS_IS] = {10, false},
};

uint64_t txn_read(struct txn_reader *r, unsigned size)
{
    const uint8_t *p = txn_read_bytes(r, size);
    uint64_t value = 0;
    for (unsigned i = 0; p && i < size; i++) value = value << 8 | p[i];
    return value;
}

const uint8_t *txn_read_bytes(struct txn_reader *r, size_t size)
{
    const uint8_t *p = r->at;
    if (r->bad || size > (size_t)(r->end - p)) {
        r->bad = true;
        return NULL;
    }
    r->at += size;
    return p;
}

void txn_write(struct txn_writer *w, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> 8 * (size - 1 - i));
    txn_write_bytes(w, bytes, size);
}

void txn_write_bytes(struct txn_writer *w, const void *bytes, size_t size)
{
    if (w->bad || size > (size_t)(w->end - w->at)) {
        w->bad = true;
        return;
    }
    if (size) memcpy(w->at, bytes, size);
    w->at += size;
}

uint64_t txn_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* FNV-1a, its end stirred once more. */
uint64_t txn_hash(const void *bytes, size_t size, uint64_t seed)
{
    const uint8_t *p = bytes;
    uint64_t h = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return txn_random(&h);
}

size_t txn_tail_max(enum txn_type type)
{
    return shapes[type].has_tail ? TXN_MESSAGE_MAX - TXN_HEAD - 8u * shapes[type].words : 0;
}

size_t txn_message_encode(uint8_t *out, const struct txn_message *m)
{
    struct txn_writer w = {out, out + TXN_MESSAGE_MAX, false}, sum = {out + 4, out + 8, false};
    txn_write_bytes(&w, "TXN", 3);
    txn_write(&w, VERSION, 1);
    txn_write(&w, 0, 4);
    txn_write(&w, m->type, 1);
    txn_write(&w, m->from, 1);
    for (unsigned i = 0; i < shapes[m->type].words; i++) txn_write(&w, m->word[i], 8);
    txn_write_bytes(&w, m->tail, m->tail_size);
    size_t size = (size_t)(w.at - out);
    txn_write(&sum, (uint32_t)txn_hash(out + 8, size - 8, 0), 4);
    return size;
}

bool txn_message_decode(struct txn_message *out, const uint8_t *bytes, size_t size)
{
    struct txn_reader r = {bytes, bytes + size, false};
    if (size < TXN_HEAD || size > TXN_MESSAGE_MAX || memcmp(txn_read_bytes(&r, 3), "TXN", 3) != 0) return false;
    uint64_t version = txn_read(&r, 1), sum = txn_read(&r, 4);
    if (version != VERSION || sum != (uint32_t)txn_hash(bytes + 8, size - 8, 0)) return false;
    memset(out, 0, sizeof *out);
    out->type = (uint8_t)txn_read(&r, 1);
    out->from = (uint8_t)txn_read(&r, 1);
    if (out->type == 0 || out->type >= TXN_TYPES || (out->from >= TXN_REPLICAS && out->from != TXN_CLIENT))
        return false;
    for (unsigned i = 0; i < shapes[out->type].words; i++) out->word[i] = txn_read(&r, 8);
    out->tail = r.at;
    out->tail_size = (size_t)(r.end - r.at);
    return !r.bad && (shapes[out->type].has_tail || out->tail_size == 0);
}

/* An operation: flags, size of the key, key; of a read the version; of a write size and bytes of the value. */
bool txn_op_next(struct txn_reader *r, struct txn_op *out)
{
    if (r->bad || r->at == r->end) return false;
    memset(out, 0, sizeof *out);
    out->flags = (uint8_t)txn_read(r, 1);
    out->key_size = (uint8_t)txn_read(r, 1);
    out->key = txn_read_bytes(r, out->key_size);
    if (out->flags & TXN_OP_READ) out->version = txn_read(r, 8);
    if (out->flags & TXN_OP_WRITE) out->value_size = (uint16_t)txn_read(r, 2);
    if (out->flags & TXN_OP_WRITE) out->value = txn_read_bytes(r, out->value_size);
    if (out->flags == 0 || out->flags > (TXN_OP_READ | TXN_OP_WRITE) || out->key_size == 0 ||
        out->key_size > TXN_KEY_MAX || out->value_size > TXN_VALUE_MAX)
        r->bad = true;
    return !r->bad;
}

void txn_op_write(struct txn_writer *w, const struct txn_op *op)
{
    txn_write(w, op->flags, 1);
    txn_write(w, op->key_size, 1);
    txn_write_bytes(w, op->key, op->key_size);
    if (op->flags & TXN_OP_READ) txn_write(w, op->version, 8);
    if (!(op->flags & TXN_OP_WRITE)) return;
    txn_write(w, op->value_size, 2);
    txn_write_bytes(w, op->value, op->value_size);
}

bool txn_ops_are_good(const uint8_t *bytes, size_t size)
{
    struct txn_reader r = {bytes, bytes + size, false};
    struct txn_op op;
    unsigned count = 0;
    while (txn_op_next(&r, &op)) count++;
    return !r.bad && count >= 1 && count <= TXN_OPS_MAX;
}

void txn_entry_write(struct txn_writer *w, const struct txn_entry *e)
{
    txn_write(w, e->term, 8);
    txn_write(w, e->kind, 1);
    txn_write(w, e->outcome, 1);
    txn_write(w, e->slot, 2);
    txn_write(w, e->session, 8);
    txn_write(w, e->number, 8);
    txn_write_bytes(w, e->ops, e->ops_size);
}

bool txn_entry_decode(struct txn_entry *out, const uint8_t *bytes, size_t size)
{
    struct txn_reader r = {bytes, bytes + size, false};
    *out = (struct txn_entry){.term = txn_read(&r, 8)};
    out->kind = (uint8_t)txn_read(&r, 1);
    out->outcome = (uint8_t)txn_read(&r, 1);
    out->slot = (uint16_t)txn_read(&r, 2);
    out->session = txn_read(&r, 8);
    out->number = txn_read(&r, 8);
    out->ops = r.at;
    out->ops_size = (size_t)(r.end - r.at);
    if (r.bad || size > TXN_ENTRY_MAX || out->kind >= TXN_KINDS || out->slot >= TXN_SESSIONS) return false;
    return out->ops_size == 0 || (out->kind == TXN_TRANSACTION && txn_ops_are_good(out->ops, out->ops_size));
}
