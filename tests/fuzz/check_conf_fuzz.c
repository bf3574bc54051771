/* SPDX-License-Identifier: MIT
 *
 * Any text as demikv-check-conf reads it: each line gets a verdict, what is said of it is printed both ways, and no
 * byte of it steers a terminal. Includes are not opened and nobody is moved: lines about them are made harmless first.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "server/check_conf/state.h"
#include "server/command/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void harmless(char *text, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i++)
        if (!strncasecmp(text + i, "dir", 3) || !strncasecmp(text + i, "inc", 3)) text[i] = 'x';
}

static void print(const struct verdict_list *l, void (*how)(const struct verdict_list *, FILE *))
{
    char *out;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    ASSERT(f != NULL);
    how(l, f);
    fclose(f);
    for (size_t i = 0; i < n; i++) ASSERT((unsigned char)out[i] >= 0x20 || out[i] == '\n');
    free(out);
}

static void print_all(const struct verdict_list *l, FILE *f) { verdicts_print(l, true, f); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready) command_table_init();
    ready = true;
    struct check_conf *k = calloc(1, sizeof *k);
    char *text = malloc(size + 1);
    ASSERT(k && text);
    memcpy(text, data, size);
    harmless(text, size);
    conf_init(&k->cfg);
    for (int i = 0; i < CHECKED_OPTIONS_MAX; i++) k->decided[i] = k->noted[i] = CHECK_NOBODY;
    check_conf_text(k, "input", bytes_of(text, size));
    unsigned sum = 0;
    for (int i = 0; i < VERDICT_KINDS; i++) sum += k->verdicts.kinds[i];
    ASSERT(sum == k->verdicts.count);
    print(&k->verdicts, verdicts_print_json);
    print(&k->verdicts, print_all);
    for (unsigned i = 0; i < k->user_count; i++) free((char *)(uintptr_t)k->users[i].p);
    verdicts_free(&k->verdicts);
    conf_fini(&k->cfg);
    free(text);
    free(k);
    return 0;
}
