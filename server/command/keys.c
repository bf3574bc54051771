/* SPDX-License-Identifier: MIT
 *
 * Where the keys of a call stand: command_keys() walks the key specs of a command. What a client
 * sends may contradict its own counts in any way ("ZUNION 1000000 a"), so every index is compared
 * with argc before it is used and every sum is made where it cannot overflow (CVE-2023-36824 was a
 * count believed).
 *
 *      SET  key value              range: begin 1, last 0
 *      MSET k v k v k v            range: begin 1, last -1, step 2
 *      ZUNIONSTORE d 2 a b         range: begin 1, last 0; keynum: begin 2, number 0, first 1
 *      ... STORE key               keyword: begin behind the word
 *      XREAD ... STREAMS a b 1 2   keyword, range: last -1, limit 2 (half of what follows)
 */
#include <limits.h>
#include <strings.h>

#include "alloc/base/assert.h"
#include "server/command/command.h"

struct keys_found {
    int *out;
    uint16_t *flags;
    int max, count;
};

struct span {
    int first, last, step;
};

/* The index behind the keyword; 0: not there. */
static int keyword_find(const struct key_spec *ks, const struct bytes *argv, int argc)
{
    size_t n = strlen(ks->begin_keyword);
    bool forward = ks->begin_pos > 0;
    int i = forward ? ks->begin_pos : argc + ks->begin_pos;
    for (; i >= 1 && i < argc; i += forward ? 1 : -1) {
        if (argv[i].n != n) continue;
        if (strncasecmp(argv[i].p, ks->begin_keyword, n) == 0) return i + 1;
    }
    return 0;
}

/* A number of keys as the commands themselves read it: digits only, no leading zero. -1: is none,
 * or more than INT_MAX. */
static int count_parse(struct bytes b)
{
    if (b.n == 0 || b.n > 10 || (b.p[0] == '0' && b.n > 1)) return -1;
    int64_t v = 0;
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] < '0' || b.p[i] > '9') return -1;
        v = v * 10 + (b.p[i] - '0');
    }
    return v > INT_MAX ? -1 : (int)v;
}

static struct span span_of_range(const struct key_spec *ks, int first, int argc)
{
    int last;
    if (ks->last >= 0) last = first + ks->last;
    else if (ks->limit) last = first + (argc - first) / ks->limit + ks->last;
    else last = argc + ks->last;
    return (struct span){first, last, ks->step};
}

static int span_of_keynum(const struct key_spec *ks, const struct bytes *argv, int first, int argc, struct span *s)
{
    if (first + ks->keynum_index >= argc) return -1;
    int count = count_parse(argv[first + ks->keynum_index]);
    if (count < 0 || count > argc) return -1;
    first += ks->first_key;
    *s = (struct span){first, first + count - 1, ks->keynum_step};
    return 0;
}

static int spec_walk(const struct key_spec *ks, const struct bytes *argv, int argc, struct keys_found *f)
{
    if (ks->begin == KEY_BEGIN_UNKNOWN || ks->find == KEY_FIND_UNKNOWN) return -1;
    int first = ks->begin_pos;
    if (ks->begin == KEY_BEGIN_KEYWORD) {
        first = keyword_find(ks, argv, argc);
        if (first == 0) return 0;
    }
    struct span s;
    if (ks->find == KEY_FIND_RANGE) s = span_of_range(ks, first, argc);
    else if (span_of_keynum(ks, argv, first, argc, &s) < 0) return -1;
    if (s.first < 1 || s.last < s.first || s.last >= argc) return -1;
    ASSERT(s.step > 0);
    for (int i = s.first; i <= s.last; i += s.step) {
        if (f->count < f->max) {
            f->out[f->count] = i;
            if (f->flags) f->flags[f->count] = ks->flags;
        }
        f->count++;
    }
    return ks->flags & KEY_INCOMPLETE ? -1 : 0;
}

int command_keys(const struct command *cmd, const struct bytes *argv, int argc, int *out, uint16_t *flags_out, int max)
{
    if (cmd->getkeys) {
        uint16_t unwanted[2];
        return flags_out ? cmd->getkeys(argv, argc, out, flags_out, max)
                         : cmd->getkeys(argv, argc, out, unwanted, max < 2 ? max : 2);
    }
    struct keys_found f = {.out = out, .flags = flags_out, .max = max};
    for (unsigned i = 0; i < cmd->key_count; i++) {
        if (cmd->keys[i].flags & KEY_NOT_KEY) continue;
        if (spec_walk(&cmd->keys[i], argv, argc, &f) < 0) return -1;
    }
    return f.count;
}
