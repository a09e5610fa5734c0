#include "cluster/slip.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/disk.h"

static int path_of(const char *dir, const char *name, char path[PATH_MAX], struct error *e)
{
    /* Room is left for what slip_write puts behind it. */
    return snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX - 8
               ? ERR_OK
               : error_field(e, ERR_INVALID, "data", "the path %s is too long", dir);
}

int slip_read(const char *dir, const char *name, char text[SLIP_MAX], struct error *e)
{
    char path[PATH_MAX];
    int rc = path_of(dir, name, path, e);
    if (rc != ERR_OK)
        return rc;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                         "cannot read %s: %s; let this user read it, or restore the data directory from a backup", path,
                         strerror(errno));
    size_t len = fread(text, 1, SLIP_MAX - 1, f);
    int failed = ferror(f);
    fclose(f);
    if (failed)
        return error_set(e, ERR_IO,
                         "cannot read %s, which should be a file of this broker's: restore the data directory "
                         "from a backup",
                         path);
    text[len] = '\0';
    char *check = strstr(text, "check=");
    char *end = NULL;
    bool good = check != NULL && (check == text || check[-1] == '\n') &&
                strtoull(check + 6, &end, 16) == bytes_hash(bytes_of(text, (size_t)(check - text)), 0) &&
                strcmp(end, "\n") == 0;
    if (!good)
        return error_set(e, ERR_CORRUPT, "%s is damaged: restore the data directory from a backup", path);
    *check = '\0';
    return ERR_OK;
}

int slip_write(const char *dir, const char *name, const char *text, struct error *e)
{
    char path[PATH_MAX];
    char fresh[PATH_MAX + 8];
    int rc = path_of(dir, name, path, e);
    if (rc != ERR_OK)
        return rc;
    size_t len = strlen(text);
    ASSERT(len + 32 < SLIP_MAX);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = fopen(fresh, "we");
    int ok = f != NULL && fprintf(f, "%scheck=%" PRIx64 "\n", text, bytes_hash(bytes_of(text, len), 0)) > 0 &&
             fflush(f) == 0 && fsync(fileno(f)) == 0;
    if (f != NULL)
        ok = fclose(f) == 0 && ok;
    if (!ok || rename(fresh, path) != 0)
        return error_set(e, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return disk_real()->sync_dir(disk_real(), dir, e);
}
