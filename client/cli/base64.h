/* Base64, with both alphabets: receipts on the command line use the one that is safe in file names and URLs. */
#ifndef HATO_CLI_BASE64_H
#define HATO_CLI_BASE64_H

#include <stdbool.h>

#include "base/bytes.h"

enum base64_alphabet {
    BASE64_STANDARD, /* + / and padding */
    BASE64_URL,      /* - _ and none */
};

void base64_put(struct buffer *out, struct bytes data, enum base64_alphabet alphabet);

/* Reads either alphabet, padded or not. False when the text is not base64. */
bool base64_read(struct buffer *out, struct bytes text);

#endif
