/* SPDX-License-Identifier: MIT
 *
 * The table of commands at run time. The rows of all spec files are copied into one array, first
 * those of the top level, then the subcommands of each container side by side:
 *
 *      0 ... tops-1                 | CLIENT's subcommands | COMMAND's subcommands | ...
 *
 * A row's place is its index, so counters and ACL bitmaps are plain arrays. The array, the names
 * and the slots of lookup.h are the process's one copy: they are written while the server starts
 * and only read afterwards, by any thread.
 */
#include "server/command/command.h"

#include <errno.h>
#include <limits.h>

#include "alloc/base/assert.h"
#include "server/command/lookup.h"
#include "server/command/spec.h"

enum {
    COMMAND_MAX = 512,
    NAME_POOL_BYTES = COMMAND_MAX * 24, /* the longest full name of Redis has 26 letters, most have under 12 */
};
static_assert(COMMAND_MAX <= COMMAND_SLOTS / 2, "slots stay at most half full");

struct command_slot command_slots[COMMAND_SLOTS];

static struct command table[COMMAND_MAX];
static unsigned table_count, top_count;
/* What a top-level command is called by clients, in lower case; NULL: by no name. rename-command
 * changes it. */
static const char *known_as[COMMAND_MAX];
static char name_pool[NAME_POOL_BYTES];
static size_t name_pool_used;

/* --- names --------------------------------------------------------------------------------- */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

/* A lower-case copy that lives as long as the process; NULL: no room left. */
static char *name_keep(const char *prefix, struct bytes name)
{
    size_t before = prefix ? strlen(prefix) + 1 : 0;
    if (name_pool_used + before + name.n + 1 > sizeof name_pool) return NULL;
    char *start = name_pool + name_pool_used, *p = start;
    if (prefix) {
        memcpy(p, prefix, before - 1);
        p[before - 1] = '|';
        p += before;
    }
    for (size_t i = 0; i < name.n; i++) *p++ = lower(name.p[i]);
    *p++ = 0;
    name_pool_used += (size_t)(p - start);
    return start;
}

static const char *row_name(const struct command *row, const struct command *parent)
{
    char *name = name_keep(parent ? parent->full_name : NULL, bytes_of_str(row->name));
    ASSERT(name);
    return name;
}

/* --- what follows from the key specs ------------------------------------------------------- */

/* The older way to tell where keys are: first, last and step. Ranges that begin at an index and
 * follow one another are joined; whatever does not fit in makes the command's keys "movable". The
 * rules are those of Redis 7, as clients' routing depends on the numbers. */
static void legacy_keys_fill(struct command *c)
{
    if (c->key_count == 0) return;
    if (c->key_count == 1 && c->keys->begin == KEY_BEGIN_INDEX && c->keys->find == KEY_FIND_RANGE) {
        const struct key_spec *ks = c->keys;
        c->first_key = (int16_t)ks->begin_pos;
        c->last_key = (int16_t)(ks->last >= 0 ? ks->begin_pos + ks->last : ks->last);
        c->key_step = (int16_t)ks->step;
        c->one_key = ks->last == 0 && !(ks->flags & (KEY_NOT_KEY | KEY_INCOMPLETE));
        if (ks->flags & KEY_INCOMPLETE) c->flags |= CMD_MOVABLE_KEYS;
        return;
    }
    int first = INT_MAX, last = 0, previous = 0;
    for (unsigned i = 0; i < c->key_count; i++) {
        const struct key_spec *ks = &c->keys[i];
        bool plain = ks->begin == KEY_BEGIN_INDEX && ks->find == KEY_FIND_RANGE && ks->step == 1;
        if (!plain || (previous && previous != ks->begin_pos - 1)) {
            c->flags |= CMD_MOVABLE_KEYS;
            continue;
        }
        if (ks->flags & KEY_INCOMPLETE) c->flags |= CMD_MOVABLE_KEYS;
        int end = ks->last >= 0 ? ks->begin_pos + ks->last : ks->last;
        if (ks->begin_pos < first) first = ks->begin_pos;
        if ((unsigned)end > (unsigned)last) last = end; /* -1, the end of the call, is behind all others */
        previous = last;
    }
    if (first == INT_MAX) {
        c->flags |= CMD_MOVABLE_KEYS;
        return;
    }
    c->first_key = (int16_t)first;
    c->last_key = (int16_t)last;
    c->key_step = 1;
}

/* --- building ------------------------------------------------------------------------------ */

static void row_add(const struct command *row, const struct command *parent)
{
    ASSERT(table_count < COMMAND_MAX);
    struct command *c = &table[table_count];
    *c = *row;
    c->index = (uint16_t)table_count++;
    c->parent = parent;
    c->full_name = row_name(row, parent);
    legacy_keys_fill(c);
    /* What it touches besides the keys it can name is not known before it runs. */
    for (unsigned i = 0; i < c->key_count; i++)
        if (c->keys[i].begin == KEY_BEGIN_UNKNOWN || (c->keys[i].flags & KEY_INCOMPLETE)) c->holds = HOLD_ALL;
}

static void group_add(const struct command *rows, unsigned count)
{
    for (unsigned i = 0; i < count; i++) row_add(&rows[i], NULL);
}

static void subs_add(struct command *container)
{
    const struct command *rows = container->subs;
    unsigned count = container->sub_count, start = table_count;
    for (unsigned i = 0; i < count; i++) row_add(&rows[i], container);
    container->subs = &table[start];
    container->sub_count = (uint16_t)(table_count - start);
}

static void slot_put(const struct command *c, const char *name)
{
    struct command_slot key = command_slot_key(bytes_of_str(name));
    unsigned i = command_slot_first(&key);
    while (command_slots[i].cmd) i = (i + 1) & (COMMAND_SLOTS - 1);
    key.cmd = c;
    command_slots[i] = key;
}

static void slots_fill(void)
{
    memset(command_slots, 0, sizeof command_slots);
    for (unsigned i = 0; i < top_count; i++)
        if (known_as[i]) slot_put(&table[i], known_as[i]);
}

void command_table_init(void)
{
    if (table_count) return;
#define SPEC_ADD(group) group_add(spec_##group, spec_##group##_count);
    SPEC_GROUPS(SPEC_ADD)
#undef SPEC_ADD
    top_count = table_count;
    for (unsigned i = 0; i < top_count; i++) {
        known_as[i] = table[i].full_name;
        if (table[i].sub_count) subs_add(&table[i]);
    }
    slots_fill();
}

/* --- looking up ---------------------------------------------------------------------------- */

bool command_slot_is(const struct command_slot *s, struct bytes name)
{
    return s->cmd && bytes_is_word(name, known_as[s->cmd->index]);
}

const struct command *command_find(struct bytes name) { return command_lookup(name); }

const struct command *command_find_sub(const struct command *container, struct bytes name)
{
    if (container->sub_count == 0) return NULL;
    size_t skip = strlen(container->full_name) + 1; /* "client|" */
    for (unsigned i = 0; i < container->sub_count; i++)
        if (bytes_is_word(name, container->subs[i].full_name + skip)) return &container->subs[i];
    return NULL;
}

const struct command *command_find_full(struct bytes full_name)
{
    const char *bar = full_name.n ? memchr(full_name.p, '|', full_name.n) : NULL;
    if (!bar) return command_find(full_name);
    size_t n = (size_t)(bar - full_name.p);
    const struct command *container = command_find(bytes_of(full_name.p, n));
    if (!container) return NULL;
    return command_find_sub(container, bytes_of(bar + 1, full_name.n - n - 1));
}

bool command_is_known(const struct command *c) { return known_as[c->parent ? c->parent->index : c->index] != NULL; }

const struct command *command_at(unsigned index) { return index < table_count ? &table[index] : NULL; }

unsigned command_count(void) { return table_count; }

int command_rename(struct bytes from, struct bytes to)
{
    const struct command *c = command_find(from);
    if (!c) return -ENOENT;
    const char *name = NULL;
    if (to.n) {
        const struct command *taken = command_find(to);
        if (taken && taken != c) return -EEXIST;
        if (memchr(to.p, 0, to.n)) return -EINVAL;
        name = name_keep(NULL, to);
        if (!name) return -ENOSPC;
    }
    known_as[c->index] = name;
    slots_fill();
    return 0;
}
