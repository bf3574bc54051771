/* SPDX-License-Identifier: MIT
 *
 * Names of our own functions for a stack trace: the symbol table of the program's file, static functions included,
 * which the dynamic linker does not know. Takes no memory of any heap, so a handler of a signal may use it.
 */
#ifndef SERVER_OBSERVE_SYMBOLS_H
#define SERVER_OBSERVE_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct symbols { /* private */
    const char *file;
    size_t size;
    const void *table;
    size_t count;
    const char *names;
    size_t names_size;
    uintptr_t bias;
};

/* 0, or -errno: the file is gone, or stripped; then nothing is found. */
int symbols_open(struct symbols *s);
void symbols_close(struct symbols *s);
/* The function an address of the program lies in, and how far in; NULL: none. */
const char *symbols_find(const struct symbols *s, uintptr_t addr, size_t *offset);
/* An address as the file has it: what addr2line wants. */
uintptr_t symbols_in_file(const struct symbols *s, uintptr_t addr);

#endif
