/* SPDX-License-Identifier: MIT
 *
 * What the load generator sends and how it counts what comes back.
 *
 * A request is built once, as RESP, with the places of its random digits remembered; sending is a copy and a few
 * digits. Keys look as redis-benchmark's do: "key:" and twelve digits, 16 bytes.
 *
 * Replies of most workloads all have one length: then bytes are divided by it and nothing is parsed, which is what
 * lets one core of load outrun one core of server. The others go through a scanner that knows where a reply ends
 * however it is split, and looks at nothing else.
 */
#ifndef TOOLS_BENCH_WORKLOAD_H
#define TOOLS_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DIGITS = 16, DIGITS = 12, MAX_WORDS = 128 };

struct workload {
    const char *name;
    const char *words; /* "%k" a key of its own, "%m" a random member, "%v" a value */
    bool fixed;        /* every reply has the same length */
};

/* The tests of redis-benchmark under its names, and a few more. */
static const struct workload workloads[] = {
    {"ping", "PING", true},
    {"set", "SET key:%k %v", true},
    {"get", "GET key:%k", true},
    {"getmiss", "GET none:%k", true},
    {"incr", "INCR counter:%k", false},
    {"lpush", "LPUSH mylist %v", false},
    {"rpush", "RPUSH mylist %v", false},
    {"lpop", "LPOP mylist", false},
    {"rpop", "RPOP mylist", false},
    {"sadd", "SADD myset element:%m", true},
    {"spop", "SPOP myset", false},
    {"hset", "HSET myhash element:%m %v", true},
    {"zadd", "ZADD myzset %m element:%m", true},
    {"zpopmin", "ZPOPMIN myzset", false},
    {"lrange100", "LRANGE mylist 0 99", true},
    {"setex", "SET key:%k %v EX 86400", true},
    {"mset", "MSET key:%k %v key:%k %v key:%k %v key:%k %v key:%k %v key:%k %v key:%k %v key:%k %v key:%k %v key:%k %v",
     true},
    {"echo", NULL, true}, /* bytes as they are, for echo servers */
};

struct request {
    uint8_t *bytes;
    size_t size;
    size_t digits[MAX_DIGITS]; /* offsets of twelve digits to randomise */
    unsigned digit_count;
};

static inline const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (!strcasecmp(workloads[i].name, name)) return &workloads[i];
    return NULL;
}

/* Expands one word of a workload into out; digits_at tells where random digits begin, or -1. */
static inline size_t word_expand(const char *word, size_t length, size_t value_size, uint8_t *out, long *digits_at)
{
    size_t at = 0;
    *digits_at = -1;
    for (size_t i = 0; i < length; i++) {
        if (word[i] != '%' || i + 1 == length) {
            out[at++] = (uint8_t)word[i];
        } else if (word[++i] == 'v') {
            memset(out + at, 'x', value_size);
            at += value_size;
        } else {
            *digits_at = (long)at;
            memset(out + at, '0', DIGITS);
            at += DIGITS;
        }
    }
    return at;
}

/* An echo server's request: value_size bytes. */
static inline int request_build_echo(struct request *r, size_t value_size)
{
    *r = (struct request){.bytes = malloc(value_size), .size = value_size};
    if (!r->bytes) return -1;
    memset(r->bytes, 'x', value_size);
    return 0;
}

/* Builds a request from words between spaces. The caller frees r->bytes. -1: too many words or no memory. */
static inline int request_build(struct request *r, const char *words, size_t value_size)
{
    size_t room = strlen(words) * 32 + 64, values = 0, count = 1;
    for (const char *p = words; *p; p++) {
        values += p[0] == '%' && p[1] == 'v';
        count += *p == ' ';
    }
    if (count > MAX_WORDS) return -1;
    uint8_t *word_buffer = malloc(room + values * value_size);
    *r = (struct request){.bytes = malloc(room + values * value_size + count * 32)};
    if (!r->bytes || !word_buffer) {
        free(word_buffer);
        free(r->bytes);
        return -1;
    }
    r->size = (size_t)sprintf((char *)r->bytes, "*%zu\r\n", count);
    while (*words) {
        size_t length = strcspn(words, " ");
        long digits_at;
        size_t size = word_expand(words, length, value_size, word_buffer, &digits_at);
        r->size += (size_t)sprintf((char *)r->bytes + r->size, "$%zu\r\n", size);
        if (digits_at >= 0 && r->digit_count < MAX_DIGITS) r->digits[r->digit_count++] = r->size + (size_t)digits_at;
        memcpy(r->bytes + r->size, word_buffer, size);
        memcpy(r->bytes + r->size + size, "\r\n", 2);
        r->size += size + 2;
        words += length + (words[length] == ' ');
    }
    free(word_buffer);
    return 0;
}

static inline void digits_write(uint8_t *out, uint64_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10) out[i] = (uint8_t)('0' + number % 10);
}

/* Where the current reply ends, over any split. left: bytes to skip; depth: replies still to come within the
 * aggregate. */
struct scanner {
    uint64_t left;
    uint64_t elements; /* of the reply that is being read, itself included */
    char head[32];     /* a length line that is not complete yet */
    unsigned head_size;
    bool in_text; /* inside a line whose end is all that matters */
};

/* Takes a length line ("*3", "$-1"); nested aggregates add up, so no stack is needed. */
static inline void scanner_head(struct scanner *s)
{
    s->head[s->head_size] = '\0';
    long long length = strtoll(s->head + 1, NULL, 10);
    char kind = s->head[0];
    s->head_size = 0;
    s->elements--;
    if (length <= 0 && !(length == 0 && (kind == '$' || kind == '='))) return;
    if (kind == '$' || kind == '=') s->left = (uint64_t)length + 2;
    else s->elements += (uint64_t)length * (kind == '%' ? 2 : 1);
}

/* Counts the replies that end within these bytes, and the errors among them. */
static inline uint64_t scanner_feed(struct scanner *s, const uint8_t *p, size_t size, uint64_t *errors)
{
    const uint8_t *end = p + size;
    uint64_t done = 0;
    while (p < end) {
        if (s->left) {
            uint64_t skip = s->left < (uint64_t)(end - p) ? s->left : (uint64_t)(end - p);
            s->left -= skip;
            p += skip;
        } else if (s->in_text) {
            const uint8_t *line = memchr(p, '\n', (size_t)(end - p));
            if (!line) return done;
            s->in_text = false;
            s->elements--;
            p = line + 1;
        } else {
            if (!s->elements && !s->head_size) s->elements = 1;
            if (!s->head_size && !strchr("$=*~%>", *p)) {
                *errors += *p == '-';
                s->in_text = true;
                continue;
            }
            if (*p == '\n') scanner_head(s);
            else if (s->head_size < sizeof s->head - 1) s->head[s->head_size++] = (char)*p;
            p++;
        }
        if (!s->left && !s->in_text && !s->head_size && !s->elements) done++;
    }
    return done;
}

#endif
