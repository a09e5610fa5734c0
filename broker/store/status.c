#include <errno.h>
#include <string.h>

#include "store/internal.h"

enum { TOLD_MAX = 230, FILE_MAX = 120 };

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The path that ends where `end` does. */
static void path_before(const char *status, const char *end, char out[FILE_MAX])
{
    const char *from = end;
    while (from > status && strchr(" \t\n:'\"", from[-1]) == NULL)
        from--;
    size_t len = (size_t)(end - from);
    if (len >= FILE_MAX) { /* the end of a path says more than its beginning */
        from = end - (FILE_MAX - 1);
        len = FILE_MAX - 1;
    }
    memcpy(out, from, len);
    out[len] = '\0';
}

/* The first table file that the message names; "" when it names none. Of a missing one it names the old extension,
 * which it tried last. */
static void file_named(const char *status, char out[FILE_MAX])
{
    out[0] = '\0';
    const char *table = strstr(status, ".sst");
    const char *old = strstr(status, ".ldb");
    if (table == NULL && old == NULL)
        return;
    path_before(status, (table != NULL ? table : old) + strlen(".sst"), out);
    if (table == NULL)
        memcpy(out + strlen(out) - strlen(".sst"), ".sst", strlen(".sst"));
}

static int damaged(const char *status, const char *dir, const char *what, struct error *e)
{
    char file[FILE_MAX];
    file_named(status, file);
    return error_set(e, ERR_CORRUPT,
                     "%s is damaged: stop using this replica and restore its data from its peers or from a backup "
                     "(%s: %.*s)",
                     file[0] != '\0' ? file : dir, what, TOLD_MAX, status);
}

int store_status(char *status, const char *dir, const char *what, struct error *e)
{
    int code;
    bool of_ours = strstr(status, ".sst") != NULL || strstr(status, "MANIFEST-") != NULL;
    bool missing = of_ours && strstr(status, "No such file") != NULL;
    if (begins(status, "Corruption") || missing)
        code = damaged(status, dir, what, e);
    else if (strstr(status, "No space left on device") != NULL)
        code = error_set(e, ERR_STORAGE_FULL, "%s: no space left on the disk of %s", what, dir);
    else if (strstr(status, "While lock file") != NULL || strstr(status, "lock hold by current process") != NULL)
        code = error_set(e, ERR_CONFLICT, "%s is in use: another broker runs on this directory (%.*s)", dir, TOLD_MAX,
                         status);
    else
        code = error_set(e, ERR_IO, "%s in %s: %.*s", what, dir, TOLD_MAX, status);
    rocksdb_free(status);
    return code;
}
