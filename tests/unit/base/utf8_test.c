#include "base/utf8.h"

#include <check.h>
#include <stdlib.h>

static size_t encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

START_TEST(every_code_point_but_the_surrogates_is_read_back)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        uint8_t text[4];
        size_t len = encode(c, text);
        uint32_t point = 0;
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        ck_assert_uint_eq(utf8_next(bytes_of(text, len), &point), surrogate ? 0 : len);
        ck_assert(utf8_valid(bytes_of(text, len)) == !surrogate);
        if (!surrogate)
            ck_assert_uint_eq(point, c);
        for (size_t cut = 1; cut < len; cut++)
            ck_assert(!utf8_valid(bytes_of(text, cut)));
    }
}
END_TEST

START_TEST(malformed_sequences_are_refused)
{
    static const char *const cases[] = {
        "\x80",
        "\xBF",
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x80\x80",
        "\xE0\x9F\xBF",
        "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xF8\x88\x80\x80\x80",
        "\xFE",
        "\xFF",
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        "\xC2\x41",
        "\xE2\x82\x41",
        "plain text of some length\xC3",
        "plain text \xC3( and more of it",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(!utf8_valid(bytes_text(cases[i])), "case %zu was taken", i);
        ck_assert_msg(!utf8_xml(bytes_text(cases[i])), "case %zu was taken as XML", i);
    }
}
END_TEST

START_TEST(xml_text_has_no_control_characters_and_no_noncharacters)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        uint8_t text[4];
        size_t len = encode(c, text);
        bool allowed = c == 0x9 || c == 0xA || c == 0xD || (c >= 0x20 && c <= 0xD7FF) || (c >= 0xE000 && c <= 0xFFFD) ||
                       c >= 0x10000;
        ck_assert(utf8_xml(bytes_of(text, len)) == allowed);
    }
}
END_TEST

START_TEST(a_zero_byte_is_utf8_but_not_xml_and_empty_text_is_both)
{
    ck_assert(utf8_valid(bytes_of("a\0b", 3)));
    ck_assert(!utf8_xml(bytes_of("a\0b", 3)));
    ck_assert(utf8_valid(bytes_of("", 0)));
    ck_assert(utf8_xml(bytes_of("", 0)));
}
END_TEST

START_TEST(long_text_is_checked_to_its_last_byte)
{
    uint8_t text[100];
    for (size_t at = 0; at < sizeof text; at++) {
        memset(text, 'a', sizeof text);
        text[at] = 0xFF;
        ck_assert(!utf8_valid(bytes_of(text, sizeof text)));
        ck_assert(utf8_valid(bytes_of(text, at)));
    }
}
END_TEST

START_TEST(text_is_cut_at_a_whole_character)
{
    static const char *texts[] = {"abcdef", "h\xc3\xa9llo", "\xe2\x82\xac\xe2\x82\xac",
                                  "\xf0\x9f\x95\x8a\xf0\x9f\x95\x8a", ""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct bytes text = bytes_text(texts[i]);
        for (size_t max = 0; max <= text.len + 1; max++) {
            struct bytes cut = utf8_cut(text, max);
            ck_assert_uint_le(cut.len, max);
            ck_assert(cut.data == text.data);
            ck_assert(utf8_valid(cut));
            if (cut.len < text.len) { /* one character more would be too much */
                uint32_t point;
                size_t next = utf8_next(bytes_of(text.data + cut.len, text.len - cut.len), &point);
                ck_assert_uint_gt(cut.len + next, max);
            }
        }
    }
}
END_TEST

START_TEST(what_is_no_text_is_cut_as_well)
{
    uint8_t odd[16];
    memset(odd, 0x80, sizeof odd);
    ck_assert_uint_eq(utf8_cut(bytes_of(odd, sizeof odd), 10).len, 7);
    ck_assert_uint_eq(utf8_cut(bytes_of(odd, sizeof odd), 2).len, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("utf8");
    TCase *c = tcase_create("utf8");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, every_code_point_but_the_surrogates_is_read_back);
    tcase_add_test(c, malformed_sequences_are_refused);
    tcase_add_test(c, xml_text_has_no_control_characters_and_no_noncharacters);
    tcase_add_test(c, a_zero_byte_is_utf8_but_not_xml_and_empty_text_is_both);
    tcase_add_test(c, long_text_is_checked_to_its_last_byte);
    tcase_add_test(c, text_is_cut_at_a_whole_character);
    tcase_add_test(c, what_is_no_text_is_cut_as_well);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
