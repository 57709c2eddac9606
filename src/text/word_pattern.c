#include "text/word_pattern.h"

#include <string.h>

#include "text/tokenizer_json.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

struct bt_word_pattern {
    const char *name;
    const char *split; /* NULL: GPT-2's own, which the step ByteLevel has built in */
    bool digits;       /* each digit is cut out first */
    bool ignores_merges;
};

static const struct bt_word_pattern patterns[] = {
    {.name = "llama3", .split = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" REST, .ignores_merges = true},
    {.name = "qwen2", .split = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" REST},
    {.name = "gpt2"},
    {.name = "smollm", .digits = true},
};

const struct bt_word_pattern *bt_word_pattern_find(const char *name)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (!strcmp(patterns[i].name, name))
            return &patterns[i];
    return NULL;
}

json_t *bt_word_pattern_json(const struct bt_word_pattern *pattern)
{
    if (pattern->split)
        return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type", "Split",
                         "pattern", "Regex", pattern->split, "behavior", "Isolated", "invert", 0,
                         bt_tokenizer_json_byte_level(false));
    if (pattern->digits)
        return json_pack("{s:s, s:[{s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type", "Digits",
                         "individual_digits", 1, bt_tokenizer_json_byte_level(true));
    return bt_tokenizer_json_byte_level(true);
}

bool bt_word_pattern_ignores_merges(const struct bt_word_pattern *pattern)
{
    return pattern->ignores_merges;
}

const char *bt_word_pattern_split(const struct bt_word_pattern *pattern)
{
    return pattern->split;
}

bool bt_word_pattern_cuts_digits(const struct bt_word_pattern *pattern)
{
    return pattern->digits;
}
