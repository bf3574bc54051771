/* SPDX-License-Identifier: MIT
 *
 * See message.h.
 */
#include "demi/examples/dns/message.h"

#include <ctype.h>
#include <string.h>

#define TYPE_SOA 6
#define TYPE_OPT 41
#define TTL_MAX  86400u

static uint32_t read_32(const uint8_t *at) { return (uint32_t)dns_16(at) << 16 | dns_16(at + 2); }

/* Behind the name at `at`, or 0. A pointer ends it: where that leads is nobody's business here. */
static size_t skip_name(const uint8_t *message, size_t size, size_t at)
{
    size_t length = 0;
    while (at < size) {
        unsigned n = message[at];
        if (n == 0) return at + 1;
        if ((n & 0xc0) == 0xc0) return at + 2 <= size ? at + 2 : 0;
        if (n & 0xc0 || (length += n + 1) > 254) return 0;
        at += n + 1;
    }
    return 0;
}

/* Behind the questions, or 0. */
static size_t skip_questions(const uint8_t *message, size_t size)
{
    size_t at = DNS_HEADER;
    if (size < DNS_HEADER || dns_16(message + 4) != 1) return 0;
    at = skip_name(message, size, at);
    return at && size - at >= 4 ? at + 4 : 0;
}

/* A record: where its fixed part (type, class, TTL, length) begins, and where the next one is. 0: there is none. */
static int next_record(const uint8_t *message, size_t size, size_t *at, size_t *fixed)
{
    *fixed = skip_name(message, size, *at);
    if (!*fixed || size - *fixed < 10 || size - *fixed - 10 < dns_16(message + *fixed + 8)) return 0;
    *at = *fixed + 10 + dns_16(message + *fixed + 8);
    return 1;
}

/* The flags of a query that make another answer of it: recursion wanted, checking disabled, and of EDNS its size, its
 * version and whether signatures are wanted. Options of EDNS (cookies…) are between the two ends: no cache has an
 * answer. */
static size_t key_of(uint8_t *key, const uint8_t *message, size_t size, size_t question_end)
{
    size_t question = question_end - DNS_HEADER, n, at = question_end, fixed;
    unsigned additional = dns_16(message + 10);
    if (question + 8 > DNS_KEY_MAX || dns_16(message + 6) || dns_16(message + 8) || additional > 1) return 0;
    for (n = 0; n < question; n++)
        key[n] = n + 4 < question ? (uint8_t)tolower(message[DNS_HEADER + n]) : message[DNS_HEADER + n];
    key[n++] = message[2] & 0x01;
    key[n++] = message[3] & 0x30;
    if (!additional) return at == size ? n : 0;
    if (!next_record(message, size, &at, &fixed) || at != size || fixed != question_end + 1 ||
        dns_16(message + fixed) != TYPE_OPT || dns_16(message + fixed + 8))
        return 0;
    memcpy(key + n, message + fixed + 2, 2); /* the size */
    memcpy(key + n + 2, message + fixed + 4, 4);
    return n + 6;
}

int dns_query_parse(struct dns_query *out, const uint8_t *message, size_t size)
{
    memset(out, 0, sizeof *out);
    if (size < DNS_HEADER || message[2] & 0x80) return -1;
    if (message[2] & 0x78) return DNS_NOTIMP; /* another opcode than QUERY */
    size_t end = skip_questions(message, size);
    for (size_t at = DNS_HEADER; end && at < end - 5; at += message[at] + 1u)
        if (message[at] & 0xc0) return DNS_FORMERR; /* a question has nothing to point at */
    if (!end) return DNS_FORMERR;
    out->question_size = end - DNS_HEADER;
    out->key_size = key_of(out->key, message, size, end);
    return DNS_NOERROR;
}

int dns_answers(const uint8_t *message, size_t size, const uint8_t *query, const struct dns_query *q)
{
    return size >= DNS_HEADER + q->question_size && message[2] & 0x80 && !(message[2] & 0x78) &&
           dns_16(message + 4) == 1 && memcmp(message + DNS_HEADER, query + DNS_HEADER, q->question_size) == 0;
}

uint32_t dns_ttl(const uint8_t *message, size_t size)
{
    uint32_t ttl = TTL_MAX;
    size_t at = skip_questions(message, size), fixed;
    unsigned code = message[3] & 0x0f, answers = dns_16(message + 6),
             records = answers + dns_16(message + 8) + dns_16(message + 10);
    int has_soa = 0;
    if (!at || message[2] & 0x02 || (code != DNS_NOERROR && code != DNS_NXDOMAIN)) return 0;
    for (unsigned i = 0; i < records; i++) {
        if (!next_record(message, size, &at, &fixed)) return 0;
        if (dns_16(message + fixed) == TYPE_OPT) {
            if (message[fixed + 4] || dns_16(message + fixed + 8)) return 0; /* more of a code, options */
            continue;
        }
        uint32_t its = read_32(message + fixed + 4);
        if (its & 0x80000000u) its = 0; /* RFC 2181, 8 */
        if (its < ttl) ttl = its;
        if (dns_16(message + fixed) == TYPE_SOA && dns_16(message + fixed + 8) >= 22) {
            has_soa = 1;
            if (!answers && read_32(message + at - 4) < ttl) ttl = read_32(message + at - 4);
        }
    }
    return at == size && (answers || has_soa) && !(code == DNS_NXDOMAIN && !has_soa) ? ttl : 0;
}

void dns_age(uint8_t *message, size_t size, uint32_t seconds)
{
    size_t at = skip_questions(message, size), fixed;
    unsigned records = dns_16(message + 6) + dns_16(message + 8) + dns_16(message + 10);
    for (unsigned i = 0; at && i < records && next_record(message, size, &at, &fixed); i++) {
        if (dns_16(message + fixed) == TYPE_OPT) continue;
        uint32_t ttl = read_32(message + fixed + 4);
        ttl = ttl > seconds ? ttl - seconds : 0;
        dns_put_16(message + fixed + 4, ttl >> 16);
        dns_put_16(message + fixed + 6, ttl & 0xffff);
    }
}

size_t dns_refuse(uint8_t *message, const struct dns_query *q, int code)
{
    message[2] = (uint8_t)(0x80 | (message[2] & 0x79)); /* an answer; opcode and "recursion wanted" are the query's */
    message[3] = (uint8_t)(0x80 | code);
    dns_put_16(message + 4, q->question_size > 0);
    memset(message + 6, 0, 6);
    return DNS_HEADER + q->question_size;
}
