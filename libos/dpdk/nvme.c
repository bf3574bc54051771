/* SPDX-License-Identifier: MIT
 *
 * NVMe controllers are libos/nvme's. EAL looks at every device of PCI that it is not told about, and whoever opens the
 * group of one keeps everybody else from it; so it is told to leave them alone.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "libos/dpdk/dpdk.h"

#define CLASS_NVME 0x0108 /* mass storage, non-volatile memory */

bool eal_is_nvme(const char *device)
{
    char path[96];
    unsigned class = 0;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.*s/class", (int)strcspn(device, ",/"), device);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    if (fscanf(f, "%x", &class) != 1) class = 0;
    fclose(f);
    return class >> 8 == CLASS_NVME;
}

unsigned eal_block_nvme(char words[][EAL_BLOCK_SIZE], unsigned max)
{
    unsigned n = 0;
    DIR *all = opendir("/sys/bus/pci/devices");
    if (!all) return 0;
    for (struct dirent *e; n < max && (e = readdir(all));)
        if (e->d_name[0] != '.' && strlen(e->d_name) < 16 && eal_is_nvme(e->d_name))
            snprintf(words[n++], EAL_BLOCK_SIZE, "--block=%.15s", e->d_name);
    closedir(all);
    return n;
}
