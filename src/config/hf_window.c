/* The sliding window in a config.json: Mistral has it in all layers, 4096 when the key is absent; Qwen2 and Qwen3 when
 * use_sliding_window says so, from layer max_window_layers on; the others never. */
#include <inttypes.h>
#include <string.h>

#include "config/hf_parts.h"

#define CLASS_WINDOW        4096 /* of the three classes, when the key is absent */
#define CLASS_WINDOW_LAYERS 28   /* max_window_layers of the Qwen classes */

static uint64_t read_width(const struct bt_hf_fields *f)
{
    if (!bt_hf_is_named(f, "sliding_window"))
        return CLASS_WINDOW;
    return bt_hf_find(f, "sliding_window") ? bt_hf_size(f, "sliding_window") : 0;
}

static void read_qwen_window(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    const uint64_t from = bt_hf_size_or(f, "max_window_layers", CLASS_WINDOW_LAYERS);
    const bool in_use = bt_hf_bool_or(f, "use_sliding_window", false);
    bt_hf_size_or(f, "sliding_window", 0); /* of the right kind even where it is not in use */
    if (!in_use || from >= config->num_hidden_layers)
        return;
    config->sliding_window = read_width(f);
    config->window_from_layer = config->sliding_window ? from : 0;
}

static void refuse_window(const struct bt_hf_fields *f, const struct bt_hf_config *config)
{
    const char *class_name = bt_hf_families[config->family].class_name;
    if (bt_hf_find(f, "sliding_window"))
        bt_hf_refuse(f, "sliding_window", "%s has no sliding window, expected null", class_name);
    if (bt_hf_bool_or(f, "use_sliding_window", false))
        bt_hf_refuse(f, "use_sliding_window", "%s has no sliding window, expected false", class_name);
}

/* layer_types repeats in words what the window keys say; a file in which the two differ is not one to guess about. */
static void check_layer_types(const struct bt_hf_fields *f, const struct bt_hf_config *config)
{
    const json_t *types = bt_hf_find(f, "layer_types");
    if (!types)
        return;
    if (!json_is_array(types)) {
        bt_hf_wrong(f, "layer_types", types, "a list of one string for each layer");
        return;
    }
    if (json_array_size(types) != config->num_hidden_layers)
        bt_hf_refuse(f, "layer_types", "found %zu layers, expected %" PRIu64, json_array_size(types),
                     config->num_hidden_layers);
    for (size_t i = 0; i < json_array_size(types); i++) {
        const bool sliding = config->sliding_window && i >= config->window_from_layer;
        const char *want = sliding ? "sliding_attention" : "full_attention";
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, want))
            bt_hf_refuse(f, "layer_types", "layer %zu is \"%.60s\", expected \"%s\" (as the window keys have it)", i,
                         type ? type : "not a string", want);
    }
}

void bt_hf_read_window(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    if (config->family == BT_MISTRAL)
        config->sliding_window = read_width(f);
    else if (config->family == BT_QWEN2 || config->family == BT_QWEN3)
        read_qwen_window(f, config);
    else
        refuse_window(f, config);
    check_layer_types(f, config);
}
