#include <errno.h>
#include <string.h>

#include "store/internal.h"

#define STORE_ADVICE "stop using this replica and restore its data from its peers or from a backup"

enum { TOLD_MAX = 200, FILE_MAX = 64 };

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void copy(char out[FILE_MAX], const char *from, size_t len)
{
    len = len < FILE_MAX - 1 ? len : FILE_MAX - 1;
    memcpy(out, from, len);
    out[len] = '\0';
}

/* The file of the store that the message is about, without its directory; "" when it names none. Of a missing table it
 * names the old extension, which it tried last. */
static void file_named(const char *status, char out[FILE_MAX])
{
    static const char ends[] = " \t\n:'\"/";
    const char *table = strstr(status, ".sst");
    const char *at = table != NULL ? table : strstr(status, ".ldb");
    out[0] = '\0';
    if (at != NULL) {
        const char *from = at;
        while (from > status && strchr(ends, from[-1]) == NULL)
            from--;
        copy(out, from, (size_t)(at - from) + strlen(".sst"));
        if (table == NULL)
            memcpy(out + strlen(out) - strlen(".sst"), ".sst", strlen(".sst"));
    } else if ((at = strstr(status, "MANIFEST-")) != NULL) {
        copy(out, at, strcspn(at, ends));
    } else if (strstr(status, "CURRENT") != NULL) {
        copy(out, "CURRENT", strlen("CURRENT"));
    }
}

/* RocksDB's own words, for who looks into it: without the directory, which is told already, and which it glues to the word
 * before. */
static void details(const char *status, const char *dir, char out[TOLD_MAX])
{
    static const char kind[] = "Corruption: ";
    size_t dir_len = strlen(dir), len = 0;
    const char *at = begins(status, kind) ? status + strlen(kind) : status;
    while (*at != '\0' && len < TOLD_MAX - 1) {
        if (strncmp(at, dir, dir_len) == 0 && at[dir_len] == '/') {
            at += dir_len + 1;
            if (len > 0 && out[len - 1] != ' ')
                out[len++] = ' ';
        } else {
            out[len++] = *at++;
        }
    }
    out[len] = '\0';
}

static int damaged(const char *status, const char *dir, const char *what, struct error *e)
{
    char file[FILE_MAX], told[TOLD_MAX];
    file_named(status, file);
    if (file[0] != '\0' && strstr(status, "No such file") != NULL)
        return store_file_missing(dir, file, e);
    details(status, dir, told);
    return error_set(e, ERR_CORRUPT, "%s%s%s is damaged: " STORE_ADVICE " (%s: %s)", dir, file[0] != '\0' ? "/" : "",
                     file, what, told);
}

int store_file_missing(const char *dir, const char *file, struct error *e)
{
    return error_set(e, ERR_CORRUPT, "%s/%s is missing, which the store can't be without: " STORE_ADVICE, dir, file);
}

int store_file_damaged(const char *dir, const char *file, const char *why, struct error *e)
{
    return error_set(e, ERR_CORRUPT, "%s/%s is damaged: " STORE_ADVICE " (%s)", dir, file, why);
}

int store_status(char *status, const char *dir, const char *what, struct error *e)
{
    int code;
    bool of_ours = strstr(status, ".sst") != NULL || strstr(status, "MANIFEST-") != NULL;
    bool missing = of_ours && strstr(status, "No such file") != NULL;
    if (begins(status, "Corruption") || missing)
        code = damaged(status, dir, what, e);
    else if (strstr(status, "No space left on device") != NULL || strstr(status, "Disk quota exceeded") != NULL)
        code = error_set(e, ERR_STORAGE_FULL, "%s: no space left on the disk of %s", what, dir);
    else if (strstr(status, "While lock file") != NULL || strstr(status, "lock hold by current process") != NULL)
        code = error_set(e, ERR_CONFLICT, "%s is in use: another broker runs on this directory (%.*s)", dir, TOLD_MAX,
                         status);
    else
        code = error_set(e, ERR_IO, "%s in %s: %.*s", what, dir, TOLD_MAX, status);
    rocksdb_free(status);
    return code;
}
