/* SPDX-License-Identifier: MIT
 *
 * See wire.h. All numbers are big-endian.
 *
 *     greeting   0 "DEMI" | 4 version | 5 size, 32 | 6 features (2) | 8 bytes of a receive (4) | 12 window (4) |
 *                16 address of the word (8) | 24 its key (4) | 28 zeros (4)
 *     head       0 kind | 1 flags | 2 zeros (2) | 4 bytes behind the head (4) | 8 count (8)
 */
#include "libos/rdma/wire.h"

#include "alloc/base/bytes.h"

static const char magic[4] = {'D', 'E', 'M', 'I'};

void wire_put_greeting(uint8_t out[WIRE_GREETING_SIZE], const struct wire_greeting *g)
{
    memset(out, 0, WIRE_GREETING_SIZE);
    memcpy(out, magic, sizeof magic);
    out[4] = g->version;
    out[5] = WIRE_GREETING_SIZE;
    store_be16(out + 6, g->features);
    store_be32(out + 8, g->receive_size);
    store_be32(out + 12, g->window);
    store_be64(out + 16, g->word_addr);
    store_be32(out + 24, g->word_key);
}

static bool is_blank(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

static bool is_within(const struct wire_greeting *g)
{
    return g->receive_size >= WIRE_RECEIVE_MIN && g->receive_size <= WIRE_RECEIVE_MAX && g->window >= WIRE_WINDOW_MIN &&
           g->window <= WIRE_WINDOW_MAX && g->word_addr % 8 == 0;
}

enum wire_verdict wire_get_greeting(const void *p, size_t n, struct wire_greeting *out)
{
    const uint8_t *b = p;
    if (!n || is_blank(b, n)) return WIRE_NOTHING;
    if (n < sizeof magic + 2 || memcmp(b, magic, sizeof magic)) return WIRE_FOREIGN;
    if (b[4] != WIRE_VERSION) return WIRE_OTHER_VERSION;
    if (n < WIRE_GREETING_SIZE || b[5] < WIRE_GREETING_SIZE) return WIRE_NONSENSE;
    const struct wire_greeting g = {
        .version = b[4],
        .features = load_be16(b + 6),
        .receive_size = load_be32(b + 8),
        .window = load_be32(b + 12),
        .word_addr = load_be64(b + 16),
        .word_key = load_be32(b + 24),
    };
    if (!is_within(&g)) return WIRE_NONSENSE;
    *out = g;
    return WIRE_OURS;
}

void wire_put_head(uint8_t out[WIRE_HEAD_SIZE], const struct wire_head *h)
{
    out[0] = h->kind;
    out[1] = h->flags;
    store_u16(out + 2, 0);
    store_be32(out + 4, h->len);
    store_be64(out + 8, h->count);
}

bool wire_get_head(const void *p, size_t n, struct wire_head *out)
{
    const uint8_t *b = p;
    if (n < WIRE_HEAD_SIZE) return false;
    const struct wire_head h = {.kind = b[0], .flags = b[1], .len = load_be32(b + 4), .count = load_be64(b + 8)};
    if (h.kind < WIRE_DATA || h.kind > WIRE_COUNT || h.len != n - WIRE_HEAD_SIZE) return false;
    if ((h.kind == WIRE_DATA) != (h.len > 0)) return false;
    *out = h;
    return true;
}
