/* Authorities and certificates made on the spot, as PEM files in a directory of the test's. */
#ifndef HATO_TESTS_UNIT_NET_CERTIFICATES_H
#define HATO_TESTS_UNIT_NET_CERTIFICATES_H

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct authority {
    EVP_PKEY *key;
    X509 *certificate;
};

enum { DAY_S = 24 * 60 * 60 };

static inline X509 *certificate_make(const char *name, EVP_PKEY *key, long from_s, long until_s)
{
    static long serial;
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), until_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(x, key);
    return x;
}

static inline void certificate_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline void certificate_write(const char *path, X509 *x, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    if (x != NULL)
        ck_assert_int_eq(PEM_write_X509(f, x), 1);
    else
        ck_assert_int_eq(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    ck_assert_int_eq(fclose(f), 0);
}

static inline struct authority authority_make(const char *name, const char *path)
{
    struct authority a = {.key = EVP_EC_gen("P-256")};
    ck_assert_ptr_nonnull(a.key);
    a.certificate = certificate_make(name, a.key, -DAY_S, DAY_S);
    X509_set_issuer_name(a.certificate, X509_get_subject_name(a.certificate));
    certificate_extend(a.certificate, a.certificate, NID_basic_constraints, "critical,CA:TRUE");
    ck_assert_int_gt(X509_sign(a.certificate, a.key, EVP_sha256()), 0);
    certificate_write(path, a.certificate, NULL);
    return a;
}

static inline void authority_free(struct authority *a)
{
    EVP_PKEY_free(a->key);
    X509_free(a->certificate);
}

/* `host` as openssl writes it: "IP:127.0.0.1" or "DNS:node-1". */
static inline void authority_issue(struct authority *a, const char *name, const char *host, long from_s, long until_s,
                                   const char *certificate_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certificate_make(name, key, from_s, until_s);
    X509_set_issuer_name(x, X509_get_subject_name(a->certificate));
    certificate_extend(x, a->certificate, NID_subject_alt_name, host);
    ck_assert_int_gt(X509_sign(x, a->key, EVP_sha256()), 0);
    certificate_write(certificate_path, x, NULL);
    certificate_write(key_path, NULL, key);
    X509_free(x);
    EVP_PKEY_free(key);
}

#endif
