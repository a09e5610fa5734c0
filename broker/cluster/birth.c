#include "cluster/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "state/machine.h"

enum { BIRTH_TEXT_MAX = 256 };

static int read_birth(const char *path, struct birth *out, struct error *e)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return errno == ENOENT ? ERR_NOT_FOUND : error_set(e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    char text[BIRTH_TEXT_MAX];
    size_t len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[len] = '\0';
    unsigned format = 0, shards = 0;
    unsigned long long check = 0;
    int end = 0;
    struct birth b = {0};
    int n = sscanf(text, "format=%u\ncluster=%32[0-9a-f]\nnode=%" SCNu64 "\nshards=%u\n%ncheck=%llx\n", &format,
                   b.cluster, &b.node, &shards, &end, &check);
    if (n >= 1 && format != BIRTH_FORMAT)
        return error_set(e, ERR_VERSION,
                         "%s has format %u, this build knows %d: use the build that made it, or a later one", path,
                         format, BIRTH_FORMAT);
    if (n != 5 || check != bytes_hash(bytes_of(text, (size_t)end), 0) || b.node == 0 || shards == 0 ||
        shards > SHARDS_MAX)
        return error_set(e, ERR_CORRUPT, "%s is damaged: restore the data directory from a backup", path);
    b.shards = (uint16_t)shards;
    *out = b;
    return ERR_OK;
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

static int write_birth(const char *dir, const char *path, const struct birth *b, struct error *e)
{
    char text[BIRTH_TEXT_MAX];
    int len = snprintf(text, sizeof text, "format=%d\ncluster=%s\nnode=%" PRIu64 "\nshards=%u\n", BIRTH_FORMAT,
                       b->cluster, b->node, b->shards);
    uint64_t check = bytes_hash(bytes_of(text, (size_t)len), 0);
    len += snprintf(text + len, sizeof text - (size_t)len, "check=%" PRIx64 "\n", check);
    char fresh[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = fopen(fresh, "we");
    int ok = f != NULL && fwrite(text, 1, (size_t)len, f) == (size_t)len && fflush(f) == 0 && fsync(fileno(f)) == 0;
    if (f != NULL)
        ok = fclose(f) == 0 && ok;
    if (!ok || rename(fresh, path) != 0 || sync_dir(dir) != 0)
        return error_set(e, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return ERR_OK;
}

static bool has(const char *dir, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

int birth_load(const char *dir, const struct birth *wanted, struct birth *out, struct error *e)
{
    char path[PATH_MAX - 8];
    if (snprintf(path, sizeof path, "%s/hato.node", dir) >= (int)sizeof path)
        return error_field(e, ERR_INVALID, "data", "the path %s is too long", dir);
    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return error_set(e, ERR_IO, "cannot make the data directory %s: %s", dir, strerror(errno));
    int rc = read_birth(path, out, e);
    if (rc == ERR_NOT_FOUND) {
        if (has(dir, "log"))
            return error_set(e, ERR_CORRUPT, "%s has a log but no hato.node: restore the data directory from a backup",
                             dir);
        *out = *wanted;
        return write_birth(dir, path, wanted, e);
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
