/* Strict UTF-8: overlong forms, surrogates and what lies above U+10FFFF are refused. */
#ifndef HATO_BASE_UTF8_H
#define HATO_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Reads the code point at the start of `b` into *point. Returns its length, 1 to 4; 0 when `b` is empty or does not begin
 * with a well-formed code point. */
size_t utf8_next(struct bytes b, uint32_t *point);

bool utf8_valid(struct bytes b);

/* The longest beginning of UTF-8 text that has at most `max` bytes and does not end inside a character. */
struct bytes utf8_cut(struct bytes text, size_t max);

/* Also holds only characters of XML 1.0, which is what SQS takes as a body: U+9, U+A, U+D, U+20 to U+D7FF, U+E000 to
 * U+FFFD, U+10000 to U+10FFFF. */
bool utf8_xml(struct bytes b);

#endif
