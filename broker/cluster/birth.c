#include "cluster/birth.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/sha256.h"
#include "cluster/slip.h"
#include "state/machine.h"

static const char file[] = "hato.node";

void birth_cluster_id(const char *name, const struct membership_list *founders, uint16_t shards, char out[33])
{
    uint8_t digest[SHA256_LEN];
    struct buffer text = {0};
    buffer_printf(&text, "hato cluster\n%s\n%u\n", name, shards);
    for (uint32_t i = 0; i < founders->count; i++)
        buffer_printf(&text, "%" PRIu64 "\n", founders->ids[i]);
    sha256(buffer_view(&text), digest);
    buffer_close(&text);
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static bool read_founders(const char *text, struct membership_list *out)
{
    while (*text >= '0' && *text <= '9') {
        char *end;
        if (!membership_add(out, strtoull(text, &end, 10)))
            return false;
        text = end + (*end == ',');
    }
    return *text == '\n';
}

/* Format 1 has the node itself for its only founder, and its cluster's id is as random and as much its own as an id of its birth. */
static bool read_text(const char *text, unsigned format, struct birth *b)
{
    unsigned shards = 0;
    int at = 0;
    if (format == 1) {
        if (sscanf(text, "cluster=%32[0-9a-f]\nnode=%" SCNu64 "\nshards=%u\n%n", b->cluster, &b->node, &shards, &at) !=
                3 ||
            text[at] != '\0')
            return false;
        memcpy(b->id, b->cluster, sizeof b->id);
        membership_add(&b->founders, b->node);
    } else {
        int name = 0;
        if (format > 2 && (sscanf(text, "name=%64[0-9A-Za-z._-]\n%n", b->name, &name) != 1 || name == 0))
            return false;
        text += name;
        int since = 0;
        if (format > 3 && (sscanf(text, "since=%" SCNu64 "\n%n", &b->since, &since) != 1 || since == 0))
            return false;
        text += since;
        if (sscanf(text, "cluster=%32[0-9a-f]\nnode=%" SCNu64 "\nbirth=%32[0-9a-f]\nshards=%u\nfounders=%n", b->cluster,
                   &b->node, b->id, &shards, &at) != 4 ||
            at == 0 || !read_founders(text + at, &b->founders) || (b->founders.count == 0) != (b->since > 0))
            return false;
    }
    b->shards = (uint16_t)shards;
    return b->node != 0 && shards > 0 && shards <= SHARDS_MAX && strlen(b->id) == 32 && strlen(b->cluster) == 32;
}

static int read_birth(const char *dir, struct birth *out, struct error *e)
{
    char text[SLIP_MAX];
    int rc = slip_read(dir, file, text, e);
    if (rc != ERR_OK)
        return rc;
    unsigned format = 0;
    int at = 0;
    if (sscanf(text, "format=%u\n%n", &format, &at) == 1 && (format < 1 || format > BIRTH_FORMAT))
        return error_set(e, ERR_VERSION,
                         "%s/%s has format %u, this build knows %d: use the build that made it, or a later one", dir,
                         file, format, BIRTH_FORMAT);
    *out = (struct birth){0};
    if (at == 0 || !read_text(text + at, format, out))
        return error_set(e, ERR_CORRUPT, "%s/%s is damaged: restore the data directory from a backup", dir, file);
    return ERR_OK;
}

static int write_birth(const char *dir, const struct birth *b, struct error *e)
{
    struct buffer text = {0};
    buffer_printf(&text,
                  "format=%d\nname=%s\nsince=%" PRIu64 "\ncluster=%s\nnode=%" PRIu64 "\nbirth=%s\nshards=%u\nfounders=",
                  BIRTH_FORMAT, b->name, b->since, b->cluster, b->node, b->id, b->shards);
    for (uint32_t i = 0; i < b->founders.count; i++)
        buffer_printf(&text, "%s%" PRIu64, i > 0 ? "," : "", b->founders.ids[i]);
    buffer_printf(&text, "\n");
    buffer_u8(&text, '\0');
    int rc = slip_write(dir, file, (const char *)text.data, e);
    buffer_close(&text);
    return rc;
}

static bool has(const char *dir, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

int birth_load(const char *dir, const struct birth *wanted, struct birth *out, struct error *e)
{
    int rc = disk_real()->make_dir(disk_real(), dir, e);
    if (rc != ERR_OK)
        return error_wrap(e, "the data directory");
    rc = read_birth(dir, out, e);
    if (rc == ERR_NOT_FOUND) {
        if (has(dir, "log"))
            return error_set(e, ERR_CORRUPT, "%s has a log but no hato.node: restore the data directory from a backup",
                             dir);
        *out = *wanted;
        return write_birth(dir, wanted, e);
    }
    /* The log is made before the store: without it, what the store holds is not all there was. */
    if (rc == ERR_OK && has(dir, "store") && !has(dir, "log"))
        return error_set(e, ERR_CORRUPT,
                         "%s has a store but its log directory is gone: restore the data directory from "
                         "a backup",
                         dir);
    if (rc == ERR_OK && out->node != wanted->node)
        return error_field(e, ERR_CONFLICT, "node", "%s belongs to node %" PRIu64 ", not %" PRIu64, dir, out->node,
                           wanted->node);
    return rc;
}
