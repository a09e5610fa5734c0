/* From protobuf's structs to the public ones. Everything is made in the arena, in which the reply was unpacked too. */
#ifndef HATO_LIBRARY_DECODE_H
#define HATO_LIBRARY_DECODE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "hato.h"
#include "proto/client.pb-c.h"

/* NULL when malformed. Strings and bytes in it end with a zero byte. */
Hato__Reply *decode_unpack(struct arena *a, struct bytes frame);

/* `scope` is the "account:region:" that the client's names are in, or NULL: full names within it come out as plain ones. */

/* Fills `out` (but for sent and codes) from what the reply holds. */
void decode_reply(struct arena *a, const char *scope, struct hato_reply *out, const Hato__Reply *in);

struct hato_delivery *decode_deliveries(struct arena *a, const char *scope, const Hato__ReceiveReply *in);
struct hato_sent *decode_sent(struct arena *a, const Hato__SendReply *in);
struct hato_error decode_error(const Hato__Error *in); /* NULL: HATO_OK */

#endif
