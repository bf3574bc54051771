/* SPDX-License-Identifier: MIT
 *
 * A main() for a fuzz target that is built without libFuzzer: it feeds the target the files of a corpus folder, in the
 * order of their names, and reports each as a TAP case. A target that crashes on one takes the program with it; the
 * name of that file was printed before, and the plan tells the runner how many were left.
 *
 * The empty input is always tried: a parser that reads its first byte before its length fails there.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX (16u << 20) /* more is no kept corpus but a mistake */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* Reads a whole file into an allocation of exactly its size, so that the sanitizer sees a read behind its end.
 * Returns NULL with errno set. */
static uint8_t *file_read(const char *path, size_t *size_out)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    uint8_t *data = NULL;
    if (fseek(file, 0, SEEK_END) != 0) goto close_file;
    long size = ftell(file);
    if (size < 0 || (unsigned long)size > INPUT_BYTES_MAX) {
        errno = EFBIG;
        goto close_file;
    }
    rewind(file);
    data = malloc(size ? (size_t)size : 1);
    if (data && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
        errno = EIO;
    }
    *size_out = (size_t)size;
close_file:
    fclose(file);
    return data;
}

static int case_run(int number, const char *folder, const char *name)
{
    char path[4096];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    printf("# %s\n", name);
    fflush(stdout);
    uint8_t *data = file_read(path, &size);
    if (!data) {
        printf("not ok %d - %s: %s\n", number, name, strerror(errno));
        return 1;
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    printf("ok %d - %s\n", number, name);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    struct dirent **entries = NULL;
    int count = scandir(argv[1], &entries, is_visible, alphasort);
    if (count < 0) count = 0; /* no corpus kept yet: the empty input alone */
    printf("1..%d\n", count + 1);
    fflush(stdout);

    uint8_t *nothing = malloc(1);
    if (!nothing) return 1;
    LLVMFuzzerTestOneInput(nothing, 0);
    free(nothing);
    printf("ok 1 - the empty input\n");

    int failed = 0;
    for (int i = 0; i < count; i++) {
        failed += case_run(i + 2, argv[1], entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return failed ? 1 : 0;
}
