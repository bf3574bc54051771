/* SPDX-License-Identifier: MIT
 *
 * Manifests of append-only files: whatever the text is, it is refused with a reason, or what it says is written as text
 * that says the same.
 */
#include <stdint.h>

#include "alloc/base/assert.h"
#include "server/mem.h"
#include "server/persist/aof_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(struct aof_manifest *m, const void *text, size_t n)
{
    struct aof_manifest_fault fault;
    char *copy = mem_alloc(n + 1);
    if (n) memcpy(copy, text, n);
    int err = aof_manifest_parse(m, copy, n, &fault);
    ASSERT((err != 0) == (fault.why != NULL));
    if (err) ASSERT(fault.line.n == 0 || (fault.line.p >= copy && fault.line.p + fault.line.n <= copy + n));
    mem_free(copy);
    return err;
}

static void check_files(const struct aof_manifest *m)
{
    int64_t last = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct aof_file *f = &m->files[i];
        ASSERT(f->name[0] && memchr(f->name, 0, sizeof f->name) && !memchr(f->name, '/', strlen(f->name)));
        if (f->kind != AOF_INCR) continue;
        ASSERT(f->seq > last);
        last = f->seq;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aof_manifest m = {0}, again = {0};
    if (parse(&m, data, size) == 0 && m.count) {
        size_t n;
        check_files(&m);
        char *text = aof_manifest_text(&m, &n);
        ASSERT(parse(&again, text, n) == 0);
        ASSERT(again.count == m.count);
        mem_free(text);
        aof_manifest_add_incr(&m, "x");
        aof_manifest_add_base(&m, "x", true, 1);
        aof_manifest_forget_history(&m);
        ASSERT(aof_manifest_base(&m) && aof_manifest_incrs(&m) == 1);
    }
    aof_manifest_fini(&m);
    aof_manifest_fini(&again);
    return 0;
}
