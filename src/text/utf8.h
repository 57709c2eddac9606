/* text/utf8.h - UTF-8, and the few classes of characters that tokenizer files speak of. */
#ifndef BT_TEXT_UTF8_H
#define BT_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bt_utf8_kind {
    BT_UTF8_WHOLE, /* a character */
    BT_UTF8_CUT,   /* the text ends inside of what may become a character */
    BT_UTF8_BAD,   /* no character begins so */
};
/* Length of what stands at the front of a text that is not empty: a character, or the bytes that stand for one U+FFFD
 * when they are shown ("maximal subpart" in the Unicode Standard, 3.9). */
size_t bt_utf8_step(const char *text, size_t size, enum bt_utf8_kind *ret_kind);
/* How many bytes at the front are whole characters; size when all are. */
size_t bt_utf8_valid(const char *text, size_t size);
/* Takes the character at the front of valid text, and gives its length. */
size_t bt_utf8_take(const char *text, uint32_t *ret_code);
size_t bt_utf8_put(uint32_t code, char out[4]);
/* Where the character before `at` begins, in valid text and at > 0. */
size_t bt_utf8_before(const char *text, size_t at);

bool bt_code_is_space(uint32_t code);  /* White_Space */
bool bt_code_is_number(uint32_t code); /* Nd, Nl, No */
bool bt_code_is_word(uint32_t code);   /* Alphabetic, M, Nd, Pc, Join_Control: \w of UTS #18 */

/* The alphabet of byte-level BPE: a printable character for every byte, as GPT-2's bytes_to_unicode has it. */
uint32_t bt_byte_to_letter(unsigned char byte);
int bt_letter_to_byte(uint32_t code); /* -1: not of the alphabet */

#endif
