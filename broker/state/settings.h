/* Settings of queues, bindings and functions (proto/settings.proto): defaults, limits, merging. Pure.
 *
 * What a client gives has any subset of the fields. What the machine keeps is *full*: every field present (texts never
 * NULL), lists sorted where their order means nothing, the clear_ flags absent, `binding` present when and only when
 * `binding_function` is not "". Full settings are made here, owned by the caller, and freed by settings_*_free.
 *
 * Names inside settings (dead_letter_queue, binding_function) are full names: who takes them from a client completes
 * them.
 *
 * Errors: ERR_INVALID with the field's name and its limit. */
#ifndef HATO_STATE_SETTINGS_H
#define HATO_STATE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "proto/settings.pb-c.h"

#define SETTINGS_SECOND_MS UINT64_C(1000)
#define SETTINGS_HOUR_MS (3600 * SETTINGS_SECOND_MS)
#define SETTINGS_DAY_MS (24 * SETTINGS_HOUR_MS)
#define SETTINGS_VISIBILITY_MAX_MS (7 * SETTINGS_DAY_MS)
#define SETTINGS_DELAY_MAX_MS (3650 * SETTINGS_DAY_MS)
#define SETTINGS_MESSAGE_MAX (UINT64_C(64) << 20)

enum {
    SETTINGS_WEIGHTS_MAX = 1000,
    SETTINGS_WEIGHT_MAX = 1000,
    SETTINGS_GROUP_MAX = 128,
    SETTINGS_USER_DATA_MAX = 64 << 10,
    SETTINGS_IN_FLIGHT_MAX = 10000000,
    SETTINGS_RECEIVES_MAX = 1000000,
    SETTINGS_BATCH_MAX = 1000,
    SETTINGS_CONCURRENCY_MAX = 10000,
    SETTINGS_FUNCTION_CONCURRENCY = 1000, /* the default, */
    SETTINGS_EMULATOR_CONCURRENCY = 1,    /* and the emulator's: it may fall over at a second request */
    SETTINGS_URL_MAX = 2048,
    SETTINGS_HEADERS_MAX = 32,
    SETTINGS_HEADER_MAX = 4096,
    SETTINGS_CONTENT_TYPE_MAX = 256,
    SETTINGS_SECRETS_MAX = 2,
    SETTINGS_RATE_MAX = 1000000,
};

/* Full settings of a new queue: defaults under what is given. The kind comes from the name where it is not given.
 * `name` is the queue's full name, already checked. */
int settings_queue_create(struct bytes name, const Hato__QueueSettings *given, Hato__QueueSettings **out,
                          struct error *e);

/* Full settings: `now` changed by what is given. A binding to another function than before starts from the defaults. */
int settings_queue_merge(struct bytes name, const Hato__QueueSettings *now, const Hato__QueueSettings *given,
                         Hato__QueueSettings **out, struct error *e);

/* Of full settings. A create is repeated, not in conflict, when its full settings equal those kept; binding and user
 * data don't count for that (`for_create`), since bind and tagging change them afterwards. */
bool settings_queue_equal(const Hato__QueueSettings *a, const Hato__QueueSettings *b, bool for_create);
/* The field in which settings differ that are not equal for a create. */
const char *settings_queue_difference(const Hato__QueueSettings *a, const Hato__QueueSettings *b);
Hato__QueueSettings *settings_queue_copy(const Hato__QueueSettings *s);
void settings_queue_free(Hato__QueueSettings *s);                             /* accepts NULL */
void settings_queue_encode(const Hato__QueueSettings *s, struct buffer *out); /* appends */
int settings_queue_decode(struct bytes b, Hato__QueueSettings **out,
                          struct error *e); /* ERR_CORRUPT; what encode made */

/* The weight of a group: 1 unless listed. Full settings; O(log n). */
uint32_t settings_group_weight(const Hato__QueueSettings *s, struct bytes group);

/* Checks what a client gives, before it is known what it is merged with: ranges and shapes only. */
int settings_queue_check(const Hato__QueueSettings *given, struct error *e);
int settings_binding_check(const Hato__BindingSettings *given, struct error *e);
int settings_function_check(const Hato__FunctionSettings *given, struct error *e);

/* The same for functions. A function needs a url. Secrets and headers keep their order. While max_concurrency is the url's
 * default, another url brings its own. */
int settings_function_create(const Hato__FunctionSettings *given, Hato__FunctionSettings **out, struct error *e);
int settings_function_merge(const Hato__FunctionSettings *now, const Hato__FunctionSettings *given,
                            Hato__FunctionSettings **out, struct error *e);
bool settings_function_equal(const Hato__FunctionSettings *a, const Hato__FunctionSettings *b);
Hato__FunctionSettings *settings_function_copy(const Hato__FunctionSettings *s);
void settings_function_free(Hato__FunctionSettings *s); /* accepts NULL */
/* Whether the url, as it is written, is that of the emulator that AWS gives to developers of Lambda functions. */
bool settings_function_emulated(const char *url);
void settings_function_encode(const Hato__FunctionSettings *s, struct buffer *out);
int settings_function_decode(struct bytes b, Hato__FunctionSettings **out, struct error *e);

#endif
