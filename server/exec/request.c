/* SPDX-License-Identifier: MIT */
#include "server/exec/request.h"

#include "server/mem.h"

#define REFS_KEEP 1024 /* references kept between two batches */
#define FEW_KEYS  64

/* --- references --------------------------------------------------------------------------------------------------- */

void key_refs_fini(struct key_refs *refs)
{
    mem_free(refs->v);
    *refs = (struct key_refs){0};
}

void key_refs_reset(struct key_refs *refs)
{
    refs->used = 0;
    if (unlikely(refs->cap > REFS_KEEP)) key_refs_fini(refs);
}

void key_refs_reserve(struct key_refs *refs, size_t n)
{
    if (refs->cap - refs->used >= n) return;
    size_t cap = refs->cap ? refs->cap : FEW_KEYS;
    while (cap - refs->used < n) cap *= 2;
    refs->v = mem_realloc(refs->v, cap * sizeof *refs->v);
    refs->cap = cap;
}

int request_find_by_specs(const struct db *db, const struct command *cmd, const struct bytes *argv, int argc,
                          struct key_refs *out)
{
    int few[FEW_KEYS], *at = few;
    uint16_t few_flags[FEW_KEYS], *flags = few_flags;
    int n = command_keys(cmd, argv, argc, at, flags, FEW_KEYS);
    if (n <= 0) return 0;
    if (n > FEW_KEYS) {
        at = mem_alloc((size_t)n * sizeof *at);
        flags = mem_alloc((size_t)n * sizeof *flags);
        command_keys(cmd, argv, argc, at, flags, n);
    }
    key_refs_reserve(out, (size_t)n);
    for (int i = 0; i < n; i++) {
        struct key_ref *k = &out->v[out->used++];
        *k = key_ref_of(db, argv[at[i]]);
        k->flags = flags[i];
        k->arg = at[i];
    }
    if (at != few) {
        mem_free(at);
        mem_free(flags);
    }
    return n;
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

size_t request_dup_size(const struct request *r)
{
    size_t n = sizeof *r + (size_t)r->argc * sizeof *r->argv + (size_t)r->key_count * sizeof *r->keys;
    for (int i = 0; i < r->argc; i++) n += r->argv[i].n;
    return n;
}

/*   struct request | keys | argv | bytes of the arguments   */
struct request *request_dup(const struct request *r)
{
    struct request *copy = mem_alloc(request_dup_size(r));
    struct key_ref *keys = (struct key_ref *)(copy + 1);
    struct bytes *argv = (struct bytes *)(keys + r->key_count);
    char *p = (char *)(argv + r->argc);
    for (int i = 0; i < r->argc; i++) {
        if (r->argv[i].n) memcpy(p, r->argv[i].p, r->argv[i].n);
        argv[i] = bytes_of(p, r->argv[i].n);
        p += r->argv[i].n;
    }
    for (int i = 0; i < r->key_count; i++) {
        keys[i] = r->keys[i];
        keys[i].name = argv[keys[i].arg];
    }
    *copy = (struct request){.cmd = r->cmd, .argv = argv, .keys = keys, .argc = r->argc, .key_count = r->key_count};
    return copy;
}

/* --- slices ------------------------------------------------------------------------------------------------------- */

uint64_t request_slices(const struct request *r, const struct db *db)
{
    if (r->cmd->holds == HOLD_ALL) return UINT64_MAX;
    uint64_t held = 0;
    for (int i = 0; i < r->key_count; i++) held |= (uint64_t)1 << db_slice_index(db, &r->keys[i]);
    return held;
}
