/* What a config.json says of quantisation: transformers' quantization_config and our own marks. */
#include <string.h>

#include "base/mem.h"
#include "config/hf_parts.h"

/* The object under `key`, with a fault when it is something else. */
static bool open_section(const struct bt_hf_fields *f, const char *key, const char *prefix,
                         struct bt_hf_fields *ret_section)
{
    const json_t *value = bt_hf_find(f, key);
    if (value && !json_is_object(value))
        bt_hf_wrong(f, key, value, "an object or null");
    if (!json_is_object(value))
        return false;
    *ret_section = (struct bt_hf_fields){value, prefix, f->fault};
    return true;
}

/* One of two words. Gives whether it is the first. */
static bool read_choice(const struct bt_hf_fields *f, const char *key, const char *absent, const char *first,
                        const char *second)
{
    const char *value = bt_hf_string_or(f, key, absent);
    if (!value)
        bt_hf_refuse(f, key, "missing, expected \"%s\" or \"%s\"", first, second);
    else if (strcmp(value, first) && strcmp(value, second))
        bt_hf_refuse(f, key, "found \"%.60s\", expected \"%s\" or \"%s\"", value, first, second);
    return value && !strcmp(value, first);
}

static void read_method(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    const char *method = bt_hf_string_or(f, "quant_method", NULL);
    if (!method)
        bt_hf_refuse(f, "quant_method", "missing, expected \"bitnet\"");
    else if (strcmp(method, "bitnet"))
        bt_hf_refuse(f, "quant_method",
                     "\"%.60s\" is not supported, expected \"bitnet\" or a model that is not quantised", method);
    const bool automatic = read_choice(f, "linear_class", "bitlinear", "autobitlinear", "bitlinear");
    const bool online = read_choice(f, "quantization_mode", "offline", "online", "offline");
    if (bt_hf_bool_or(f, "use_rms_norm", false))
        bt_hf_refuse(f, "use_rms_norm", "a norm in front of every linear layer is not supported, expected false");
    config->quantization_bitnet = true;
    config->quantization_online =
        automatic && online; /* the mode of a plain bitlinear is not looked at: it is packed */
}

static void read_excluded(const struct bt_hf_fields *f, struct bt_hf_marks *marks)
{
    const json_t *list = bt_hf_find(f, "exclude_layers");
    if (!list)
        return;
    if (!json_is_array(list)) {
        bt_hf_wrong(f, "exclude_layers", list, "a list of strings");
        return;
    }
    marks->exclude_layers = bt_zalloc(json_array_size(list), sizeof *marks->exclude_layers);
    if (!marks->exclude_layers) {
        bt_hf_no_memory(f);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item)) {
            bt_hf_wrong(f, "exclude_layers", item, "a string");
            return;
        }
        if (!(marks->exclude_layers[i] = bt_strdup(json_string_value(item)))) {
            bt_hf_no_memory(f);
            return;
        }
        marks->exclude_count = i + 1;
    }
}

static void read_marks(const struct bt_hf_fields *f, struct bt_hf_marks *marks)
{
    marks->present = true;
    marks->ternary = read_choice(f, "weights", NULL, "ternary", "none");
    marks->int8 = read_choice(f, "activations", NULL, "int8", "none");
    marks->lambda = bt_hf_number_or(f, "lambda", 1.0);
    if (!(marks->lambda >= 0.0 && marks->lambda <= 1.0))
        bt_hf_refuse(f, "lambda", "found %g, expected a number from 0 to 1", marks->lambda);
    read_excluded(f, marks);
}

void bt_hf_read_quantization(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    struct bt_hf_fields section;
    if (open_section(f, "quantization_config", "quantization_config.", &section))
        read_method(&section, config);
    if (open_section(f, "bitnet_train", "bitnet_train.", &section))
        read_marks(&section, &config->marks);
}
