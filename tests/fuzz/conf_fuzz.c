/* SPDX-License-Identifier: MIT
 *
 * The configuration file: any text must be read or refused, and what was read must be shown again.
 * Includes are not opened, and the working directory is not the fuzzer's to change: lines about dir
 * are made harmless first.
 */
#include <stdlib.h>

#include "server/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t shown;

static void show(void *arg, struct bytes name, struct bytes value) { shown += name.n + value.n; }

static void no_chdir(char *text, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i++)
        if ((text[i] | 32) == 'd' && (text[i + 1] | 32) == 'i' && (text[i + 2] | 32) == 'r') text[i] = 'x';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    no_chdir(text, size);
    struct config cfg;
    struct conf_failure f;
    struct conf_text err = {0};
    conf_init(&cfg);
    conf_load_text(&cfg, bytes_of(text, size), false, NULL, &f);
    struct bytes all = BYTES("*");
    conf_get(&cfg, &all, 1, show, NULL);

    /* The same bytes as the arguments of CONFIG SET and CONFIG GET. */
    struct conf_args a;
    if (conf_split(bytes_of(text, size), &a) == 0) {
        struct config *next = NULL;
        if (conf_set(&cfg, a.argv, a.argc / 2, false, false, &next, &err) == 0) conf_get(next, &all, 1, show, NULL);
        conf_free(next);
        conf_get(&cfg, a.argv, a.argc < 8 ? a.argc : 8, show, NULL);
        conf_args_free(&a);
    }
    conf_text_free(&err);
    conf_fini(&cfg);
    free(text);
    return 0;
}
