/* A request before it is unpacked: how much there is of it, and its text fields. Pure. */
#ifndef HATO_COMMAND_TEXT_H
#define HATO_COMMAND_TEXT_H

#include <protobuf-c/protobuf-c.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    TEXT_DEPTH_MAX = 8, /* of messages within messages */
    TEXT_FIELDS_MAX =
        10000, /* of all of them: unpacking makes some 100 bytes of each. The largest settings have 3,000 */
};

/* Every text field of an encoded message of type `d`, at any depth, has to be UTF-8 without a zero byte: protobuf-c hands texts
 * on as C strings, where a zero byte would make one name of another. Bytes that can't be read as one
 * are refused, too: protobuf-c reads some that we do not, and would pass on what lies behind them.
 * Errors: ERR_INVALID, naming the field; ERR_TOO_LARGE; ERR_PROTOCOL (unreadable). */
int text_check(const ProtobufCMessageDescriptor *d, struct bytes raw, struct error *e);

#endif
