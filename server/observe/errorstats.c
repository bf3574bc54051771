/* SPDX-License-Identifier: MIT
 *
 * INFO errorstats: how often each error code was replied. Codes are the first word of the error, at
 * most 64 characters; since nothing but our own code makes them, their number is small, and still
 * bounded.
 */
#include "server/observe/errorstats.h"

#include <string.h>

#include "server/mem.h"
#include "server/server.h"

#define CODES_MAX 128
#define CODE_SIZE 65

struct errorstats {
    size_t count;
    struct {
        char code[CODE_SIZE];
        uint64_t times;
    } of[CODES_MAX];
};

void errorstats_count(struct server *srv, struct bytes text)
{
    if (!srv->errorstats) srv->errorstats = mem_calloc(sizeof *srv->errorstats);
    struct errorstats *es = srv->errorstats;
    size_t n = 0;
    while (n < text.n && text.p[n] != ' ' && n < CODE_SIZE - 1) n++;
    for (size_t i = 0; i < es->count; i++) {
        if (strncmp(es->of[i].code, text.p, n) != 0 || es->of[i].code[n]) continue;
        es->of[i].times++;
        return;
    }
    if (es->count == CODES_MAX) return;
    /* INFO shows them in the order of their names. */
    size_t at = es->count++;
    char code[CODE_SIZE] = "";
    memcpy(code, text.p, n);
    for (; at > 0 && strcmp(es->of[at - 1].code, code) > 0; at--) es->of[at] = es->of[at - 1];
    memcpy(es->of[at].code, code, CODE_SIZE);
    es->of[at].times = 1;
}

void errorstats_each(struct server *srv, void (*fn)(void *arg, const char *code, uint64_t count), void *arg)
{
    if (!srv->errorstats) return;
    for (size_t i = 0; i < srv->errorstats->count; i++)
        fn(arg, srv->errorstats->of[i].code, srv->errorstats->of[i].times);
}

void errorstats_reset(struct server *srv)
{
    if (srv->errorstats) memset(srv->errorstats, 0, sizeof *srv->errorstats);
}

void errorstats_fini(struct server *srv)
{
    mem_free(srv->errorstats);
    srv->errorstats = NULL;
}
