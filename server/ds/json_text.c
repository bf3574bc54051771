/* SPDX-License-Identifier: MIT */
#include "server/ds/json_text.h"

#include <string.h>

/* Bytes of the UTF-8 character that text begins with, 1 to 4; 0: it begins with none. RFC 3629 section 4: what may
 * follow the first byte, so that nothing is written longer than it must be (C0, E0 80), no surrogate (ED A0) and
 * nothing above U+10FFFF (F4 90) passes. */
static size_t utf8_character(struct bytes text)
{
    if (!text.n) return 0;
    const unsigned char *p = (const unsigned char *)text.p;
    unsigned char first = p[0], low = 0x80, high = 0xbf;
    if (first < 0x80) return 1;
    size_t n = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
    if (!n || text.n < n) return 0;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}

static size_t json_escape_byte(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef", from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        out[0] = '\\';
        out[1] = to[found - from];
        return 2;
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return JSON_TEXT_GROWTH;
}

size_t json_text_write(char *out, size_t size, struct bytes text)
{
    size_t at = 0;
    while (text.n) {
        unsigned char c = (unsigned char)text.p[0];
        size_t n = utf8_character(text);
        char escaped[JSON_TEXT_GROWTH];
        bool plain = n > 1 || (n == 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f);
        size_t written = plain ? n : json_escape_byte(escaped, c);
        if (written > size - at) break;
        memcpy(out + at, plain ? text.p : escaped, written);
        at += written;
        size_t used = n ? n : 1;
        text = bytes_of(text.p + used, text.n - used);
    }
    return at;
}
