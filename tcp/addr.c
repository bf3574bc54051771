/* SPDX-License-Identifier: MIT
 *
 * Addresses as text and as prefixes. The text forms themselves are the C library's (inet_pton takes what RFC 4291 2.2
 * allows, inet_ntop writes as RFC 5952 recommends); here stand the two families in one form, and prefix lengths.
 */
#include "tcp/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static inline unsigned addr_bits(const struct ip_addr *a) { return addr_is_v4(a) ? 32 : 128; }

bool addr_in_prefix(const struct ip_addr *a, const struct ip_addr *prefix, unsigned bits)
{
    if (addr_is_v4(a) != addr_is_v4(prefix)) return false; /* ::/0 is not 0.0.0.0/0 */
    if (bits >= addr_bits(a)) return addr_equal(a, prefix);
    if (addr_is_v4(a)) bits += 96;
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a->b, prefix->b, whole) != 0) return false;
    return rest == 0 || (a->b[whole] ^ prefix->b[whole]) >> (8 - rest) == 0;
}

int addr_parse(const char *text, struct ip_addr *out)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        *out = addr_v4(v4.s_addr);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &v6) != 1) return -EINVAL;
    memcpy(out->b, &v6, sizeof out->b);
    return 0;
}

/* One to three digits and nothing else. */
static int parse_bits(const char *text, unsigned max, unsigned *out)
{
    unsigned v = 0, digits = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || ++digits > 3) return -EINVAL;
        v = v * 10 + (unsigned)(*text - '0');
    }
    if (digits == 0 || v > max) return -EINVAL;
    *out = v;
    return 0;
}

int addr_parse_prefix(const char *text, struct ip_addr *out, unsigned *bits)
{
    const char *slash = strchr(text, '/');
    char alone[ADDR_TEXT_MAX];
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof alone) return -EINVAL;
    memcpy(alone, text, n);
    alone[n] = 0;

    struct ip_addr a;
    unsigned length;
    if (addr_parse(alone, &a)) return -EINVAL;
    length = addr_bits(&a);
    if (slash && parse_bits(slash + 1, length, &length)) return -EINVAL;
    *out = a;
    *bits = length;
    return 0;
}

const char *addr_text(const struct ip_addr *a, char out[ADDR_TEXT_MAX])
{
    if (addr_is_v4(a)) snprintf(out, ADDR_TEXT_MAX, "%u.%u.%u.%u", a->b[12], a->b[13], a->b[14], a->b[15]);
    else inet_ntop(AF_INET6, a->b, out, ADDR_TEXT_MAX);
    return out;
}
