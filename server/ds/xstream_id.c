/* SPDX-License-Identifier: MIT
 *
 * What is digits only, as nearly every ID is, is read here. The rest is left to the library's strtoull(), since that is
 * what redis-server does: "+5" and " 5" are numbers to it.
 */
#include "server/ds/xstream_id.h"

#include <errno.h>
#include <stdlib.h>

#include "server/ds/number.h"

#define TEXT_MAX   127 /* longer ones are no ID */
#define DIGITS_MAX 19  /* of a number that fits for sure */

bool stream_id_increment(struct stream_id *id)
{
    if (++id->seq != 0) return true;
    return ++id->ms != 0;
}

bool stream_id_decrement(struct stream_id *id)
{
    if (id->seq-- != 0) return true;
    return id->ms-- != 0;
}

unsigned stream_id_format(char out[STREAM_ID_TEXT_SIZE], struct stream_id id)
{
    unsigned n = number_format_u64(out, id.ms);
    out[n++] = '-';
    return n + number_format_u64(out + n, id.seq);
}

static bool parse_slowly(const char *s, uint64_t *out)
{
    int64_t v;
    if (number_parse_i64(bytes_of_str(s), &v)) {
        if (v < 0) return false;
        *out = (uint64_t)v;
        return true;
    }
    char *end;
    errno = 0;
    unsigned long long n = strtoull(s, &end, 10);
    if (errno || *s == 0 || *end != 0) return false;
    *out = n;
    return true;
}

static bool parse_number(struct bytes s, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < s.n && i < DIGITS_MAX; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9) break;
        v = v * 10 + digit;
    }
    if (likely(i == s.n && i > 0)) {
        *out = v;
        return true;
    }
    char text[TEXT_MAX + 1];
    if (s.n) memcpy(text, s.p, s.n);
    text[s.n] = 0;
    return parse_slowly(text, out);
}

static bool is_char(struct bytes s, char ch) { return s.n == 1 && s.p[0] == ch; }

bool stream_id_parse(struct bytes text, uint64_t missing, struct stream_id *id, bool *auto_seq)
{
    struct stream_id v = {.seq = missing};
    if (auto_seq) *auto_seq = false;
    if (text.n > TEXT_MAX || is_char(text, '-') || is_char(text, '+')) return false;
    const char *dash = text.n ? memchr(text.p, '-', text.n) : NULL;
    size_t ms_size = dash ? (size_t)(dash - text.p) : text.n;
    if (!parse_number(bytes_of(text.p, ms_size), &v.ms)) return false;
    if (dash) {
        struct bytes seq = bytes_of(dash + 1, text.n - ms_size - 1);
        if (auto_seq && is_char(seq, '*')) *auto_seq = true, v.seq = 0;
        else if (!parse_number(seq, &v.seq)) return false;
    }
    *id = v;
    return true;
}

bool stream_id_parse_bound(struct bytes text, uint64_t missing, struct stream_id *id)
{
    if (is_char(text, '-')) *id = (struct stream_id){0};
    else if (is_char(text, '+')) *id = STREAM_ID_MAX;
    else return stream_id_parse(text, missing, id, NULL);
    return true;
}
