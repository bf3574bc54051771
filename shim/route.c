/* SPDX-License-Identifier: MIT
 *
 * See route.h. The file is read once, when the first socket asks. A line that is not understood is told and left out.
 */
#include "shim/route.h"

#include "shim/engine.h"
#include "shim/log.h"

#include "demi/ext.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 256
#define LINE_SIZE 256

struct rule {
    bool any_address, v6, demi;
    uint8_t address[16];
    unsigned prefix; /* bits */
    unsigned first_port, last_port;
};

static struct rule rules[RULES_MAX]; /* of this program; under the engine's lock */
static unsigned rule_count;
static bool is_read;

struct endpoint_address {
    bool v6;
    uint8_t bytes[16];
    unsigned port;
};

/* An IPv4 address in an IPv6 one is the IPv4 address. False: neither family. */
static bool read_address(const struct sockaddr *addr, socklen_t size, struct endpoint_address *out)
{
    memset(out, 0, sizeof *out);
    if (addr->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)addr;
        memcpy(out->bytes, &in->sin_addr, 4);
        out->port = ntohs(in->sin_port);
        return true;
    }
    if (addr->sa_family != AF_INET6 || size < sizeof(struct sockaddr_in6)) return false;
    const struct sockaddr_in6 *in6 = (const void *)addr;
    out->port = ntohs(in6->sin6_port);
    out->v6 = !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    memcpy(out->bytes, out->v6 ? in6->sin6_addr.s6_addr : in6->sin6_addr.s6_addr + 12, out->v6 ? 16 : 4);
    return true;
}

static bool parse_ports(const char *text, struct rule *r)
{
    char rest;
    if (!strcmp(text, "*")) {
        r->last_port = 65535;
        return true;
    }
    int n = sscanf(text, "%u-%u%c", &r->first_port, &r->last_port, &rest);
    if (n == 1) r->last_port = r->first_port;
    return (n == 1 || n == 2) && r->first_port <= r->last_port && r->last_port <= 65535;
}

static bool parse_place(char *text, struct rule *r)
{
    char *colon = strrchr(text, ':'), rest;
    if (!colon) return false;
    *colon = 0;
    if (!parse_ports(colon + 1, r)) return false;
    r->any_address = !strcmp(text, "*");
    if (r->any_address) return true;
    char *slash = strchr(text, '/'), *end = strchr(text, ']');
    if (slash) *slash = 0;
    r->v6 = *text == '[';
    if (r->v6 && end) *end = 0;
    unsigned whole = r->v6 ? 128 : 32;
    r->prefix = whole;
    if (slash && (sscanf(slash + 1, "%u%c", &r->prefix, &rest) != 1 || r->prefix > whole)) return false;
    return inet_pton(r->v6 ? AF_INET6 : AF_INET, text + r->v6, r->address) == 1;
}

static void read_line(const char *path, unsigned number, char *line)
{
    char program[64], place[128], whose[16], more;
    char *comment = strchr(line, '#');
    if (comment) *comment = 0;
    int n = sscanf(line, "%63s %127s %15s %c", program, place, whose, &more);
    if (n <= 0) return;
    struct rule r = {0};
    r.demi = n == 3 && !strcmp(whose, "demi");
    if (n != 3 || (!r.demi && strcmp(whose, "kernel")) || !parse_place(place, &r) || rule_count == RULES_MAX) {
        shim_complain("%s, line %u: not understood, left out", path, number);
        return;
    }
    if (strcmp(program, "*") && strcmp(program, program_invocation_short_name)) return;
    rules[rule_count++] = r;
}

static void read_rules(void)
{
    const char *path = getenv("DEMI_SHIM_RULES");
    is_read = true;
    if (!path || !*path) return;
    FILE *file = fopen(path, "re");
    if (!file) {
        shim_complain("%s: %s; there are no rules", path, strerror(errno));
        return;
    }
    char line[LINE_SIZE];
    for (unsigned number = 1; fgets(line, sizeof line, file); number++) read_line(path, number, line);
    fclose(file);
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8)) return false;
    return bits % 8 == 0 || !((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8));
}

static bool fits(const struct rule *r, const struct endpoint_address *a)
{
    if (a->port < r->first_port || a->port > r->last_port) return false;
    return r->any_address || (r->v6 == a->v6 && same_bits(r->address, a->bytes, r->prefix));
}

static bool is_loopback(const struct endpoint_address *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return a->v6 ? !memcmp(a->bytes, one, 16) : a->bytes[0] == 127;
}

static bool is_multicast(const struct endpoint_address *a)
{
    static const uint8_t broadcast[4] = {255, 255, 255, 255};
    return a->v6 ? a->bytes[0] == 0xff : a->bytes[0] >> 4 == 14 || !memcmp(a->bytes, broadcast, 4);
}

bool shim_has_wire(void)
{
    static const char *const wired[] = {"packet", "xdp", "dpdk", "rdma", "catnip", "catpowder", "catmint"};
    const char *name = getenv("LIBOS");
    if (!name || !*name) name = shim_started() || !shim_start() ? demi_libos_name() : NULL;
    for (unsigned i = 0; name && i < sizeof wired / sizeof *wired; i++)
        if (!strncmp(name, wired[i], strlen(wired[i]))) return true;
    return false;
}

bool shim_route_is_ours(int domain, int type, const struct sockaddr *addr, socklen_t size)
{
    struct endpoint_address a;
    if (!read_address(addr, size, &a)) return false;
    if (type == SOCK_DGRAM && domain == AF_INET6) return false;
    if (!is_read) read_rules();
    for (unsigned i = 0; i < rule_count; i++)
        if (fits(&rules[i], &a)) return rules[i].demi;
    if (is_multicast(&a) || a.port == 53) return false;
    return !is_loopback(&a) || !shim_has_wire();
}

bool shim_is_any(const struct sockaddr *addr, socklen_t size)
{
    static const uint8_t zeros[16];
    struct endpoint_address a;
    return read_address(addr, size, &a) && !a.port && !memcmp(a.bytes, zeros, 16);
}
