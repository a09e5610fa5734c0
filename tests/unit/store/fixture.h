/* A store in a directory of its own, or in memory, for the tests of this folder. */
#ifndef HATO_TESTS_STORE_FIXTURE_H
#define HATO_TESTS_STORE_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"

struct fixture {
    char dir[64];
    struct store_env *env;
    struct store *s;
    struct store_batch *b;
};

static inline void fixture_reopen(struct fixture *f)
{
    struct error e = {0};
    store_close(f->s);
    f->s = NULL;
    struct store_options o = {.dir = f->dir, .in_memory = f->env != NULL, .env = f->env};
    ck_assert_msg(store_open(&o, &f->s, &e) == ERR_OK, "%s", e.message);
}

static inline void fixture_open(struct fixture *f, bool in_memory)
{
    *f = (struct fixture){0};
    snprintf(f->dir, sizeof f->dir, "/tmp/hato-store-XXXXXX");
    if (in_memory) {
        snprintf(f->dir, sizeof f->dir, "/store");
        f->env = store_env_create();
    } else {
        ck_assert_ptr_nonnull(mkdtemp(f->dir));
    }
    f->b = store_batch_create();
    fixture_reopen(f);
}

/* Calls visit with the path of each table file. */
static inline void fixture_each_table(const struct fixture *f, void (*visit)(const char *path, void *ctx), void *ctx)
{
    DIR *d = opendir(f->dir);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        size_t len = strlen(entry->d_name);
        char path[400];
        snprintf(path, sizeof path, "%s/%s", f->dir, entry->d_name);
        if (len > 4 && strcmp(entry->d_name + len - 4, ".sst") == 0)
            visit(path, ctx);
    }
    closedir(d);
}

static inline void fixture_close(struct fixture *f)
{
    store_batch_destroy(f->b);
    store_close(f->s);
    if (f->env != NULL) {
        store_env_destroy(f->env);
        return;
    }
    DIR *d = opendir(f->dir);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
    rmdir(f->dir);
}

static inline void fixture_write(struct fixture *f)
{
    struct error e = {0};
    ck_assert_msg(store_write(f->s, f->b, &e) == ERR_OK, "%s", e.message);
    store_batch_clear(f->b);
}

static inline void fixture_put(struct fixture *f, enum store_family family, const char *key, const char *value)
{
    store_put(f->b, family, bytes_text(key), bytes_text(value));
    fixture_write(f);
}

/* The value, or NULL; valid until the next call. */
static inline const char *fixture_get(struct fixture *f, enum store_family family, const char *key)
{
    static _Thread_local char text[256];
    struct buffer out = {0};
    struct error e = {0};
    int code = store_get(f->s, family, bytes_text(key), &out, &e);
    ck_assert_msg(code == ERR_OK || code == ERR_NOT_FOUND, "%s", e.message);
    snprintf(text, sizeof text, "%.*s", (int)out.len, out.data != NULL ? (const char *)out.data : "");
    buffer_close(&out);
    return code == ERR_OK ? text : NULL;
}

static inline int fixture_main(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
