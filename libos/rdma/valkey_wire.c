/* SPDX-License-Identifier: MIT
 *
 * See valkey_wire.h. Valkey's protocol page leaves open what a server does when the rules are broken; its own server
 * dies of some of it. Here whatever cannot be meant ends that connection: a number beyond the buffer, a buffer that
 * comes while the last one is not full (bytes under way could not be told apart), one without bytes, features that
 * there are not. A length is believed, but nothing is allocated by it: we write as far as there is something to say.
 */
#include "libos/rdma/valkey_wire.h"

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

void valkey_wire_init(struct valkey_wire *w, uint32_t size)
{
    ASSERT(size >= VALKEY_BUFFER_MIN && size <= VALKEY_BUFFER_MAX);
    *w = (struct valkey_wire){.size = size, .lends_anew = true};
}

static const char *asks(struct valkey_wire *w, uint16_t select)
{
    if (w->asked == VALKEY_ASKED_MAX) return "more questions than it waits for answers";
    w->select[w->asked++] = select;
    return NULL;
}

static const char *lends(struct valkey_wire *w, const uint8_t *b)
{
    uint32_t size = load_be32(b + 24);
    if (w->is_lent && w->out_at != w->out_size) return "another buffer before the last was full";
    if (!size) return "a buffer of no bytes";
    w->is_lent = true;
    w->out_addr = load_be64(b + 16);
    w->out_size = size;
    w->out_key = load_be32(b + 28);
    w->out_at = 0;
    return NULL;
}

const char *valkey_wire_heard(struct valkey_wire *w, const void *p, size_t n)
{
    const uint8_t *b = p;
    if (n != VALKEY_MESSAGE_SIZE) return "a message that is none of Valkey's";
    switch (load_be16(b)) {
    case VALKEY_GET_FEATURES: return asks(w, load_be16(b + 2));
    case VALKEY_SET_FEATURES: return load_be64(b + 24) ? "features that there are not" : NULL;
    case VALKEY_KEEPALIVE: return NULL;
    case VALKEY_LENDS: return lends(w, b);
    default: return "an opcode that Valkey does not have";
    }
}

const char *valkey_wire_written(struct valkey_wire *w, uint32_t n)
{
    if (w->lends_anew) return n ? "bytes for a buffer that it does not have yet" : NULL;
    if (n > w->size - w->have) return "more bytes than its buffer has";
    w->have += n;
    return NULL;
}

bool valkey_wire_took(struct valkey_wire *w, uint32_t n)
{
    ASSERT(n <= w->have - w->read);
    w->read += n;
    if (w->read != w->size) return false;
    w->have = w->read = 0;
    w->lends_anew = true;
    return true;
}

void valkey_wire_say(struct valkey_wire *w, uint64_t addr, uint32_t key, uint8_t out[VALKEY_MESSAGE_SIZE])
{
    ASSERT(valkey_wire_has_to_say(w));
    memset(out, 0, VALKEY_MESSAGE_SIZE);
    if (w->lends_anew) {
        w->lends_anew = false;
        store_be16(out, VALKEY_LENDS);
        store_be64(out + 16, addr);
        store_be32(out + 24, w->size);
        store_be32(out + 28, key);
        return;
    }
    store_be16(out, VALKEY_GET_FEATURES);
    store_be16(out + 2, w->select[0]);
    memmove(w->select, w->select + 1, (--w->asked) * sizeof *w->select);
}

void valkey_wire_check(const struct valkey_wire *w)
{
    ASSERT(w->read <= w->have);
    ASSERT(w->have <= w->size);
    ASSERT(!w->lends_anew || !w->have);
    ASSERT(w->out_at <= w->out_size);
    ASSERT(w->is_lent || !w->out_size);
    ASSERT(w->asked <= VALKEY_ASKED_MAX);
}
