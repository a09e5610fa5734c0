#include "state/catalog.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "proto/command.pb-c.h"
#include "state/entry.h"
#include "state/identity.h"
#include "state/keys.h"
#include "state/settings.h"
#include "store/store.h"

enum { VERSION = 1 };

struct function {
    char *name;
    Hato__FunctionSettings *settings;
    uint64_t created_ms;
    uint64_t modified_ms;
};

struct catalog {
    struct function **all; /* by name */
    size_t count;
    size_t capacity;
};

static void destroy(struct function *f)
{
    settings_function_free(f->settings);
    memory_free(f->name);
    memory_free(f);
}

/* The first function whose name is not less (or, `beyond`, is greater) than the one given. */
static size_t place_of(const struct catalog *c, struct bytes name, bool beyond)
{
    size_t low = 0;
    size_t high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = bytes_compare(bytes_text(c->all[middle]->name), name);
        if (order < 0 || (beyond && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct function *find(const struct catalog *c, struct bytes name)
{
    size_t at = place_of(c, name, false);
    return at < c->count && bytes_equal(bytes_text(c->all[at]->name), name) ? c->all[at] : NULL;
}

static void insert(struct catalog *c, struct function *f)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity == 0 ? 16 : c->capacity * 2;
        c->all = memory_grow(c->all, c->capacity, sizeof(struct function *));
    }
    size_t at = place_of(c, bytes_text(f->name), false);
    memmove(c->all + at + 1, c->all + at, (c->count - at) * sizeof(struct function *));
    c->all[at] = f;
    c->count++;
}

/* ---------------------------------------------------------------- records */

static void write_function(struct keys *ks, struct function *f)
{
    struct key k = key_function(ks->shard, bytes_text(f->name));
    Hato__Log__FunctionRecord r = HATO__LOG__FUNCTION_RECORD__INIT;
    r.name = f->name;
    r.settings = f->settings;
    r.has_created_ms = r.has_modified_ms = true;
    r.created_ms = f->created_ms;
    r.modified_ms = f->modified_ms;
    struct buffer *v = keys_begin(ks, VERSION);
    size_t len = hato__log__function_record__get_packed_size(&r);
    v->len += hato__log__function_record__pack(&r, buffer_reserve(v, len));
    keys_put(ks, &k);
}

static int take_record(struct catalog *c, struct bytes key, const Hato__Log__FunctionRecord *r, struct error *e)
{
    struct bytes name = bytes_of(key.data + KEY_HEAD, key.len - KEY_HEAD);
    if (r->name == NULL || r->settings == NULL || !bytes_equal(bytes_text(r->name), name))
        return value_corrupt(key, "it is of another function", e);
    Hato__FunctionSettings *settings = NULL;
    int code = settings_function_merge(r->settings, NULL, &settings, e); /* with fields that came since */
    if (code != ERR_OK)
        return value_corrupt(key, "its settings can't be", e);
    struct function *f = memory_zero(1, sizeof *f);
    f->name = memory_string(r->name, name.len);
    f->settings = settings;
    f->created_ms = r->created_ms;
    f->modified_ms = r->modified_ms;
    insert(c, f);
    return ERR_OK;
}

static int load_one(struct catalog *c, struct bytes key, struct bytes value, struct error *e)
{
    struct cursor at;
    int code = value_open(key, value, VERSION, &at, e);
    if (code != ERR_OK)
        return code;
    Hato__Log__FunctionRecord *r = hato__log__function_record__unpack(NULL, cursor_left(&at), at.at);
    if (r == NULL)
        return value_corrupt(key, "it can't be read", e);
    code = take_record(c, key, r, e);
    hato__log__function_record__free_unpacked(r, NULL);
    return code;
}

int catalog_open(struct keys *ks, struct catalog **out, struct error *e)
{
    struct catalog *c = memory_zero(1, sizeof *c);
    struct key from = key_of(ks->shard, KEY_FUNCTION);
    struct key to = key_after(&from);
    int code = ERR_OK;
    struct store_iterator *i = keys_iterate(ks, &from, &to);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i))
        code = load_one(c, store_iterator_key(i), store_iterator_value(i), e);
    if (code == ERR_OK)
        code = store_iterator_error(i, e);
    store_iterator_close(i);
    if (code != ERR_OK) {
        catalog_close(c);
        return code;
    }
    *out = c;
    return ERR_OK;
}

void catalog_close(struct catalog *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->count; i++)
        destroy(c->all[i]);
    memory_free(c->all);
    memory_free(c);
}

/* ---------------------------------------------------------------- changes */

static int create_new(struct catalog *c, struct keys *ks, struct bytes name, Hato__FunctionSettings *settings,
                      uint64_t now_ms, struct error *e)
{
    if (c->count >= CATALOG_FUNCTIONS_MAX) {
        settings_function_free(settings);
        return error_set(e, ERR_LIMIT, "there are %d functions, the most allowed: delete some",
                         (int)CATALOG_FUNCTIONS_MAX);
    }
    struct function *f = memory_zero(1, sizeof *f);
    f->name = memory_string((const char *)name.data, name.len);
    f->settings = settings;
    f->created_ms = now_ms;
    f->modified_ms = now_ms;
    insert(c, f);
    write_function(ks, f);
    return ERR_OK;
}

int catalog_create(struct catalog *c, struct keys *ks, struct bytes name, const Hato__FunctionSettings *given,
                   uint64_t now_ms, bool *changed, struct error *e)
{
    struct identity parts;
    Hato__FunctionSettings *settings = NULL;
    *changed = false;
    int code = identity_split_function(name, "name", &parts, e);
    if (code == ERR_OK)
        code = settings_function_create(given, &settings, e);
    if (code != ERR_OK)
        return code;
    const struct function *f = find(c, name);
    if (f == NULL) {
        code = create_new(c, ks, name, settings, now_ms, e);
        *changed = code == ERR_OK;
        return code;
    }
    bool equal = settings_function_equal(f->settings, settings);
    settings_function_free(settings);
    if (equal)
        return ERR_OK;
    return error_field(e, ERR_EXISTS, "name", "the function \"%.*s\" exists with other settings: use set to change it",
                       (int)parts.name.len, (const char *)parts.name.data);
}

/* Users know the last part of the full name. */
static int not_found(struct bytes full, struct error *e)
{
    struct identity parts;
    identity_split_function(full, "name", &parts, NULL);
    int len = parts.name.len < IDENTITY_FUNCTION_MAX ? (int)parts.name.len : IDENTITY_FUNCTION_MAX;
    const char *name = (const char *)parts.name.data;
    return error_field(e, ERR_NOT_FOUND, "name",
                       "there is no function \"%.*s\"; create it first (hato function create %.*s --url URL)", len,
                       name, len, name);
}

int catalog_set(struct catalog *c, struct keys *ks, struct bytes name, const Hato__FunctionSettings *given,
                uint64_t now_ms, bool *changed, struct error *e)
{
    Hato__FunctionSettings *settings = NULL;
    *changed = false;
    struct function *f = find(c, name);
    if (f == NULL)
        return not_found(name, e);
    int code = settings_function_merge(f->settings, given, &settings, e);
    if (code != ERR_OK)
        return code;
    if (settings_function_equal(f->settings, settings)) {
        settings_function_free(settings);
        return ERR_OK;
    }
    settings_function_free(f->settings);
    f->settings = settings;
    f->modified_ms = now_ms;
    write_function(ks, f);
    *changed = true;
    return ERR_OK;
}

int catalog_delete(struct catalog *c, struct keys *ks, struct bytes name, struct error *e)
{
    struct function *f = find(c, name);
    if (f == NULL)
        return not_found(name, e);
    struct key k = key_function(ks->shard, name);
    keys_delete(ks, &k);
    size_t at = place_of(c, name, false);
    c->count--;
    memmove(c->all + at, c->all + at + 1, (c->count - at) * sizeof(struct function *));
    destroy(f);
    return ERR_OK;
}

/* ---------------------------------------------------------------- commands */

static struct bytes name_of(const char *name)
{
    return bytes_text(name != NULL ? name : "");
}

static int malformed(struct error *e)
{
    return error_set(e, ERR_INVALID, "the command about a function can't be read");
}

static int apply_create(struct catalog *c, struct keys *ks, struct bytes payload, uint64_t now_ms, struct arena *arena,
                        const char **name, struct error *e)
{
    bool changed = false;
    Hato__Log__FunctionCreate *m = hato__log__function_create__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    int code = catalog_create(c, ks, name_of(m->name), m->settings, now_ms, &changed, e);
    *name = changed ? arena_text(arena, m->name, strlen(m->name)) : NULL;
    hato__log__function_create__free_unpacked(m, NULL);
    return code;
}

static int apply_set(struct catalog *c, struct keys *ks, struct bytes payload, uint64_t now_ms, struct arena *arena,
                     const char **name, struct error *e)
{
    bool changed = false;
    Hato__Log__FunctionSet *m = hato__log__function_set__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    int code = catalog_set(c, ks, name_of(m->name), m->settings, now_ms, &changed, e);
    *name = changed ? arena_text(arena, m->name, strlen(m->name)) : NULL;
    hato__log__function_set__free_unpacked(m, NULL);
    return code;
}

static int apply_delete(struct catalog *c, struct keys *ks, struct bytes payload, struct arena *arena,
                        const char **name, struct error *e)
{
    Hato__Log__FunctionDelete *m = hato__log__function_delete__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    int code = catalog_delete(c, ks, name_of(m->name), e);
    *name = code == ERR_OK ? arena_text(arena, m->name, strlen(m->name)) : NULL;
    hato__log__function_delete__free_unpacked(m, NULL);
    return code;
}

int catalog_apply(struct catalog *c, struct keys *ks, uint8_t kind, struct bytes payload, uint64_t now_ms,
                  struct arena *arena, const char **name, struct error *e)
{
    *name = NULL;
    switch (kind) {
    case COMMAND_FUNCTION_CREATE:
        return apply_create(c, ks, payload, now_ms, arena, name, e);
    case COMMAND_FUNCTION_SET:
        return apply_set(c, ks, payload, now_ms, arena, name, e);
    case COMMAND_FUNCTION_DELETE:
        return apply_delete(c, ks, payload, arena, name, e);
    default:
        UNREACHABLE();
    }
}

/* ---------------------------------------------------------------- queries */

static struct function_view view_of(const struct function *f)
{
    return (struct function_view){
        .name = f->name, .settings = f->settings, .created_ms = f->created_ms, .modified_ms = f->modified_ms};
}

bool catalog_find(const struct catalog *c, struct bytes name, struct function_view *out)
{
    const struct function *f = find(c, name);
    if (f != NULL)
        *out = view_of(f);
    return f != NULL;
}

void catalog_each(const struct catalog *c, struct bytes after, bool (*visit)(void *ctx, const struct function_view *f),
                  void *ctx)
{
    bool on = true;
    for (size_t i = place_of(c, after, true); i < c->count && on; i++) {
        struct function_view v = view_of(c->all[i]);
        on = visit(ctx, &v);
    }
}

size_t catalog_count(const struct catalog *c)
{
    return c->count;
}
