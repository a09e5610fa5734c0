/* The functions of shard 0: name -> settings. All in memory, written as they change. Loop thread. */
#ifndef HATO_STATE_CATALOG_H
#define HATO_STATE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "proto/settings.pb-c.h"
#include "state/machine.h"

struct keys;
struct catalog;

enum { CATALOG_FUNCTIONS_MAX = 10000 };

int catalog_open(struct keys *ks, struct catalog **out, struct error *e);
void catalog_close(struct catalog *c); /* accepts NULL */

/* `name` is a full name and is checked here; settings may be NULL. A repeated create with equal settings succeeds
 * (`*changed` false). Errors: ERR_INVALID, ERR_EXISTS, ERR_NOT_FOUND, ERR_LIMIT. */
int catalog_create(struct catalog *c, struct keys *ks, struct bytes name, const Hato__FunctionSettings *given,
                   uint64_t now_ms, bool *changed, struct error *e);
int catalog_set(struct catalog *c, struct keys *ks, struct bytes name, const Hato__FunctionSettings *given,
                uint64_t now_ms, bool *changed, struct error *e);
int catalog_delete(struct catalog *c, struct keys *ks, struct bytes name, struct error *e);

/* The same from a command's payload (kinds 48 to 50 of entry.h). `*name` is set in the arena when something changed,
 * else NULL. */
int catalog_apply(struct catalog *c, struct keys *ks, uint8_t kind, struct bytes payload, uint64_t now_ms,
                  struct arena *arena, const char **name, struct error *e);

/* As in machine.h; views are valid until the next change. */
bool catalog_find(const struct catalog *c, struct bytes name, struct function_view *out);
void catalog_each(const struct catalog *c, struct bytes after, bool (*visit)(void *ctx, const struct function_view *f),
                  void *ctx);
size_t catalog_count(const struct catalog *c);

#endif
