/* Writing JSON into a buffer, for the events of the hot path. Reading it is json_read.h's. */
#ifndef HATO_DISPATCH_JSON_PUT_H
#define HATO_DISPATCH_JSON_PUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* A string with its quotes. Control characters are escaped, and U+2028 and U+2029, at which some JavaScript readers
 * break. False, and nothing is written, when `text` is not UTF-8. */
bool json_put_string(struct buffer *out, struct bytes text);
void json_put_text(struct buffer *out, const char *text);    /* "" when it is not UTF-8 */
void json_put_base64(struct buffer *out, struct bytes data); /* a string of base64 */
void json_put_digits(struct buffer *out, uint64_t v);        /* a string of decimal digits */

/* What comes as it is: punctuation and names that are literals. */
void json_put_raw(struct buffer *out, const char *text);

#endif
