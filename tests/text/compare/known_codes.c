#include "known_codes.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "support.h"
#include "text/utf8.h"

#define CODE_COUNT 0x110000u
#define OTHERS_END 0x34000u /* later versions of Unicode fill gaps below it */

static void add_code(struct code_list *list, uint32_t code)
{
    if (list->count % 4096 == 0)
        list->at = bt_realloc(list->at, list->count + 4096, sizeof *list->at);
    assert_non_null(list->at);
    list->at[list->count++] = code;
}

void known_codes(struct code_list *known, struct code_list *others)
{
    int error;
    size_t offset;
    pcre2_code *unassigned = pcre2_compile((PCRE2_SPTR) "\\A\\p{Cn}", 8, PCRE2_UTF | PCRE2_UCP, &error, &offset, NULL);
    pcre2_match_data *data = unassigned ? pcre2_match_data_create_from_pattern(unassigned, NULL) : NULL;
    assert_non_null(data);
    for (uint32_t code = 1; code < CODE_COUNT; code++) {
        char text[4];
        if (code >= 0xD800 && code < 0xE000)
            continue;
        const size_t size = bt_utf8_put(code, text);
        const bool never = (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code < 0xFDF0);
        const bool is_known = never || pcre2_match(unassigned, (PCRE2_SPTR)text, size, 0, 0, data, NULL) < 0;
        if (is_known || code < OTHERS_END)
            add_code(is_known ? known : others, code);
    }
    pcre2_match_data_free(data);
    pcre2_code_free(unassigned);
}
