/* SPDX-License-Identifier: MIT
 *
 * An RDB file as a string of tokens: opcodes, lengths, strings, bytes. What tokens follow an opcode is a program, a
 * text of one character a token, so that blocks may be cut anywhere: the state between two blocks is a place in that
 * text, the counts of the loops around it, and what there was of the last token's head.
 *
 *     l      a length                     s      a string         k   a string that is the name of a key
 *     1 to 9 so many bytes                G      16 bytes         d   a score as text
 *     ( )    a length, and so many times what stands in between
 *
 * Most keys have short strings, which lie in the block whole: those are read in one go (note_pair()). Whatever that
 * does not like it leaves to the tokens.
 */
#include "server/rdb/lookahead.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"
#include "server/ds/lzf.h"
#include "server/ds/number.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"

#define MAGIC_SIZE 9
#define HEAD_MAX   (1 + 2 * RDB_LENGTH_SIZE_MAX) /* of a token: the lengths of a compressed string */
#define LOOPS_MAX  (sizeof((struct rdb_lookahead *)0)->loops / sizeof((struct rdb_lookahead *)0)->loops[0])

/* What is not here, and data of modules, is not understood. */
static const char *const programs[256] = {
    [RDB_STRING] = "ks",
    [RDB_LIST] = "k(s)",
    [RDB_SET] = "k(s)",
    [RDB_ZSET] = "k(sd)",
    [RDB_HASH] = "k(ss)",
    [RDB_ZSET_2] = "k(s8)",
    [RDB_HASH_ZIPMAP] = "ks",
    [RDB_LIST_ZIPLIST] = "ks",
    [RDB_SET_INTSET] = "ks",
    [RDB_ZSET_ZIPLIST] = "ks",
    [RDB_HASH_ZIPLIST] = "ks",
    [RDB_LIST_QUICKLIST] = "k(s)",
    [RDB_STREAM_LISTPACKS] = "k(ss)lll(sll(G8l)(s8(G)))",
    [RDB_HASH_LISTPACK] = "ks",
    [RDB_ZSET_LISTPACK] = "ks",
    [RDB_LIST_QUICKLIST_2] = "k(ls)",
    [RDB_STREAM_LISTPACKS_2] = "k(ss)llllllll(slll(G8l)(s8(G)))",
    [RDB_SET_LISTPACK] = "ks",
    [RDB_STREAM_LISTPACKS_3] = "k(ss)llllllll(slll(G8l)(s88(G)))",
    [RDB_OP_FUNCTION2] = "s",
    [RDB_OP_IDLE] = "l",
    [RDB_OP_FREQ] = "1",
    [RDB_OP_AUX] = "ss",
    [RDB_OP_RESIZEDB] = "ll",
    [RDB_OP_EXPIRE_MS] = "8",
    [RDB_OP_EXPIRE] = "4",
    [RDB_OP_SELECTDB] = "l",
};

/* --- heads of tokens ---------------------------------------------------------------------------------------------- */

struct token_head {
    uint64_t n;     /* the length; of a string: of what follows the head */
    uint64_t plain; /* of a compressed string: its size unpacked */
    int special;    /* of a string: RDB_ENC_…; -1: neither integer nor compressed */
};

#define HEAD_IS_CUT       0 /* too few bytes are there */
#define HEAD_IS_MALFORMED -1

/* All three return the size of the head, or one of these. */
static int length_head(const unsigned char *p, size_t n, struct token_head *h)
{
    h->special = -1;
    if (n == 0) return HEAD_IS_CUT;
    if (p[0] < RDB_LEN_14) {
        h->n = p[0];
        return 1;
    }
    if (p[0] >= RDB_ENC) {
        h->special = p[0] & 63;
        return 1;
    }
    if (p[0] < RDB_LEN_32) {
        h->n = n < 2 ? 0 : (uint64_t)(p[0] & 63) << 8 | p[1];
        return n < 2 ? HEAD_IS_CUT : 2;
    }
    if (p[0] > RDB_LEN_64) return HEAD_IS_MALFORMED;
    size_t size = p[0] == RDB_LEN_32 ? 5 : 9;
    if (n < size) return HEAD_IS_CUT;
    h->n = size == 5 ? load_be32(p + 1) : load_be64(p + 1);
    return (int)size;
}

static int plain_length_head(const unsigned char *p, size_t n, struct token_head *h)
{
    int size = length_head(p, n, h);
    return h->special < 0 ? size : HEAD_IS_MALFORMED;
}

static int string_head(const unsigned char *p, size_t n, struct token_head *h)
{
    int size = length_head(p, n, h);
    if (size <= 0 || h->special < 0) return size;
    int special = h->special;
    if (special <= RDB_ENC_I32) {
        h->n = (uint64_t)1 << special;
        return size;
    }
    if (special != RDB_ENC_LZF) return HEAD_IS_MALFORMED;
    int packed = plain_length_head(p + 1, n - 1, h);
    if (packed <= 0) return packed;
    struct token_head plain;
    int unpacked = plain_length_head(p + 1 + packed, n - 1 - (size_t)packed, &plain);
    if (unpacked <= 0) return unpacked;
    h->special = special;
    h->plain = plain.n;
    return 1 + packed + unpacked;
}

static int score_head(const unsigned char *p, size_t n, struct token_head *h)
{
    if (n == 0) return HEAD_IS_CUT;
    h->n = p[0] >= RDB_DOUBLE_NAN ? 0 : p[0];
    return 1;
}

/* --- notes -------------------------------------------------------------------------------------------------------- */

/* A string that lies in the block, or in the room. */
struct string_view {
    uint32_t at, size;
    bool unpacked;
    int special; /* RDB_ENC_I8 to I32: it is an integer of `size` bytes; -1: it is not */
};

static uint32_t offset_of(const struct rdb_notes *notes, const unsigned char *p)
{
    return (uint32_t)(p - (const unsigned char *)notes->block.p);
}

/* The compressed string at p, whose head is known and which is there whole. False: it is not noted. */
static bool note_packed(struct rdb_notes *notes, const unsigned char *p, const struct token_head *h,
                        struct string_view *v)
{
    uint32_t room = notes->room_used;
    if (notes->string_count == RDB_STRINGS_NOTED || h->plain > RDB_NOTES_ROOM - room || h->plain == 0) return false;
    if (lzf_decompress(p, (size_t)h->n, notes->room + room, (size_t)h->plain) != h->plain) return false;
    *v = (struct string_view){room, (uint32_t)h->plain, true, -1};
    notes->strings[notes->string_count++] =
        (struct rdb_noted_string){offset_of(notes, p), (uint32_t)h->n, v->size, room};
    notes->room_used += v->size;
    return true;
}

/* The string at *p, which is behind it afterwards. False: it is not there whole, or not noted. */
static bool view_string(struct rdb_notes *notes, const unsigned char **p, const unsigned char *end,
                        struct string_view *v)
{
    struct token_head h;
    int size = string_head(*p, (size_t)(end - *p), &h);
    if (size <= 0) return false;
    const unsigned char *q = *p + size;
    if (h.n > (size_t)(end - q)) return false;
    if (h.special == RDB_ENC_LZF) {
        if (!note_packed(notes, q, &h, v)) return false;
    } else {
        *v = (struct string_view){offset_of(notes, q), (uint32_t)h.n, false, h.special};
    }
    *p = q + h.n;
    return true;
}

/* The name of a key: an integer becomes its text. */
static bool name_of(struct rdb_notes *notes, struct string_view *v)
{
    if (v->special < 0) return v->size <= UINT16_MAX;
    if (RDB_NOTES_ROOM - notes->room_used < NUMBER_I64_SIZE) return false;
    char *to = notes->room + notes->room_used;
    int64_t i = rdb_noted_integer(notes->block.p + v->at, v->size);
    *v = (struct string_view){notes->room_used, number_format_i64(to, i), true, -1};
    notes->room_used += v->size;
    return true;
}

static struct rdb_noted_key *note_key(const struct rdb_lookahead *l, struct rdb_notes *notes, uint32_t at,
                                      struct string_view name)
{
    struct rdb_noted_key *k = &notes->keys[notes->key_count++];
    *k = (struct rdb_noted_key){.at = at,
                                .key = name.at,
                                .key_size = (uint16_t)name.size,
                                .key_unpacked = name.unpacked,
                                .noted = RDB_NOTED_KEY};
    k->hash = hash_bytes(rdb_noted_bytes(notes, name.at, name.unpacked), name.size, l->seed);
    return k;
}

/* --- a pair in one go --------------------------------------------------------------------------------------------- */

/* A key at p with a string, both in the block. Returns what is behind it; NULL: it is something else, or not noted. */
static const unsigned char *pair_at(const struct rdb_lookahead *l, struct rdb_notes *notes, const unsigned char *p,
                                    const unsigned char *end)
{
    struct string_view name, value;
    bool expires = *p == RDB_OP_EXPIRE_MS;
    const unsigned char *q = p;
    if (expires) {
        if (end - p < 10) return NULL;
        q += 9;
    }
    if (*q++ != RDB_STRING) return NULL;
    if (!view_string(notes, &q, end, &name) || !view_string(notes, &q, end, &value)) return NULL;
    if (value.size > UINT16_MAX || !name_of(notes, &name)) return NULL;
    struct rdb_noted_key *k = note_key(l, notes, offset_of(notes, p), name);
    k->end = offset_of(notes, q);
    k->value = value.at;
    k->value_size = (uint16_t)value.size;
    k->value_unpacked = value.unpacked;
    k->expires = expires;
    k->noted = value.special < 0 ? RDB_NOTED_STRING : RDB_NOTED_INTEGER;
    return q;
}

/* As many as there are one after the other; an opcode is at p, or it is the end. */
static const unsigned char *note_pairs(const struct rdb_lookahead *l, struct rdb_notes *notes, const unsigned char *p,
                                       const unsigned char *end)
{
    while (p < end && notes->key_count < RDB_KEYS_NOTED) {
        uint32_t strings = notes->string_count, room = notes->room_used;
        const unsigned char *next = pair_at(l, notes, p, end);
        if (!next) {
            notes->string_count = strings;
            notes->room_used = room;
            break;
        }
        p = next;
    }
    return p;
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

typedef int head_fn(const unsigned char *p, size_t n, struct token_head *h);

/* The head of a token from *p on, some of which may have come with the last block. 1; 0: the block ends in it;
 * -1: malformed. */
static int take_head(struct rdb_lookahead *l, const unsigned char **p, const unsigned char *end, head_fn *fn,
                     struct token_head *h)
{
    size_t had = l->cut_size, there = (size_t)(end - *p), more = there < HEAD_MAX ? there : HEAD_MAX;
    const unsigned char *from = *p;
    if (had) {
        memcpy(l->cut + had, *p, more < sizeof l->cut - had ? more : sizeof l->cut - had);
        from = l->cut;
        more = more < sizeof l->cut - had ? more + had : sizeof l->cut;
    }
    int size = fn(from, more, h);
    if (size < 0) return -1;
    if (size) {
        ASSERT((size_t)size > had);
        *p += (size_t)size - had;
        l->cut_size = 0;
        return 1;
    }
    ASSERT(had + there < HEAD_MAX);
    if (!had) memcpy(l->cut, *p, there);
    l->cut_size = (unsigned)(had + there);
    *p = end;
    return 0;
}

/* Behind the loop that begins at t. */
static const char *loop_end(const char *t)
{
    for (int depth = 1; depth;) {
        t++;
        depth += (*t == '(') - (*t == ')');
    }
    return t + 1;
}

static void begin_loop(struct rdb_lookahead *l, uint64_t times)
{
    if (times == 0) {
        l->token = loop_end(l->token);
        return;
    }
    ASSERT(l->depth < LOOPS_MAX);
    l->token++;
    l->loops[l->depth].begin = l->token;
    l->loops[l->depth++].left = times;
}

/* The program is at the end of loops, perhaps. */
static void end_loops(struct rdb_lookahead *l)
{
    while (*l->token == ')') {
        if (--l->loops[l->depth - 1].left) {
            l->token = l->loops[l->depth - 1].begin;
            return;
        }
        l->depth--;
        l->token++;
    }
}

/* A string's head is past; whole: nothing of it came with the last block. */
static void note_string(const struct rdb_lookahead *l, struct rdb_notes *notes, const unsigned char *p,
                        const unsigned char *end, const struct token_head *h, bool whole)
{
    struct string_view v = {offset_of(notes, p), (uint32_t)h->n, false, h->special};
    if (h->n > (size_t)(end - p)) return;
    if (h->special == RDB_ENC_LZF && !note_packed(notes, p, h, &v)) return;
    if (*l->token != 'k' || !whole || l->item_at < 0 || notes->key_count == RDB_KEYS_NOTED) return;
    if (name_of(notes, &v)) note_key(l, notes, (uint32_t)l->item_at, v);
}

/* The token at *p, or what is there of it. False: there is no going on. */
static bool take_token(struct rdb_lookahead *l, struct rdb_notes *notes, const unsigned char **p,
                       const unsigned char *end)
{
    struct token_head h = {0};
    bool whole = l->cut_size == 0;
    char token = *l->token;
    int took = 1;
    switch (token) {
    case 's':
    case 'k': took = take_head(l, p, end, string_head, &h); break;
    case 'l':
    case '(': took = take_head(l, p, end, plain_length_head, &h); break;
    case 'd': took = take_head(l, p, end, score_head, &h); break;
    case 'G': h.n = 16; break;
    default: h.n = (uint64_t)(token - '0'); break;
    }
    if (took <= 0) return took == 0;
    if (token == '(') {
        begin_loop(l, h.n);
    } else {
        if (token == 's' || token == 'k') note_string(l, notes, *p, end, &h, whole);
        if (token != 'l') l->skip = h.n;
        l->token++;
    }
    end_loops(l);
    return true;
}

static bool take_opcode(struct rdb_lookahead *l, const struct rdb_notes *notes, const unsigned char **p)
{
    unsigned char op = **p;
    if (!programs[op]) return false; /* RDB_OP_EOF, too: what follows is something else */
    if (l->fresh) l->item_at = offset_of(notes, *p);
    l->fresh = op != RDB_OP_EXPIRE && op != RDB_OP_EXPIRE_MS && op != RDB_OP_IDLE && op != RDB_OP_FREQ;
    l->token = programs[op];
    ++*p;
    return true;
}

static bool take_next(struct rdb_lookahead *l, struct rdb_notes *notes, const unsigned char **p,
                      const unsigned char *end)
{
    if (l->skip) {
        size_t there = (size_t)(end - *p), n = l->skip < there ? (size_t)l->skip : there;
        l->skip -= n;
        *p += n;
        return true;
    }
    if (*l->token) return take_token(l, notes, p, end);
    if (l->fresh) *p = note_pairs(l, notes, *p, end);
    return *p == end || take_opcode(l, notes, p);
}

/* --- public ------------------------------------------------------------------------------------------------------- */

void rdb_lookahead_init(struct rdb_lookahead *l, uint64_t seed, bool summing)
{
    *l = (struct rdb_lookahead){
        .seed = seed, .summing = summing, .fresh = true, .token = "", .skip = MAGIC_SIZE, .item_at = -1};
}

void rdb_lookahead_block(struct rdb_lookahead *l, struct bytes block, struct rdb_notes *notes)
{
    ASSERT(block.n > 0 && block.n <= RDB_BLOCK_MAX);
    const unsigned char *p = (const unsigned char *)block.p, *end = p + block.n;
    notes->block = block;
    notes->seed = l->seed;
    notes->summed = l->summing;
    notes->crc = l->crc;
    notes->key_count = notes->string_count = notes->room_used = 0;
    if (l->summing) l->crc = crc64(l->crc, block.p, block.n);
    l->item_at = -1;
    while (!l->lost && p < end)
        if (!take_next(l, notes, &p, end)) l->lost = true;
}
