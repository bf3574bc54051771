/* SPDX-License-Identifier: MIT
 *
 * /proc/self/exe is mapped and its section headers are read (System V ABI, chapter 4): SHT_SYMTAB, and the string table
 * its sh_link names. The file may have been replaced or cut meanwhile, so every offset is held against its size. A
 * program that can lie anywhere (PIE) is moved by what the kernel says of its program headers (AT_PHDR).
 */
#include "server/observe/symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map_file(struct symbols *s)
{
    struct stat st;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int err = fstat(fd, &st) == 0 ? 0 : -errno;
    void *p = err ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (!err && p == MAP_FAILED) err = -errno;
    close(fd);
    if (err) return err;
    s->file = p;
    s->size = (size_t)st.st_size;
    return 0;
}

static const void *part(const struct symbols *s, size_t at, size_t size)
{
    return at <= s->size && size <= s->size - at ? s->file + at : NULL;
}

static int find_table(struct symbols *s)
{
    const ElfW(Ehdr) *head = part(s, 0, sizeof *head);
    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_shentsize != sizeof(ElfW(Shdr)))
        return -ENOEXEC;
    const ElfW(Shdr) *sections = part(s, head->e_shoff, head->e_shnum * sizeof *sections);
    if (!sections) return -ENOEXEC;
    for (unsigned i = 0; i < head->e_shnum; i++) {
        const ElfW(Shdr) *t = &sections[i];
        if (t->sh_type != SHT_SYMTAB || t->sh_link >= head->e_shnum) continue;
        const ElfW(Shdr) *names = &sections[t->sh_link];
        s->table = part(s, t->sh_offset, t->sh_size);
        s->count = t->sh_size / sizeof(ElfW(Sym));
        s->names = part(s, names->sh_offset, names->sh_size);
        s->names_size = names->sh_size;
        bool whole = s->table && s->names && s->names_size && s->names[s->names_size - 1] == 0;
        return whole ? 0 : -ENOEXEC;
    }
    return -ENOENT;
}

/* Where the program lies, less where its file says it does. */
static uintptr_t moved_by(void)
{
    const ElfW(Phdr) *p = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    for (size_t i = 0; p && i < count; i++)
        if (p[i].p_type == PT_PHDR) return (uintptr_t)p - p[i].p_vaddr;
    return 0;
}

int symbols_open(struct symbols *s)
{
    *s = (struct symbols){.bias = moved_by()};
    int err = map_file(s);
    if (err) return err;
    err = find_table(s);
    if (!err) return 0;
    symbols_close(s);
    return err;
}

void symbols_close(struct symbols *s)
{
    if (s->file) munmap((void *)s->file, s->size);
    s->file = NULL;
    s->count = 0;
}

uintptr_t symbols_in_file(const struct symbols *s, uintptr_t addr) { return addr - s->bias; }

const char *symbols_find(const struct symbols *s, uintptr_t addr, size_t *offset)
{
    const ElfW(Sym) *table = s->table;
    uintptr_t at = symbols_in_file(s, addr);
    for (size_t i = 0; i < s->count; i++) {
        const ElfW(Sym) *y = &table[i];
        if (ELF64_ST_TYPE(y->st_info) != STT_FUNC || at < y->st_value || at - y->st_value >= y->st_size) continue;
        if (y->st_name >= s->names_size) continue;
        *offset = at - y->st_value;
        return s->names + y->st_name;
    }
    return NULL;
}
