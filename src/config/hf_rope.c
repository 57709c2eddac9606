/* Rotary embeddings in a config.json. Old files have rope_theta and rope_scaling, new ones rope_parameters with all in
 * it; where both are given, transformers lets a rope_scaling that is not null win (convert_rope_params_to_dict). */
#include <string.h>

#include "config/hf_parts.h"

static const struct {
    const char *name;
    enum bt_rope_type type;
} types[] = {{"default", BT_ROPE_DEFAULT}, {"linear", BT_ROPE_LINEAR}, {"llama3", BT_ROPE_LLAMA3}};

/* The keys of a section, and the types of rope that have them, as bits. */
static const struct {
    const char *name;
    unsigned types;
} known[] = {
    {"rope_type", 7},
    {"type", 7},
    {"rope_theta", 7},
    {"partial_rotary_factor", 7},
    {"factor", 1 << BT_ROPE_LINEAR | 1 << BT_ROPE_LLAMA3},
    {"low_freq_factor", 1 << BT_ROPE_LLAMA3},
    {"high_freq_factor", 1 << BT_ROPE_LLAMA3},
    {"original_max_position_embeddings", 1 << BT_ROPE_LINEAR | 1 << BT_ROPE_LLAMA3},
};

/* The section that counts, or one without an object when there is none. */
static struct bt_hf_fields find_section(const struct bt_hf_fields *f)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    static const char *const prefixes[] = {"rope_scaling.", "rope_parameters."};
    struct bt_hf_fields section = {.prefix = "", .fault = f->fault};
    for (size_t i = 0; i < 2 && !section.object; i++) {
        const json_t *value = bt_hf_find(f, names[i]);
        if (value && !json_is_object(value))
            bt_hf_wrong(f, names[i], value, "an object or null");
        if (json_object_size(value)) /* {} counts as null there too */
            section = (struct bt_hf_fields){value, prefixes[i], f->fault};
    }
    return section;
}

static enum bt_rope_type read_type(const struct bt_hf_fields *section)
{
    const char *name = bt_hf_string_or(section, "rope_type", NULL);
    const char *old_name = bt_hf_string_or(section, "type", name);
    if (!name)
        name = old_name ? old_name : "default";
    else if (strcmp(name, old_name))
        bt_hf_refuse(section, "type", "found \"%s\" while rope_type is \"%s\"", old_name, name);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name))
            return types[i].type;
    bt_hf_refuse(section, "rope_type", "\"%s\" is not supported, expected \"default\", \"linear\" or \"llama3\"", name);
    return BT_ROPE_DEFAULT;
}

/* A key that the type does not have would silently change nothing. */
static void refuse_unknown_keys(const struct bt_hf_fields *section, enum bt_rope_type type)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)section->object, key, value)
    {
        bool fine = json_is_null(value);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            fine = fine || (!strcmp(known[i].name, key) && known[i].types >> type & 1);
        if (!fine)
            bt_hf_refuse(section, key, "not a key of rope type \"%s\"", types[type].name);
    }
}

static void read_llama3(const struct bt_hf_fields *section, struct bt_hf_config *config)
{
    config->rope_low_freq_factor = bt_hf_positive(section, "low_freq_factor");
    config->rope_high_freq_factor = bt_hf_positive(section, "high_freq_factor");
    config->rope_original_max_position =
        bt_hf_positive_or(section, "original_max_position_embeddings", (double)config->max_position_embeddings);
    if (config->rope_high_freq_factor <= config->rope_low_freq_factor)
        bt_hf_refuse(section, "high_freq_factor", "found %g, expected more than low_freq_factor, which is %g",
                     config->rope_high_freq_factor, config->rope_low_freq_factor);
}

void bt_hf_read_rope(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    const struct bt_hf_fields section = find_section(f);
    const double theta = bt_hf_positive_or(f, "rope_theta", bt_hf_families[config->family].rope_theta);
    if (bt_hf_bool_or(f, "rope_interleaved", false))
        bt_hf_refuse(f, "rope_interleaved", "true is not supported");
    if (bt_hf_number_or(f, "partial_rotary_factor", 1.0) != 1.0)
        bt_hf_refuse(f, "partial_rotary_factor", "a rotation of a part of the head is not supported, expected 1.0");
    config->rope_theta = theta;
    config->rope_factor = 1.0;
    if (!section.object)
        return;
    config->rope_theta = bt_hf_positive_or(&section, "rope_theta", theta);
    if (bt_hf_number_or(&section, "partial_rotary_factor", 1.0) != 1.0)
        bt_hf_refuse(&section, "partial_rotary_factor",
                     "a rotation of a part of the head is not supported, expected 1.0");
    config->rope_type = read_type(&section);
    refuse_unknown_keys(&section, config->rope_type);
    if (config->rope_type != BT_ROPE_DEFAULT)
        config->rope_factor = bt_hf_positive(&section, "factor");
    if (config->rope_type == BT_ROPE_LLAMA3)
        read_llama3(&section, config);
}
