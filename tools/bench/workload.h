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
    const char *words; /* "%k" a key of its own, "%m" a random member, "%=" the number before once more, "%v" a value;
                        * ";" between two commands that are sent together and counted as two */
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
    {"mixed", "SET key:%k %v ; GET key:%k", true}, /* half of them writes; the keys have to be there */
    {"zfill", "ZADD myzset %m element:%=", true},
    {"zmixed", "ZADD myzset %m element:%m ; ZSCORE myzset element:%m", false},
    {"echo", NULL, true}, /* bytes as they are, for echo servers */
};

struct request {
    uint8_t *bytes;
    size_t size;
    size_t digits[MAX_DIGITS]; /* offsets of twelve digits to randomise */
    bool repeats[MAX_DIGITS];  /* with the number before once more */
    unsigned digit_count, command_count;
};

static inline const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (!strcasecmp(workloads[i].name, name)) return &workloads[i];
    return NULL;
}

/* Characters that no compression makes much of. */
static inline void value_write(uint8_t *out, size_t size, bool mixed)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    uint64_t random = 88172645463325252u;
    memset(out, 'x', size);
    for (size_t i = 0; mixed && i < size; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)characters[random >> 58];
    }
}

/* What values are made of: so many x, or as many characters at random. */
struct value {
    size_t size;
    bool mixed;
};

/* Expands one word of a workload into out; digits_at tells where random digits begin, or -1. */
static inline size_t word_expand(const char *word, size_t length, struct value value, uint8_t *out, long *digits_at)
{
    size_t at = 0;
    *digits_at = -1;
    for (size_t i = 0; i < length; i++) {
        if (word[i] != '%' || i + 1 == length) {
            out[at++] = (uint8_t)word[i];
        } else if (word[++i] == 'v') {
            value_write(out + at, value.size, value.mixed);
            at += value.size;
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
    *r = (struct request){.bytes = malloc(value_size), .size = value_size, .command_count = 1};
    if (!r->bytes) return -1;
    memset(r->bytes, 'x', value_size);
    return 0;
}

/* Adds one command, its words between spaces. room: of what a word becomes. -1: no memory. */
static inline int command_build(struct request *r, const char *words, size_t length, struct value value, size_t room)
{
    const char *end = words + length;
    size_t count = 1;
    for (const char *p = words; p < end; p++) count += *p == ' ';
    uint8_t *word_buffer = malloc(room);
    if (!word_buffer) return -1;
    r->size += (size_t)sprintf((char *)r->bytes + r->size, "*%zu\r\n", count);
    while (words < end) {
        const char *space = memchr(words, ' ', (size_t)(end - words));
        size_t word_length = (size_t)((space ? space : end) - words);
        long digits_at;
        size_t size = word_expand(words, word_length, value, word_buffer, &digits_at);
        r->size += (size_t)sprintf((char *)r->bytes + r->size, "$%zu\r\n", size);
        if (digits_at >= 0 && r->digit_count < MAX_DIGITS) {
            r->repeats[r->digit_count] = memmem(words, word_length, "%=", 2) != NULL;
            r->digits[r->digit_count++] = r->size + (size_t)digits_at;
        }
        memcpy(r->bytes + r->size, word_buffer, size);
        memcpy(r->bytes + r->size + size, "\r\n", 2);
        r->size += size + 2;
        words += word_length + (space != NULL);
    }
    free(word_buffer);
    r->command_count++;
    return 0;
}

/* Builds a request from words between spaces. The caller frees r->bytes. -1: too many words or no memory. */
static inline int request_build(struct request *r, const char *words, struct value value)
{
    size_t room = strlen(words) * 32 + 64, values = 0, count = 1;
    for (const char *p = words; *p; p++) {
        values += p[0] == '%' && p[1] == 'v';
        count += *p == ' ';
    }
    if (count > MAX_WORDS) return -1;
    room += values * value.size;
    *r = (struct request){.bytes = malloc(room + count * 32)};
    if (!r->bytes) return -1;
    for (const char *next; *words; words = next) {
        const char *end = strstr(words, " ; ");
        size_t length = end ? (size_t)(end - words) : strlen(words);
        next = words + length + (end ? 3 : 0);
        if (command_build(r, words, length, value, room)) {
            free(r->bytes);
            return -1;
        }
    }
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
