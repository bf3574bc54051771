/* SPDX-License-Identifier: MIT
 *
 * DNS messages (RFC 1035, RFC 6891), as much of them as a relay with a cache reads. Whatever the bytes are, nothing is
 * read beyond `size`.
 */
#ifndef DEMI_EXAMPLES_DNS_MESSAGE_H
#define DEMI_EXAMPLES_DNS_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER   12
#define DNS_KEY_MAX  300
#define DNS_NOERROR  0
#define DNS_FORMERR  1
#define DNS_SERVFAIL 2
#define DNS_NXDOMAIN 3
#define DNS_NOTIMP   4

struct dns_query {
    size_t question_size; /* behind the header */
    size_t key_size;      /* 0: an answer to it is not kept, nor is one that was kept its answer */
    uint8_t key[DNS_KEY_MAX];
};

static inline uint16_t dns_16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static inline void dns_put_16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* -1: it is to be thrown away (no query: whoever answers those can be made to answer himself for ever); DNS_NOERROR;
 * or what to answer. */
int dns_query_parse(struct dns_query *out, const uint8_t *message, size_t size);

/* Whether it answers this query, as it was sent: the same question, letter by letter. */
int dns_answers(const uint8_t *message, size_t size, const uint8_t *query, const struct dns_query *q);

/* For how many seconds it may be kept; 0: it may not (RFC 2308 for those that say no). */
uint32_t dns_ttl(const uint8_t *message, size_t size);
/* Takes `seconds` off each time to live. */
void dns_age(uint8_t *message, size_t size, uint32_t seconds);

/* Makes a query its own answer without records; its size. */
size_t dns_refuse(uint8_t *message, const struct dns_query *q, int code);

#endif
