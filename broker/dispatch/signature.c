#include "dispatch/signature.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "net/crypto.h"

int signature_key_parse(const char *secret, struct signature_key *out, struct error *e)
{
    static const char prefix[] = "whsec_";
    if (strncmp(secret, prefix, sizeof prefix - 1) != 0)
        return error_field(e, ERR_INVALID, "secrets", "a secret begins with \"whsec_\"");
    struct buffer key = {0};
    bool good = base64_take(&key, bytes_text(secret + sizeof prefix - 1));
    if (good && key.len >= SIGNATURE_KEY_MIN && key.len <= SIGNATURE_KEY_MAX) {
        memcpy(out->bytes, key.data, key.len);
        out->len = (uint32_t)key.len;
    } else {
        good = false;
    }
    buffer_close(&key);
    if (!good)
        return error_field(e, ERR_INVALID, "secrets", "a secret is \"whsec_\" and the base64 of %d to %d bytes",
                           SIGNATURE_KEY_MIN, SIGNATURE_KEY_MAX);
    return ERR_OK;
}

void signature_write(struct crypto *crypto, const struct signature_key *keys, uint32_t count, const char *id,
                     uint64_t seconds, struct bytes body, struct buffer *out)
{
    ASSERT(count >= 1 && count <= SIGNATURE_SECRETS_MAX);
    char time[24];
    snprintf(time, sizeof time, ".%llu.", (unsigned long long)seconds);
    const struct bytes parts[] = {bytes_text(id), bytes_text(time), body};
    for (uint32_t i = 0; i < count; i++) {
        uint8_t mac[CRYPTO_SHA256];
        crypto_hmac_sha256(crypto, bytes_of(keys[i].bytes, keys[i].len), parts, 3, mac);
        buffer_put(out, i == 0 ? "v1," : " v1,", i == 0 ? 3 : 4);
        base64_put(out, bytes_of(mac, sizeof mac));
    }
}
