/* From the public structs to protobuf's. The results borrow from the arguments and the arena. */
#ifndef HATO_LIBRARY_ENCODE_H
#define HATO_LIBRARY_ENCODE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "hato.h"
#include "proto/client.pb-c.h"

enum { ENCODE_ATTRIBUTES_MAX = 64 };

/* Appends the request as a frame: its length, and the request. */
void encode_frame(struct buffer *out, const Hato__Request *request);

/* Errors: HATO_INVALID. */
int encode_message(struct arena *a, Hato__Message *out, const struct hato_message *m, struct error *e);

/* NULL gives NULL. */
Hato__QueueSettings *encode_queue_settings(struct arena *a, const struct hato_queue_settings *s);
Hato__BindingSettings *encode_binding_settings(struct arena *a, const struct hato_binding_settings *s);
Hato__FunctionSettings *encode_function_settings(struct arena *a, const struct hato_function_settings *s);

/* "" for NULL; protobuf-c's strings are not const but are not written to. */
char *encode_text(const char *text);

#endif
