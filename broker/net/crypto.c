#include "net/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

struct crypto {
    EVP_MD *md5;
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    EVP_MAC *hmac;
    EVP_MAC_CTX *mac;
};

struct crypto *crypto_create(void)
{
    struct crypto *c = memory_zero(1, sizeof *c);
    c->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    c->digest = EVP_MD_CTX_new();
    c->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ASSERT(c->md5 != NULL && c->sha256 != NULL && c->digest != NULL && c->hmac != NULL);
    c->mac = EVP_MAC_CTX_new(c->hmac);
    ASSERT(c->mac != NULL);
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    ASSERT(EVP_MAC_CTX_set_params(c->mac, params) == 1);
    return c;
}

void crypto_destroy(struct crypto *c)
{
    if (c == NULL)
        return;
    EVP_MAC_CTX_free(c->mac);
    EVP_MAC_free(c->hmac);
    EVP_MD_CTX_free(c->digest);
    EVP_MD_free(c->sha256);
    EVP_MD_free(c->md5);
    memory_free(c);
}

static void digest(struct crypto *c, const EVP_MD *md, const struct bytes *parts, size_t count, uint8_t *out)
{
    ASSERT(EVP_DigestInit_ex2(c->digest, md, NULL) == 1);
    for (size_t i = 0; i < count; i++)
        ASSERT(EVP_DigestUpdate(c->digest, parts[i].data, parts[i].len) == 1);
    ASSERT(EVP_DigestFinal_ex(c->digest, out, NULL) == 1);
}

void crypto_md5(struct crypto *c, const struct bytes *parts, size_t count, uint8_t out[CRYPTO_MD5])
{
    digest(c, c->md5, parts, count, out);
}

void crypto_sha256(struct crypto *c, const struct bytes *parts, size_t count, uint8_t out[CRYPTO_SHA256])
{
    digest(c, c->sha256, parts, count, out);
}

void crypto_hmac_sha256(struct crypto *c, struct bytes key, const struct bytes *parts, size_t count,
                        uint8_t out[CRYPTO_SHA256])
{
    static const uint8_t none[1]; /* a NULL key would mean "the one before" */
    ASSERT(EVP_MAC_init(c->mac, key.len > 0 ? key.data : none, key.len, NULL) == 1);
    for (size_t i = 0; i < count; i++)
        ASSERT(EVP_MAC_update(c->mac, parts[i].data, parts[i].len) == 1);
    size_t len = 0;
    ASSERT(EVP_MAC_final(c->mac, out, &len, CRYPTO_SHA256) == 1 && len == CRYPTO_SHA256);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

void crypto_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        int step = len > 4096 ? 4096 : (int)len;
        ASSERT(RAND_bytes(at, step) == 1);
        at += step;
        len -= (size_t)step;
    }
}

int crypto_check_certificates(const char *file, struct error *e)
{
    X509_STORE *store = X509_STORE_new();
    ASSERT(store != NULL);
    int loaded = X509_STORE_load_file(store, file);
    X509_STORE_free(store);
    ERR_clear_error();
    if (loaded == 1)
        return ERR_OK;
    return error_set(e, ERR_INVALID, "%s can't be read, or has no certificates in PEM (-----BEGIN CERTIFICATE-----)",
                     file);
}

void crypto_hex(struct buffer *out, struct bytes in)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *to = buffer_reserve(out, 2 * in.len);
    for (size_t i = 0; i < in.len; i++) {
        to[2 * i] = (uint8_t)digits[in.data[i] >> 4];
        to[2 * i + 1] = (uint8_t)digits[in.data[i] & 15];
    }
    out->len += 2 * in.len;
}

void base64_put(struct buffer *out, struct bytes in)
{
    /* In steps, since OpenSSL counts in int and ends what it writes with a zero byte. Whole groups, so no padding
     * between. */
    enum { STEP = 3 * 1024 * 1024 };
    while (in.len > 0) {
        size_t step = in.len < STEP ? in.len : STEP;
        uint8_t *to = buffer_reserve(out, (step + 2) / 3 * 4 + 1);
        out->len += (size_t)EVP_EncodeBlock(to, in.data, (int)step);
        in.data += step;
        in.len -= step;
    }
}

/* 0 to 63, or 255. */
static uint8_t base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint8_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0' + 52);
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 255;
}

/* Our own, because OpenSSL's skips white space and counts padding as data. */
bool base64_take(struct buffer *out, struct bytes in)
{
    if (in.len % 4 != 0)
        return false;
    if (in.len == 0)
        return true;
    size_t pad = in.data[in.len - 1] != '=' ? 0 : in.data[in.len - 2] != '=' ? 1 : 2;
    size_t digits = in.len - pad;
    uint8_t *to = buffer_reserve(out, in.len / 4 * 3);
    size_t len = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < digits; i++) {
        uint8_t value = base64_value(in.data[i]);
        if (value == 255)
            return false;
        bits = (bits << 6 | value) & 0xffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[len++] = (uint8_t)(bits >> held);
        }
    }
    if ((bits & ((1u << held) - 1)) != 0)
        return false;
    out->len += len;
    return true;
}
