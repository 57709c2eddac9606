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

/* A list of strings, or nothing when the key is absent or null. *count says at every moment how many there are. */
static void read_strings(const struct bt_hf_fields *f, const char *key, char ***ret_strings, size_t *count)
{
    const json_t *list = bt_hf_find(f, key);
    if (!list)
        return;
    if (!json_is_array(list)) {
        bt_hf_wrong(f, key, list, "a list of strings");
        return;
    }
    *ret_strings = bt_zalloc(json_array_size(list), sizeof **ret_strings);
    if (!*ret_strings) {
        bt_hf_no_memory(f);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item)) {
            bt_hf_wrong(f, key, item, "a string");
            return;
        }
        if (!((*ret_strings)[i] = bt_strdup(json_string_value(item)))) {
            bt_hf_no_memory(f);
            return;
        }
        *count = i + 1;
    }
}

/* transformers takes the entries for beginnings (as regular expressions) or ends of module names; a list replaces its
 * own, in which the head is. */
static void read_unconverted(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    static const char key[] = "modules_to_not_convert", head[] = "lm_head";
    bool names_head = false;
    read_strings(f, key, &config->unconverted, &config->unconverted_count);
    for (size_t i = 0; i < config->unconverted_count; i++) {
        const char *entry = config->unconverted[i];
        const size_t length = strlen(entry);
        if (!length || strspn(entry, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != length)
            bt_hf_refuse(f, key, "\"%.60s\" is not a plain part of a module's name, and others are not supported",
                         entry);
        names_head = names_head || !strncmp(head, entry, length) ||
                     (length <= strlen(head) && !strcmp(head + strlen(head) - length, entry));
    }
    if (bt_hf_find(f, key) && !names_head)
        bt_hf_refuse(f, key, "the list does not name lm_head, and a ternary output head is not supported");
}

static void read_norms(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    config->quantization_norms = bt_hf_bool_or(f, "use_rms_norm", false);
    const double eps = bt_hf_positive_or(f, "rms_norm_eps", 1e-6);
    if (config->quantization_norms && eps != config->rms_norm_eps)
        bt_hf_refuse(f, "rms_norm_eps", "found %g, expected the rms_norm_eps %g of all other norms", eps,
                     config->rms_norm_eps);
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
    read_norms(f, config);
    read_unconverted(f, config);
    config->quantization_bitnet = true;
    config->quantization_online =
        automatic && online; /* the mode of a plain bitlinear is not looked at: it is packed */
    config->quantization_inverse = !automatic;
}

static void read_marks(const struct bt_hf_fields *f, struct bt_hf_marks *marks)
{
    marks->present = true;
    marks->ternary = read_choice(f, "weights", NULL, "ternary", "none");
    marks->int8 = read_choice(f, "activations", NULL, "int8", "none");
    marks->lambda = bt_hf_number_or(f, "lambda", 1.0);
    if (!(marks->lambda >= 0.0 && marks->lambda <= 1.0))
        bt_hf_refuse(f, "lambda", "found %g, expected a number from 0 to 1", marks->lambda);
    read_strings(f, "exclude_layers", &marks->exclude_layers, &marks->exclude_count);
}

void bt_hf_read_quantization(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    struct bt_hf_fields section;
    if (open_section(f, "quantization_config", "quantization_config.", &section))
        read_method(&section, config);
    if (open_section(f, "bitnet_train", "bitnet_train.", &section))
        read_marks(&section, &config->marks);
}
