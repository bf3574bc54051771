/* SPDX-License-Identifier: MIT
 *
 * See keys.h.
 */
#include "libos/inet/keys.h"

#include "libos/runtime/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_SIZE 128

/* Demikernel 1.5.13's configuration file. Its local_link_addr is the interface's own address, which the device
 * knows. */
static const struct {
    const char *key, *path;
} aliases[] = {
    {"interface", "raw_socket.linux_interface_name"},
    {"address", "demikernel.local_ipv4_addr"},
    {"mtu", "inetstack_config.mtu"},
    {"mss", "inetstack_config.mss"},
    {"tcp_checksum_offload", "inetstack_config.tcp_checksum_offload"},
    {"udp_checksum_offload", "inetstack_config.udp_checksum_offload"},
    {"arp_tries", "inetstack_config.arp_request_retries"},
    {"arp_retry", "inetstack_config.arp_request_timeout"},
    {"arp_lifetime", "inetstack_config.arp_cache_ttl"},
};

static const char *filled(const char *text) { return text && *text ? text : NULL; }

static const char *alias(const struct keys *k, const char *key)
{
    for (unsigned i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!strcmp(aliases[i].key, key)) return filled(config_get(k->conf, aliases[i].path));
    return NULL;
}

static const char *ours(const struct keys *k, const char *key)
{
    char path[PATH_SIZE];
    int n = snprintf(path, sizeof path, "%s.%s", k->section, key);
    if (n < 0 || (size_t)n >= sizeof path) return NULL;
    const char *text = filled(config_get(k->conf, path));
    return text ? text : filled(config_get(k->conf, key));
}

const char *keys_get(const struct keys *k, const char *key)
{
    const char *text = ours(k, key);
    return text ? text : alias(k, key);
}

bool keys_is_demikernels(const struct keys *k, const char *key) { return !ours(k, key) && alias(k, key); }

int keys_refuse(const struct keys *k, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (k->why) vsnprintf(k->why, KEYS_WHY_SIZE, fmt, args);
    va_end(args);
    return -err;
}

int keys_bool(const struct keys *k, const char *key, bool *out)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    const char *text = keys_get(k, key);
    if (!text) return 0;
    for (unsigned i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) && strcasecmp(text, no[i])) continue;
        *out = !strcasecmp(text, yes[i]);
        return 0;
    }
    return keys_refuse(k, EINVAL, "%s: \"%.40s\" is neither yes nor no", key, text);
}

int keys_number(const struct keys *k, const char *key, int64_t least, int64_t most, int64_t *out)
{
    const char *text = keys_get(k, key);
    if (!text) return 0;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 0);
    if (errno || end == text || *end || n < least || n > most)
        return keys_refuse(k, EINVAL, "%s: \"%.40s\" is not a number from %lld to %lld", key, text, (long long)least,
                           (long long)most);
    *out = n;
    return 0;
}

int keys_size(const struct keys *k, const char *key, uint32_t least, uint32_t most, uint32_t *out)
{
    const char *text = keys_get(k, key);
    if (!text) return 0;
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 0);
    unsigned shift = 0;
    if (end != text && *end)
        shift = !strncasecmp(end, "k", 1) ? 10 : !strncasecmp(end, "m", 1) ? 20 : !strncasecmp(end, "g", 1) ? 30 : 64;
    bool bad = *text == '-' || end == text || errno || shift > 30 || n > UINT32_MAX >> shift;
    if (!bad && shift && end[1] && strcasecmp(end + 1, "b")) bad = true;
    if (bad || n << shift < least || n << shift > most)
        return keys_refuse(k, EINVAL, "%s: \"%.40s\" is not a size from %u to %u", key, text, least, most);
    *out = (uint32_t)(n << shift);
    return 0;
}

/* The i-th word of text. */
static bool word_of(const char *text, unsigned i, char *out, size_t n)
{
    for (;; i--) {
        text += strspn(text, " \t,");
        size_t len = strcspn(text, " \t,");
        if (!len || len >= n) return false;
        if (i == 0) {
            memcpy(out, text, len);
            out[len] = 0;
            return true;
        }
        text += len;
    }
}

bool keys_item(const struct keys *k, const char *key, unsigned i, char *out, size_t n)
{
    const char *text = keys_get(k, key);
    if (text) return word_of(text, i, out, n);
    char path[PATH_SIZE];
    int len = snprintf(path, sizeof path, "%s.%u", key, i);
    text = len > 0 && (size_t)len < sizeof path ? keys_get(k, path) : NULL;
    if (!text || strlen(text) >= n) return false;
    strcpy(out, text);
    return true;
}
