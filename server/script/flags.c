/* SPDX-License-Identifier: MIT */
#include "server/script/flags.h"

#include <stdio.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "server/command/command.h"

static const char *const names[] = {"no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"};
#define NAMES (sizeof names / sizeof names[0])

const char *script_flag_name(unsigned bit) { return bit < NAMES ? names[bit] : NULL; }

uint32_t script_flag_named(struct bytes name, bool any_case)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (any_case ? bytes_is_word(name, names[i]) : bytes_equal(name, bytes_of_str(names[i]))) return 1u << i;
    return 0;
}

static bool is_space(char ch) { return ch == ' ' || (ch >= '\t' && ch <= '\r'); }

/* Cuts the next word off the line. */
static struct bytes take_word(struct bytes *line)
{
    size_t i = 0, from;
    while (i < line->n && is_space(line->p[i])) i++;
    for (from = i; i < line->n && !is_space(line->p[i]);) i++;
    struct bytes word = bytes_of(line->p + from, i - from);
    *line = bytes_of(line->p + i, line->n - i);
    return word;
}

static bool has_prefix(struct bytes s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

static int shown_of(struct bytes s) { return (int)(s.n < 128 ? s.n : 128); }

static bool read_flags(struct bytes list, uint32_t *flags, char *err, size_t size)
{
    while (list.n) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t)(comma - list.p) : list.n;
        struct bytes name = bytes_of(list.p, n);
        uint32_t flag = script_flag_named(name, false);
        if (!flag) {
            snprintf(err, size, "ERR Unexpected flag in script shebang: %.*s", shown_of(name), name.p);
            return false;
        }
        *flags |= flag;
        list = comma ? bytes_of(comma + 1, list.n - n - 1) : bytes_of(list.p + n, 0);
    }
    return true;
}

bool script_read_shebang(struct bytes body, uint32_t *flags, struct bytes *code, char *err, size_t size)
{
    *flags = SCRIPT_COMPAT;
    *code = body;
    if (!has_prefix(body, "#!")) return true;
    const char *end = memchr(body.p, '\n', body.n);
    if (!end) {
        snprintf(err, size, "ERR Invalid script shebang");
        return false;
    }
    size_t n = (size_t)(end - body.p);
    struct bytes line = bytes_of(body.p, n), engine = take_word(&line);
    if (!bytes_equal(engine, BYTES("#!lua"))) {
        snprintf(err, size, "ERR Unexpected engine in script shebang: %.*s", shown_of(engine), engine.p);
        return false;
    }
    *flags = 0;
    for (struct bytes word = take_word(&line); word.n; word = take_word(&line)) {
        if (!has_prefix(word, "flags=")) {
            snprintf(err, size, "ERR Unknown lua shebang option: %.*s", shown_of(word), word.p);
            return false;
        }
        if (!read_flags(bytes_of(word.p + 6, word.n - 6), flags, err, size)) return false;
    }
    *code = bytes_of(end, body.n - n);
    return true;
}

uint32_t script_command_flags(uint32_t command_flags, uint32_t flags)
{
    if (flags & SCRIPT_COMPAT) return command_flags;
    command_flags &= ~(uint32_t)(CMD_STALE | CMD_DENYOOM | CMD_WRITE | CMD_MAY_REPLICATE);
    if (!(flags & (SCRIPT_ALLOW_OOM | SCRIPT_NO_WRITES))) command_flags |= CMD_DENYOOM;
    if (!(flags & SCRIPT_NO_WRITES)) command_flags |= CMD_WRITE;
    if (flags & SCRIPT_ALLOW_STALE) command_flags |= CMD_STALE;
    return command_flags;
}
